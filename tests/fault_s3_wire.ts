/** What the proxy of faults reads and writes: requests and answers of HTTP/1.1, byte by byte. */

/** A connection that is read from in the pieces asked for. */
export class Wire {
  readonly connection: Deno.Conn;
  #rest: Uint8Array<ArrayBufferLike> = new Uint8Array();

  constructor(connection: Deno.Conn) {
    this.connection = connection;
  }

  /** The lines of the head; undefined when the other end has closed. */
  async head(): Promise<string[] | undefined> {
    for (;;) {
      const text = new TextDecoder("latin1").decode(this.#rest);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.#rest = this.#rest.subarray(end + 4);
        return text.slice(0, end).split("\r\n");
      }
      const more = await this.#more();
      if (more === undefined) return undefined;
      const joined = new Uint8Array(this.#rest.length + more.length);
      joined.set(this.#rest);
      joined.set(more, this.#rest.length);
      this.#rest = joined;
    }
  }

  /** So many bytes as they come; fewer when the other end closes. */
  async *body(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0;) {
      const piece = this.#rest.length > 0 ? this.#rest : await this.#more();
      if (piece === undefined) return;
      const taken = piece.subarray(0, left);
      this.#rest = piece.subarray(taken.length);
      left -= taken.length;
      yield taken;
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.length > 0;) {
      rest = rest.subarray(await this.connection.write(rest));
    }
  }

  /** Closes it, and lets whatever is read from it end. */
  close(): void {
    try {
      // Some versions of the runtime keep it open as long as a read is under way (denoland/deno#35292).
      this.connection.closeWrite().catch(() => {});
      this.connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #more(): Promise<Uint8Array | undefined> {
    const buffer = new Uint8Array(64 << 10);
    const count = await this.connection.read(buffer);
    return count === null ? undefined : buffer.subarray(0, count);
  }
}

/** Headers by their names in lower case. */
export function headersOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
}

/** A head as bytes. */
export function headOf(first: string, headers: Readonly<Record<string, string>>): Uint8Array {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const text = [first, ...lines, "", ""].join("\r\n");
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** An answer that is held as a whole. */
export interface WholeAnswer {
  readonly status: number;
  /** By names in lower case; the length is put right when it is sent. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Sends an answer, or so much of it; the length that is told is always the whole one's. */
export async function sendAnswer(
  wire: Wire,
  { status, headers, body }: WholeAnswer,
  { head = false, bytes = body.length }: { readonly head?: boolean; readonly bytes?: number } = {},
): Promise<void> {
  const { "transfer-encoding": _chunked, "content-length": length, ...rest } = headers;
  const told = head ? length ?? "0" : String(body.length);
  await wire.write(
    headOf(`HTTP/1.1 ${status} Told`, { ...rest, "content-length": told, "connection": "close" }),
  );
  if (!head) await wire.write(body.subarray(0, bytes));
}

/** Reads an answer to its end, its body too. */
export async function readAnswer(wire: Wire, method: string): Promise<WholeAnswer> {
  for (;;) {
    const [first = "", ...lines] = await wire.head() ?? [];
    const status = Number(first.split(" ")[1]);
    if (status === 100) continue;
    const headers = headersOf(lines);
    const length = headers["content-length"];
    const none = method === "HEAD" || status === 204 || status === 304;
    const count = none ? 0 : length === undefined ? Infinity : Number(length);
    const pieces = await Array.fromAsync(wire.body(count));
    const bytes = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
    const body = headers["transfer-encoding"] === undefined ? bytes : unchunked(bytes);
    return { status, headers, body };
  }
}

function unchunked(bytes: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let at = 0;;) {
    const line = bytes.indexOf(13, at);
    const size = parseInt(new TextDecoder().decode(bytes.subarray(at, line)), 16);
    if (!(size > 0)) break;
    pieces.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
