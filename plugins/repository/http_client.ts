/**
 * A web client in the form that the client of S3 takes for its requests. A body is sent as it is
 * read, with its length; nothing of it is kept.
 */
import { type Answer, readAnswer } from "./http_answer.ts";
import { type Address, type Connection, ConnectionLoss, dial } from "./http_connection.ts";
import { sendBody } from "./http_body.ts";

/** A request as the client of S3 hands it over: signed, and with its length among the headers. */
export interface WebRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  /** Encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** What goes with one request. */
export interface WebRequestOptions {
  readonly abortSignal?: unknown;
  /** Milliseconds without any progress after which it is given up; by default the client's. */
  readonly requestTimeout?: number;
}

/** When an answer came, in milliseconds since 1970, and what it says the time is. */
export interface TimeSample {
  readonly sent: number;
  readonly received: number;
  /** The `Date` of the answer. */
  readonly date: string;
}

/** How requests are made. */
export interface WebClientOptions {
  /** Milliseconds for a connection. */
  readonly connectLimit: number;
  /** Milliseconds without any progress after which a request is given up. */
  readonly stallLimit: number;
  /** Certificates to trust instead of the usual ones, as PEM text. */
  readonly authorities?: string | undefined;
  readonly answered?: (sample: TimeSample) => void;
}

/** Makes requests, and keeps connections for the next ones. */
export interface WebClient {
  readonly metadata: { readonly handlerProtocol: string };
  /**
   * Makes one request. It resolves when the head of the answer has come.
   *
   * @throws ConnectionLoss, the reason of the signal, or what the body fails with
   */
  handle(request: WebRequest, options?: WebRequestOptions): Promise<{ response: WebResponse }>;
  /** Closes the connections that are kept. */
  destroy(): void;
  updateHttpClientConfig(): void;
  httpHandlerConfigs(): Record<string, never>;
}

/** An answer as the client of S3 takes it. */
export interface WebResponse {
  readonly statusCode: number;
  readonly reason: string;
  readonly headers: Record<string, string>;
  readonly body: ReadableStream<Uint8Array>;
}

/** How long a connection is kept that nobody uses; servers close it after five seconds or more. */
const KEPT_MILLISECONDS = 4000;

/** How long an answer may take that was on its way while the connection broke off. */
const LAST_WORDS_MILLISECONDS = 1000;

/** Makes a client. */
export function webClient(options: WebClientOptions): WebClient {
  const pool = connectionPool();
  async function handle(
    request: WebRequest,
    { abortSignal, requestTimeout: stallLimit = options.stallLimit }: WebRequestOptions = {},
  ): Promise<{ response: WebResponse }> {
    const signal = abortSignal instanceof AbortSignal ? abortSignal : undefined;
    signal?.throwIfAborted();
    const address = addressOf(request);
    const { connectLimit: limit, authorities } = options;
    const connection = pool.take(address) ?? await dial(address, { limit, signal, authorities });
    const abort = () => connection.close(signal?.reason);
    signal?.addEventListener("abort", abort);
    function over(reusable: boolean): void {
      signal?.removeEventListener("abort", abort);
      if (reusable && connection.idle()) pool.keep(address, connection);
      else connection.close();
    }
    try {
      const sent = Date.now();
      const answer = await exchange(connection, { request, stallLimit, over });
      const date = answer.headers["date"];
      if (date !== undefined) options.answered?.({ sent, received: Date.now(), date });
      return { response: { ...answer, statusCode: answer.status, headers: { ...answer.headers } } };
    } catch (error) {
      over(false);
      throw error;
    }
  }
  return {
    metadata: { handlerProtocol: "http/1.1" },
    handle,
    destroy: pool.close,
    updateHttpClientConfig: () => {},
    httpHandlerConfigs: () => ({}),
  };
}

interface Exchange {
  readonly request: WebRequest;
  readonly stallLimit: number;
  readonly over: (reusable: boolean) => void;
}

/** Sends a request and waits for the head of its answer, which may come before all is sent. */
async function exchange(
  connection: Connection,
  { request, stallLimit, over }: Exchange,
): Promise<Answer> {
  let sentAll = false;
  const reading = readAnswer(connection, {
    method: request.method,
    next: () => within(connection, { limit: stallLimit, work: () => connection.read() }),
    over: (reusable) => over(reusable && sentAll),
  });
  const answered = reading.then(() => {}, () => {});
  let answeredEarly = false;
  answered.then(() => answeredEarly = true);
  // Who has answered may read no further.
  const write = async (bytes: Uint8Array) => {
    const work = () => Promise.race([connection.write(bytes), answered]);
    await within(connection, { limit: stallLimit, work });
  };
  try {
    await write(headOf(request));
    sentAll = await sendBody(request, { write, enough: () => answeredEarly });
  } catch (error) {
    // A server that refuses a request may say so and close before it has read all of it.
    const early = error instanceof ConnectionLoss ? await lastWords(reading) : undefined;
    if (early !== undefined) return early;
    throw error;
  }
  return await within(connection, { limit: stallLimit, work: () => reading });
}

async function lastWords(reading: Promise<Answer>): Promise<Answer | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), LAST_WORDS_MILLISECONDS);
  try {
    return await Promise.race([reading, late.promise]);
  } catch (error) {
    if (error instanceof ConnectionLoss) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for something on a connection, which is closed when it takes too long. */
async function within<T>(
  connection: Connection,
  { limit, work }: { readonly limit: number; readonly work: () => Promise<T> },
): Promise<T> {
  const timer = setTimeout(() => {
    const seconds = limit / 1000;
    connection.close(new ConnectionLoss("stalled", `nothing has moved for ${seconds} s`));
  }, limit);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}

function headOf({ method, path, query, headers }: WebRequest): Uint8Array {
  const search = Object.entries(query ?? {}).flatMap(([name, value]) => {
    const key = escaped(name);
    if (Array.isArray(value)) return value.map((each) => `${key}=${escaped(each)}`);
    return value === null ? [key] : [`${key}=${escaped(value)}`];
  });
  const target = search.length === 0 ? path : `${path}?${search.join("&")}`;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  for (const line of [target, ...lines]) {
    // deno-lint-ignore no-control-regex -- a line break would begin another header
    if (/[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(line)) {
      throw new TypeError("A header of a request holds what no header may");
    }
  }
  const text = [`${method} ${target} HTTP/1.1`, ...lines, "", ""].join("\r\n");
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** As signatures count it: more than `encodeURIComponent` leaves alone is escaped. */
function escaped(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function addressOf({ protocol, hostname, port }: WebRequest): Address {
  const secure = protocol === "https:";
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return { secure, host, port: port ?? (secure ? 443 : 80) };
}

interface Pool {
  /** A connection that was kept; undefined when there is none. */
  take(address: Address): Connection | undefined;
  keep(address: Address, connection: Connection): void;
  close(): void;
}

function connectionPool(): Pool {
  const kept = new Map<Connection, { readonly place: string; readonly since: number }>();
  const placeOf = ({ secure, host, port }: Address) => `${secure} ${host} ${port}`;
  let closed = false;
  function take(address: Address): Connection | undefined {
    const place = placeOf(address);
    // The newest first.
    for (const [connection, { place: where, since }] of [...kept].reverse()) {
      if (where !== place) continue;
      kept.delete(connection);
      if (connection.idle() && Date.now() - since < KEPT_MILLISECONDS) return connection;
      connection.close();
    }
    return undefined;
  }
  return {
    take,
    keep(address, connection) {
      if (closed) connection.close();
      else kept.set(connection, { place: placeOf(address), since: Date.now() });
    },
    close() {
      closed = true;
      for (const connection of kept.keys()) connection.close();
      kept.clear();
    },
  };
}
