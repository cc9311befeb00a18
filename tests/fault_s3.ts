/**
 * A proxy before a real S3 server that injects faults: it drops connections, answers in the server's
 * place, changes answers, and keeps silent, as its rules say. What a rule does not concern passes
 * unchanged, with its signature.
 *
 * ```ts
 * await using s3 = await faultyS3(await sharedS3(), [
 *   { on: "UploadPart", part: 2, times: 1, fault: { drop: "request", after: 100_000 } },
 *   { on: "CompleteMultipartUpload", times: 1, fault: { drop: "answer" } },
 * ]);
 * await using bucket = await freshBucket();
 * // Run something with `bucket.env` and `AWS_ENDPOINT_URL_S3: s3.endpoint`; then look at `s3.seen`.
 * ```
 */

import { ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import {
  headersOf,
  headOf,
  readAnswer,
  sendAnswer,
  type WholeAnswer,
  Wire,
} from "./fault_s3_wire.ts";
import { requestOf, type S3Operation, type SeenRequest } from "./fault_s3_request.ts";
import type { S3Address } from "../tasks/s3_server.ts";

export type { S3Operation, SeenRequest } from "./fault_s3_request.ts";

/** What is done to a request. */
export type Fault =
  /** Takes so many bytes of the body, none by default, and breaks the connection off. */
  | { readonly drop: "request"; readonly after?: number }
  /** Lets the server do it, passes on so many bytes of the answer's body, by default not even its head, and breaks off. */
  | { readonly drop: "answer"; readonly after?: number }
  /** Says nothing for so long, for ever by default: before the body is read, or after the server has done it. */
  | { readonly stall: "request" | "answer"; readonly milliseconds?: number }
  /** Answers in the server's place, which learns nothing of it; a function may leave it to the server. */
  | { readonly answer: S3Answer | ((request: SeenRequest) => S3Answer | undefined) }
  /** Lets the server do it, and changes its answer. */
  | { readonly change: (answer: WholeAnswer, request: SeenRequest) => WholeAnswer }
  /** Lets the server list so many keys a page only. */
  | { readonly page: number };

/** An answer in the server's place. */
export interface S3Answer {
  readonly status: number;
  /** The name of an error, such as `SlowDown`, which makes the body. */
  readonly code?: string;
  readonly message?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The body, where it is no error's. */
  readonly body?: string;
}

/** Which requests meet which fault; the first rule that fits counts. */
export interface Rule {
  /** The operation, or several; by default every one. */
  readonly on?: S3Operation | readonly S3Operation[];
  /** The number of an uploaded part. */
  readonly part?: number;
  readonly key?: RegExp;
  /** The first of the requests that fit, counted from 1; by default 1. */
  readonly from?: number;
  /** How many of them, from that one on; by default all. */
  readonly times?: number;
  readonly fault: Fault;
}

/** A server with faults; closed, it breaks off what is under way. */
export interface FaultyS3 extends S3Address, AsyncDisposable {
  /** All requests that have come, in their order. */
  readonly seen: readonly SeenRequest[];
  /** How many requests were under way at once, at most. */
  readonly busiest: number;
  /** Adds a rule, before the others. */
  add(rule: Rule): void;
  /** Takes all rules back. */
  clear(): void;
}

/** Starts a proxy before a server. */
export function faultyS3(server: S3Address, rules: readonly Rule[] = []): Promise<FaultyS3> {
  const upstream = new URL(server.endpoint);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const seen: SeenRequest[] = [];
  let counted = rules.map((rule) => ({ rule, met: 0 }));
  const ending = new AbortController();
  const wires = new Set<Wire>();
  const serving = new Set<Promise<void>>();
  const underWay = new Set<SeenRequest>();
  let busiest = 0;

  function faultOf(request: SeenRequest): Fault | undefined {
    for (const each of counted) {
      const { rule } = each;
      if (!fits(rule, request)) continue;
      const { from = 1, times = Infinity } = rule;
      each.met++;
      if (each.met >= from && each.met < from + times) return rule.fault;
    }
    return undefined;
  }

  async function serve(connection: Deno.Conn): Promise<void> {
    const client = new Wire(connection);
    wires.add(client);
    try {
      const head = await client.head();
      if (head === undefined) return;
      const request = requestOf(head);
      seen.push(request);
      underWay.add(request);
      busiest = Math.max(busiest, underWay.size);
      await pass(client, { head, request, fault: faultOf(request) })
        .finally(() => underWay.delete(request));
    } catch (error) {
      // Either end may be gone by now; that is what faults are about.
      if (!isGone(error)) throw error;
    } finally {
      client.close();
      wires.delete(client);
    }
  }

  async function pass(
    client: Wire,
    { head, request, fault }: {
      readonly head: readonly string[];
      readonly request: SeenRequest;
      readonly fault: Fault | undefined;
    },
  ): Promise<void> {
    const length = Number(request.headers["content-length"] ?? 0);
    const isHead = request.method === "HEAD";
    const drop = fault !== undefined && "drop" in fault ? fault : undefined;
    const stall = fault !== undefined && "stall" in fault ? fault : undefined;
    if (drop?.drop === "request") {
      for await (const _ of client.body(Math.min(drop.after ?? 0, length)));
      return;
    }
    if (stall?.stall === "request") await silence(stall.milliseconds, ending.signal);
    if (ending.signal.aborted) return;
    const own = fault === undefined ? undefined : await answerInPlace(fault, { server, request });
    if (own !== undefined) {
      for await (const _ of client.body(length));
      underWay.delete(request);
      return await sendAnswer(client, own, { head: isHead });
    }
    const answer = await ask(client, { head, request, length });
    if (stall?.stall === "answer") await silence(stall.milliseconds, ending.signal);
    // Whoever gets the answer may come with the next one at once.
    underWay.delete(request);
    if (drop !== undefined) {
      if (drop.after === undefined) return;
      return await sendAnswer(client, answer, { head: isHead, bytes: drop.after });
    }
    const changed = fault !== undefined && "change" in fault
      ? fault.change(answer, request)
      : answer;
    await sendAnswer(client, changed, { head: isHead });
  }

  /** Has the server do it: the head goes on as it came, so that its signature holds. */
  async function ask(
    client: Wire,
    { head, request, length }: {
      readonly head: readonly string[];
      readonly request: SeenRequest;
      readonly length: number;
    },
  ): Promise<WholeAnswer> {
    const port = Number(upstream.port);
    const wire = new Wire(await Deno.connect({ hostname: upstream.hostname, port }));
    wires.add(wire);
    try {
      const [first = "", ...lines] = head;
      await wire.write(headOf(first, { ...headersOf(lines), connection: "close" }));
      let left = length;
      for await (const piece of client.body(length)) {
        left -= piece.length;
        // What it refuses, it may refuse before it has read it.
        await wire.write(piece).catch((error) => {
          if (!isGone(error)) throw error;
        });
      }
      // The server would wait for the rest, and this proxy for its answer.
      if (left > 0) throw new Deno.errors.ConnectionReset("The client is gone");
      return await readAnswer(wire, request.method);
    } finally {
      wire.close();
      wires.delete(wire);
    }
  }

  const accepting = (async () => {
    for await (const connection of listener) {
      const work = serve(connection).finally(() => serving.delete(work));
      serving.add(work);
    }
  })();
  return Promise.resolve({
    ...server,
    endpoint: `http://127.0.0.1:${listener.addr.port}`,
    seen,
    get busiest() {
      return busiest;
    },
    add: (rule) => void (counted = [{ rule, met: 0 }, ...counted]),
    clear: () => void (counted = []),
    async [Symbol.asyncDispose]() {
      listener.close();
      ending.abort();
      for (const wire of wires) wire.close();
      await accepting;
      await Promise.all(serving);
    },
  });
}

/** What a rule has answered without the server; undefined when it lets the server answer. */
async function answerInPlace(
  fault: Fault,
  { server, request }: { readonly server: S3Address; readonly request: SeenRequest },
): Promise<WholeAnswer | undefined> {
  if ("page" in fault) return await pageOf(server, { request, size: fault.page });
  if (!("answer" in fault)) return undefined;
  const answer = typeof fault.answer === "function" ? fault.answer(request) : fault.answer;
  return answer === undefined ? undefined : wholeOf(answer);
}

/** The status and body of an error, as S3 tells it. */
export function errorAnswer(status: number, code: string, message = code): WholeAnswer {
  return wholeOf({ status, code, message });
}

function wholeOf({ status, code, message = code, headers = {}, body }: S3Answer): WholeAnswer {
  const text = body ??
    (code === undefined
      ? ""
      : `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code>` +
        `<Message>${message}</Message></Error>`);
  return {
    status,
    headers: { "content-type": "application/xml", ...headers },
    body: new TextEncoder().encode(text),
  };
}

function fits({ on, part, key }: Rule, request: SeenRequest): boolean {
  const operations = on === undefined ? undefined : typeof on === "string" ? [on] : on;
  return (operations === undefined || operations.includes(request.operation)) &&
    (part === undefined || part === request.part) &&
    (key === undefined || key.test(request.key));
}

/** A page of a listing that is shorter than what was asked for. */
async function pageOf(
  server: S3Address,
  { request, size }: { readonly request: SeenRequest; readonly size: number },
): Promise<WholeAnswer> {
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  const token = request.query.get("continuation-token");
  const page = await client.send(
    new ListObjectsV2Command({
      Bucket: request.bucket,
      Prefix: request.query.get("prefix") ?? "",
      MaxKeys: size,
      ...(token === null ? {} : { ContinuationToken: token }),
    }),
  );
  client.destroy();
  const contents = (page.Contents ?? []).map(({ Key = "", Size = 0, LastModified }) =>
    `<Contents><Key>${escaped(Key)}</Key><Size>${Size}</Size>` +
    `<LastModified>${LastModified?.toISOString() ?? ""}</LastModified></Contents>`
  );
  const next = page.NextContinuationToken;
  return wholeOf({
    status: 200,
    body: `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult>` +
      `<IsTruncated>${next !== undefined}</IsTruncated>` +
      (next === undefined
        ? ""
        : `<NextContinuationToken>${escaped(next)}</NextContinuationToken>`) +
      `${contents.join("")}</ListBucketResult>`,
  });
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

async function silence(milliseconds: number | undefined, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => resolve());
  if (signal.aborted) resolve();
  await promise;
  clearTimeout(timer);
}

function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.ConnectionRefused;
}
