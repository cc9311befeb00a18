// @ts-check
/**
 * Streams between the host and a plugin's worker, in either direction; both sides run this file.
 * Whoever reads says how many parts it takes, so that no more than those are on their way.
 *
 * @import { ErrorData } from "./errors.mjs"
 */

/** How many parts of one stream are on their way at most. */
export const WINDOW = 8;

/**
 * @typedef {(
 *   | { type: "pull", stream: number, count: number }
 *   | { type: "cancel", stream: number, error: ErrorData }
 *   | { type: "part", stream: number, value: unknown }
 *   | { type: "done", stream: number }
 *   | { type: "broken", stream: number, error: ErrorData }
 * )} StreamMessage what is said of a stream; its number is its sender's
 */

/**
 * @typedef {object} StreamSide what a side does with messages and errors
 * @property {(message: StreamMessage) => void} post
 * @property {(error: unknown) => ErrorData} pack
 * @property {(data: ErrorData) => unknown} unpack
 */

/**
 * @typedef {object} Outgoing
 * @property {ReadableStreamDefaultReader<unknown>} reader
 * @property {number} credit
 * @property {boolean} pumping
 */

/**
 * @typedef {object} Incoming
 * @property {(value: unknown) => void} put
 * @property {(end: { error?: unknown }) => void} end
 */

/** The streams of one side. */
export class Streams {
  /** @type {StreamSide} */
  #side;
  /** @type {Map<number, Outgoing>} */
  #outgoing = new Map();
  /** @type {Map<number, Incoming>} */
  #incoming = new Map();
  #last = 0;

  /** @param {StreamSide} side */
  constructor(side) {
    this.#side = side;
  }

  /**
   * Hands a stream over; it is read as the other side asks for it.
   *
   * @param {ReadableStream<unknown>} stream
   * @returns {number} what the other side knows it by
   */
  send(stream) {
    const id = ++this.#last;
    this.#outgoing.set(id, { reader: stream.getReader(), credit: 0, pumping: false });
    return id;
  }

  /**
   * A stream that the other side hands over.
   *
   * @template T
   * @param {number} id
   * @param {(value: unknown) => T} check what each part has to pass; what it throws, `handle` throws
   * @param {() => void} [over] called when it has been read to its end, has failed or was cancelled
   * @param {(error: Error) => Error} [told] what it fails with instead of the other side's error
   * @returns {ReadableStream<T>}
   * @throws {Error} when the number is in use
   */
  receive(id, check, over = () => {}, told = (error) => error) {
    if (this.#incoming.has(id)) throw new Error("a stream was handed over twice");
    /** @type {T[]} */
    const parts = [];
    /** @type {{ error?: unknown } | undefined} */
    let ended;
    let dropped = false;
    // Asked for and not yet received; and asked for and not yet read here.
    let owed = 0;
    let unread = 0;
    let wake = () => {};
    const grant = () => {
      const count = WINDOW - unread;
      owed += count;
      unread += count;
      this.#side.post({ type: "pull", stream: id, count });
    };
    this.#incoming.set(id, {
      put(value) {
        if (--owed < 0) throw new Error("a stream has more parts than were asked for");
        const part = check(value);
        if (dropped) return;
        parts.push(part);
        wake();
      },
      end: (end) => {
        this.#incoming.delete(id);
        ended ??= end.error instanceof Error ? { error: told(end.error) } : end;
        wake();
      },
    });
    return new ReadableStream({
      pull: async (controller) => {
        if (ended === undefined && unread <= WINDOW / 2) grant();
        while (parts.length === 0 && ended === undefined) {
          await new Promise((resolve) => wake = () => resolve(undefined));
        }
        if (parts.length > 0) {
          unread--;
          // It has just been seen that there is one.
          controller.enqueue(/** @type {T} */ (parts.shift()));
          return;
        }
        if (ended !== undefined && "error" in ended) controller.error(ended.error);
        else if (!dropped) controller.close();
        over();
      },
      cancel: (reason) => {
        dropped = true;
        parts.length = 0;
        over();
        if (ended !== undefined) return;
        this.#side.post({ type: "cancel", stream: id, error: this.#side.pack(reason) });
        // Its end still comes; nobody waits for it.
        ended = {};
        wake();
      },
    }, { highWaterMark: 0 });
  }

  /**
   * Does what a message says.
   *
   * @param {StreamMessage} message
   * @throws {Error} when it cannot be meant so
   */
  handle(message) {
    const { stream: id } = message;
    if (message.type === "pull" || message.type === "cancel") {
      if (id > this.#last) throw new Error("a stream is meant that there never was");
      const outgoing = this.#outgoing.get(id);
      // It may have ended meanwhile.
      if (outgoing === undefined) return;
      if (message.type === "cancel") return this.#cancel(id, this.#side.unpack(message.error));
      outgoing.credit += message.count;
      if (outgoing.credit > WINDOW) {
        throw new Error("more of a stream is asked for than is allowed");
      }
      this.#pump(id, outgoing);
      return;
    }
    const incoming = this.#incoming.get(id);
    if (incoming === undefined) throw new Error("a stream is meant that there is not");
    if (message.type === "part") incoming.put(message.value);
    else if (message.type === "done") incoming.end({});
    else incoming.end({ error: this.#side.unpack(message.error) });
  }

  /**
   * Ends all streams: the other side is gone.
   *
   * @param {unknown} reason
   */
  close(reason) {
    for (const incoming of [...this.#incoming.values()]) incoming.end({ error: reason });
    for (const { reader } of this.#outgoing.values()) reader.cancel(reason).catch(() => {});
    this.#outgoing.clear();
  }

  /**
   * @param {number} id
   * @param {unknown} reason
   */
  #cancel(id, reason) {
    const outgoing = this.#outgoing.get(id);
    this.#outgoing.delete(id);
    // Nobody is left to be told that the rest cannot be given up.
    outgoing?.reader.cancel(reason).catch(() => {});
    this.#side.post({ type: "done", stream: id });
  }

  /**
   * @param {number} id
   * @param {Outgoing} outgoing
   */
  async #pump(id, outgoing) {
    if (outgoing.pumping) return;
    outgoing.pumping = true;
    try {
      while (outgoing.credit > 0) {
        outgoing.credit--;
        const { done, value } = await outgoing.reader.read();
        if (!this.#outgoing.has(id)) return;
        if (done) {
          this.#outgoing.delete(id);
          return this.#side.post({ type: "done", stream: id });
        }
        this.#side.post({ type: "part", stream: id, value });
      }
      outgoing.pumping = false;
    } catch (error) {
      // Reading failed, or the part cannot cross.
      if (!this.#outgoing.delete(id)) return;
      outgoing.reader.cancel(error).catch(() => {});
      this.#side.post({ type: "broken", stream: id, error: this.#side.pack(error) });
    }
  }
}
