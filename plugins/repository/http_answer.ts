/** Reads what a web server answers (RFC 9112), piece by piece as it comes. */
import { type Connection, ConnectionLoss } from "./http_connection.ts";

/** An answer whose body is still to be read. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Fails with a ConnectionLoss when it breaks off. */
  readonly body: ReadableStream<Uint8Array>;
}

/** How an answer is read. */
export interface AnswerOptions {
  /** Of the request. */
  readonly method: string;
  /** Waits for the next bytes of the body; it may set limits. */
  readonly next: () => Promise<Uint8Array | null>;
  /** Called once, when the body is over: whether the connection can be used again. */
  readonly over: (reusable: boolean) => void;
}

/** More than any server sends; what is longer is no HTTP. */
const HEAD_LIMIT = 64 << 10;

/**
 * Reads the head of an answer; the body is read on demand.
 *
 * @throws ConnectionLoss when it breaks off, or is no HTTP
 */
export async function readAnswer(
  connection: Connection,
  { method, next, over }: AnswerOptions,
): Promise<Answer> {
  const bytes = new ByteSource(() => connection.read());
  for (;;) {
    const [first = "", ...lines] = await readHead(bytes);
    const [, minor, digits, reason = ""] = /^HTTP\/1\.(\d) (\d{3})(?: (.*))?$/.exec(first) ?? [];
    if (digits === undefined) throw strange("an answer that is no HTTP");
    const status = Number(digits);
    if (status < 200) continue;
    const headers = headersOf(lines);
    const kept = minor === "1" && headers["connection"]?.toLowerCase() !== "close";
    bytes.more = next;
    const empty = method === "HEAD" || status === 204 || status === 304;
    const pieces = empty ? none() : bodyPieces(bytes, headers);
    const body = streamOf(pieces, {
      over: (whole) => over(whole && kept && delimited(headers, empty) && bytes.isEmpty()),
    });
    // An empty body has no reader that would come to its end.
    if (empty || headers["content-length"] === "0") {
      return { status, reason, headers, ...await drained(body) };
    }
    return { status, reason, headers, body };
  }
}

async function drained(body: ReadableStream<Uint8Array>): Promise<Pick<Answer, "body">> {
  await body.getReader().read();
  return { body: ReadableStream.from<Uint8Array>([]) };
}

function delimited(headers: Answer["headers"], empty: boolean): boolean {
  return empty || "content-length" in headers || isChunked(headers);
}

function isChunked(headers: Answer["headers"]): boolean {
  return /\bchunked$/i.test(headers["transfer-encoding"] ?? "");
}

async function readHead(bytes: ByteSource): Promise<string[]> {
  const lines: string[] = [];
  let size = 0;
  for (;;) {
    const line = await bytes.line(HEAD_LIMIT);
    size += line.length;
    if (size > HEAD_LIMIT) throw strange("an answer without an end to its head");
    if (line !== "") lines.push(line);
    else if (lines.length > 0) return lines;
  }
}

function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) throw strange("a header that is none");
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}

function bodyPieces(bytes: ByteSource, headers: Answer["headers"]): AsyncGenerator<Uint8Array> {
  if (isChunked(headers)) return chunkedPieces(bytes);
  const length = headers["content-length"];
  if (length === undefined) return bytes.rest();
  if (!/^\d{1,15}$/.test(length)) throw strange("a length that is none");
  return bytes.pieces(Number(length));
}

async function* chunkedPieces(bytes: ByteSource): AsyncGenerator<Uint8Array> {
  for (;;) {
    const line = await bytes.line(HEAD_LIMIT);
    const [digits = ""] = line.split(";");
    if (!/^[0-9a-f]{1,12}\s*$/i.test(digits)) throw strange("a chunk without a size");
    const size = parseInt(digits, 16);
    if (size === 0) break;
    yield* bytes.pieces(size);
    if (await bytes.line(2) !== "") throw strange("a chunk that is longer than it says");
  }
  while (await bytes.line(HEAD_LIMIT) !== "");
}

async function* none(): AsyncGenerator<Uint8Array> {}

/** A stream of the pieces, each asked for when it is read. */
function streamOf(
  pieces: AsyncGenerator<Uint8Array>,
  { over }: { readonly over: (whole: boolean) => void },
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await pieces.next();
        if (done !== true) return controller.enqueue(value);
        over(true);
        controller.close();
      } catch (error) {
        over(false);
        controller.error(error);
      }
    },
    cancel: () => over(false),
  }, { highWaterMark: 0 });
}

/** What comes over a connection, in the pieces asked for. */
class ByteSource {
  /** Gives the next bytes. */
  more: () => Promise<Uint8Array | null>;
  #rest: Uint8Array = new Uint8Array();

  constructor(more: () => Promise<Uint8Array | null>) {
    this.more = more;
  }

  isEmpty(): boolean {
    return this.#rest.length === 0;
  }

  /** The next line without its end. */
  async line(limit: number): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf(10);
      if (end >= 0) {
        const line = this.#rest.subarray(0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return new TextDecoder("latin1").decode(line).replace(/\r$/, "");
      }
      if (this.#rest.length > limit) throw strange("a line without an end");
      const more = await this.#next();
      const joined = new Uint8Array(this.#rest.length + more.length);
      joined.set(this.#rest);
      joined.set(more, this.#rest.length);
      this.#rest = joined;
    }
  }

  /** So many bytes. */
  async *pieces(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0;) {
      const piece = this.isEmpty() ? await this.#next() : this.#rest;
      const taken = piece.subarray(0, left);
      this.#rest = piece.subarray(taken.length);
      left -= taken.length;
      yield taken;
    }
  }

  /** All until the end. */
  async *rest(): AsyncGenerator<Uint8Array> {
    if (!this.isEmpty()) yield this.#rest;
    this.#rest = new Uint8Array();
    for (let piece = await this.more(); piece !== null; piece = await this.more()) yield piece;
  }

  async #next(): Promise<Uint8Array> {
    const piece = await this.more();
    if (piece === null) throw new ConnectionLoss("lost", "the answer was cut off");
    return piece;
  }
}

function strange(what: string): ConnectionLoss {
  return new ConnectionLoss("lost", `the server sent ${what}`);
}
