/** Cuts the server's byte stream into messages, whatever pieces it arrives in. */
import { int32, text } from "./row_bytes.mjs";
import type { Duplex } from "./transport.ts";

export { int32, text };

/**
 * Takes one message: its type's character code and where its body lies. The
 * bytes are valid only during the call, since the buffer is used again. When it
 * returns a promise, that is waited for before the next message.
 */
export type MessageHandler = (
  type: number,
  bytes: Uint8Array,
  start: number,
  end: number,
) => void | Promise<void>;

/** A message whose body is its own. */
export interface Message {
  readonly type: number;
  readonly body: Uint8Array;
}

/** What does not follow the protocol: the peer is broken, or no PostgreSQL server. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

/** The most a server sends in one message: the limit of its own allocations. */
const LARGEST_MESSAGE = 0x3fffffff;
/** The most that any message of the login needs; a longer one shows that this is no PostgreSQL. */
const LARGEST_LOGIN_MESSAGE = 1 << 20;
const SMALL_BUFFER = 8 << 10;
const LARGE_BUFFER = 128 << 10;

/** The incremental parser of messages. */
export class MessageReader {
  readonly #source: Duplex;
  #bytes = new Uint8Array(SMALL_BUFFER);
  #start = 0;
  #end = 0;
  #largest = LARGEST_LOGIN_MESSAGE;

  constructor(source: Duplex) {
    this.#source = source;
  }

  /** Lifts the limit on the size of messages that holds during the login. */
  loggedIn(): void {
    this.#largest = LARGEST_MESSAGE;
  }

  /** Whether bytes have arrived that no message has been made of. */
  get hasRest(): boolean {
    return this.#end > this.#start;
  }

  /** Waits for the next message; null when the server has closed the connection. */
  async next(): Promise<Message | null> {
    for (;;) {
      const end = this.#messageEnd();
      if (end !== -1) {
        const type = this.#bytes[this.#start] ?? 0;
        const body = this.#bytes.slice(this.#start + 5, end);
        this.#start = end;
        return { type, body };
      }
      if (!await this.#fill()) return null;
    }
  }

  /** Hands every message to `handle` until the server closes the connection. */
  async forEach(handle: MessageHandler): Promise<void> {
    do {
      for (let end = this.#messageEnd(); end !== -1; end = this.#messageEnd()) {
        const start = this.#start;
        // Moved on first: what `handle` throws must not present the message again.
        this.#start = end;
        const pause = handle(this.#bytes[start] ?? 0, this.#bytes, start + 5, end);
        if (pause !== undefined) await pause;
      }
    } while (await this.#fill());
  }

  /** Where the message at the front ends, or -1 while it is incomplete. */
  #messageEnd(): number {
    const at = this.#start;
    if (this.#end - at < 5) return -1;
    const length = int32(this.#bytes, at + 1);
    if (length < 4 || length > this.#largest) {
      throw new ProtocolError(
        `a message of type ${printable(this.#bytes[at] ?? 0)} claims ${length} bytes`,
      );
    }
    const end = at + 1 + length;
    return end <= this.#end ? end : -1;
  }

  async #fill(): Promise<boolean> {
    this.#makeRoom();
    const count = await this.#source.read(this.#bytes.subarray(this.#end));
    if (count === null) {
      if (this.#end > this.#start) {
        throw new Error("it ended in the middle of a message");
      }
      return false;
    }
    this.#end += count;
    return true;
  }

  /**
   * Keeps space to read into. The buffer doubles only as bytes really arrive, so
   * that a false length alone cannot claim memory, and returns to its usual size
   * after a large message.
   */
  #makeRoom(): void {
    const length = this.#end - this.#start;
    const capacity = this.#bytes.length;
    if (length === 0) {
      // A full buffer shows that more is coming: fewer, larger reads are cheaper then.
      if (this.#end === capacity && capacity !== LARGE_BUFFER) {
        this.#bytes = new Uint8Array(LARGE_BUFFER);
      }
      this.#start = this.#end = 0;
      return;
    }
    if (capacity - this.#end >= capacity / 4) return;
    const wanted = length > capacity / 2
      ? Math.max(capacity * 2, LARGE_BUFFER)
      : length > LARGE_BUFFER / 2
      ? capacity
      : LARGE_BUFFER;
    if (wanted === capacity) {
      this.#bytes.copyWithin(0, this.#start, this.#end);
    } else {
      const bytes = new Uint8Array(wanted);
      bytes.set(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = bytes;
    }
    this.#end = length;
    this.#start = 0;
  }
}

/** An unsigned 16-bit number in network order. */
export function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** The text up to the next zero byte, and where the byte after it lies. */
export function cString(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly value: string; readonly next: number } {
  const zero = bytes.indexOf(0, start);
  if (zero === -1 || zero >= end) throw new ProtocolError("a text in a message does not end");
  return { value: text(bytes, start, zero), next: zero + 1 };
}

/** A message's type for an error text. */
export function printable(type: number): string {
  return type > 32 && type < 127
    ? `"${String.fromCharCode(type)}"`
    : `0x${type.toString(16).padStart(2, "0")}`;
}
