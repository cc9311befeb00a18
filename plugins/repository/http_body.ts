/** Sends the body of a request. */
import { bufferReader } from "./chunks.ts";
import type { WebRequest } from "./http_client.ts";

/** How a body is sent. */
export interface BodyOptions {
  /** Sends bytes; they are not touched until it resolves. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
  /** Whether the server has answered already, so that the rest is of no use. */
  readonly enough: () => boolean;
}

/** What is read from a stream at a time, where it gives bytes into a buffer. */
const BUFFER_BYTES = 128 << 10;

/**
 * Sends text, bytes or a stream of bytes. A byte stream is read into one buffer again and again,
 * which keeps the memory of a long upload flat; any other stream makes new ones as it likes.
 *
 * @returns whether all of it was sent
 * @throws Error when a stream gives more or fewer bytes than the headers say
 */
export async function sendBody(
  { headers, body }: WebRequest,
  options: BodyOptions,
): Promise<boolean> {
  if (body === undefined || body === null) return true;
  if (typeof body === "string") return await sendBytes(new TextEncoder().encode(body), options);
  if (body instanceof Uint8Array) return await sendBytes(body, options);
  if (!(body instanceof ReadableStream)) throw new TypeError("A body is no text, bytes or stream");
  const length = Number(
    Object.entries(headers).find(([name]) => /^content-length$/i.test(name))?.[1],
  );
  const stream: ReadableStream<Uint8Array> = body;
  return await sendStream(stream, { ...options, length });
}

async function sendBytes(bytes: Uint8Array, { write }: BodyOptions): Promise<boolean> {
  if (bytes.length > 0) await write(bytes);
  return true;
}

async function sendStream(
  stream: ReadableStream<Uint8Array>,
  { write, enough, length }: BodyOptions & { readonly length: number },
): Promise<boolean> {
  const reader = readerOf(stream);
  let sent = 0;
  try {
    for (let piece = await reader.read(); piece !== undefined; piece = await reader.read()) {
      if (enough()) return false;
      sent += piece.length;
      if (sent > length) break;
      await write(piece);
    }
    if (sent !== length) throw new Error(`A body has ${sent} bytes instead of ${length}`);
    return true;
  } finally {
    // Whoever gave the stream learns at once that it is of no more use.
    await reader.end();
  }
}

interface BodyReader {
  /** The next bytes, which stay as they are until it is called again. */
  read(): Promise<Uint8Array | undefined>;
  end(): Promise<void>;
}

function readerOf(stream: ReadableStream<Uint8Array>): BodyReader {
  const bytes = bufferReader(stream);
  return bytes === undefined ? chunkReader(stream.getReader()) : bytesReader(bytes);
}

function bytesReader(reader: ReadableStreamBYOBReader): BodyReader {
  let buffer = new ArrayBuffer(BUFFER_BYTES);
  return {
    async read() {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      if (done || value === undefined) return undefined;
      buffer = value.buffer;
      return value;
    },
    end: () => ended(reader),
  };
}

function chunkReader(reader: ReadableStreamDefaultReader<Uint8Array>): BodyReader {
  return { read: async () => (await reader.read()).value, end: () => ended(reader) };
}

/** What the stream fails with has been told by the read that met it. */
async function ended(reader: ReadableStreamGenericReader): Promise<void> {
  await reader.cancel().catch(() => {});
}
