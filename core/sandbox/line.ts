/** The line between the host and one worker: its messages, its limits and its end. */

import { blame, type BlameCode, type Blamed, blamedError, CLASSES } from "./blame.ts";
import type { Facts, Given } from "./guest/context.mjs";
import { type ErrorData, packError } from "./guest/errors.mjs";
import { type StreamMessage, Streams } from "./guest/streams.mjs";
import {
  createClock,
  type GuestClock,
  type GuestLimits,
  type TimedWork,
  watchMemory,
  watchRunaway,
} from "./limits.ts";
import { type GuestMessage, isStreamMessage, readMessage } from "./messages.ts";
import { ProtocolError } from "./shapes.ts";

/** What the plugin is asked for: it answers under the number. */
export type Question =
  | {
    readonly type: "run";
    readonly id: number;
    readonly does: "run" | "plan" | "hook";
    readonly name: string;
    readonly input: unknown;
    readonly facts: Facts;
  }
  | { readonly type: "work"; readonly id: number; readonly work: number; readonly given: Given };

/** What the host says beside what is said of streams. */
export type HostMessage =
  | Question
  | { readonly type: "start"; readonly entry: string; readonly contract: string }
  | { readonly type: "ping" }
  | { readonly type: "abort"; readonly signal: number; readonly error: ErrorData }
  | {
    readonly type: "reply";
    readonly id: number;
    readonly value?: unknown;
    readonly error?: ErrorData;
    /** Whether the plugin was called back and threw it itself. */
    readonly own?: boolean;
    /** Whether it is what the run was ended with. */
    readonly ended?: boolean;
  };

/** What is said of a run. */
export type RunMessage = Extract<GuestMessage, { readonly type: "call" | "log" | "progress" }>;

/** What a line is made with. */
export interface LineOptions {
  readonly blamed: Blamed;
  readonly limits: GuestLimits;
  /** Told that the plugin takes more and more memory although it was ended: only the process's end helps. */
  readonly runaway?: ((error: Error) => void) | undefined;
}

interface Asked extends PromiseWithResolvers<unknown> {
  /** What the run was ended with, if it was. */
  readonly reason: () => unknown;
}

/** The line to one worker. */
export class GuestLine {
  /** Whom to blame. */
  blamed: Blamed;
  readonly streams: Streams;
  /** Told what the plugin asks for or says. */
  onRunMessage: (message: RunMessage) => void = () => {};
  /** What else ends with the line. */
  readonly closers: (() => void | Promise<void>)[] = [];
  readonly #worker: Worker;
  readonly #options: LineOptions;
  readonly #asked = new Map<number, Asked>();
  readonly #loaded = Promise.withResolvers<string>();
  readonly #clock: GuestClock;
  readonly #watches = new Set<() => void>();
  #last = 0;
  #ended: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(worker: Worker, options: LineOptions) {
    this.#worker = worker;
    this.#options = options;
    this.blamed = options.blamed;
    this.streams = new Streams({
      post: (message) => this.#send(message),
      pack: (error) => packError(error, CLASSES),
      unpack: (data) => blamedError(data, this.blamed),
    });
    this.#clock = createClock(options.limits, {
      ask: () => this.#send({ type: "ping" }),
      overrun: (how, work) => this.#overrun(how, work),
    });
    // Whoever loads it is told; the line may end before anybody does.
    this.#loaded.promise.catch(() => {});
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onmessageerror = () => this.#blame("plugin_protocol", "sent what cannot be read");
    worker.onerror = (event) => {
      event.preventDefault();
      this.#blame("plugin_failed", `failed: ${event.message}`);
    };
  }

  /** Why it was ended. */
  get ended(): Error | undefined {
    return this.#ended;
  }

  /** Loads the plugin; what it declares, as JSON. */
  async load(what: { readonly entry: string; readonly contract: string }): Promise<string> {
    const stop = this.watch({ limit: this.#options.limits.load, ending: () => false, waiting: 0 });
    try {
      this.#send({ type: "start", ...what });
      return await this.#loaded.promise;
    } finally {
      stop();
    }
  }

  /** Watches time and memory while the plugin works; what it returns ends that. */
  watch(work: TimedWork): () => void {
    const { memory } = this.#options.limits;
    const stopClock = this.#clock.count(work);
    const stopMemory = watchMemory(
      memory,
      () =>
        this.#blame(
          "plugin_memory",
          `took more than ${Math.round(memory / 2 ** 20)} MiB of memory`,
          {
            hint: "Pass large data on in parts, as a stream, instead of holding all of it",
          },
        ),
    );
    const stop = () => {
      this.#watches.delete(stop);
      stopClock();
      stopMemory();
    };
    this.#watches.add(stop);
    return stop;
  }

  /** A number for what is asked or handed over. */
  number(): number {
    return ++this.#last;
  }

  /**
   * Asks the plugin for something.
   *
   * @param reason gives what the run was ended with, if it was: it is then what the answer fails with
   */
  async ask(
    message: Question,
    reason: () => unknown,
  ): Promise<unknown> {
    if (this.#ended !== undefined) throw reason() ?? this.#ended;
    const asked: Asked = { ...Promise.withResolvers<unknown>(), reason };
    this.#asked.set(message.id, asked);
    try {
      this.send(message);
    } catch (error) {
      this.#asked.delete(message.id);
      throw error;
    }
    return await asked.promise;
  }

  /** Sends a message. @throws DataCloneError when it holds what cannot cross */
  send(message: HostMessage): void {
    this.#send(message);
  }

  /** Ends the worker for what the guest has done. */
  violate(reason: string): void {
    this.#blame("plugin_protocol", `sent what no plugin sends: ${reason}`);
  }

  /** Ends the worker, whatever it does; resolves when what it had opened is closed. */
  end(reason?: Error): Promise<void> {
    return this.#closing ??= this.#close(
      reason ?? blame(this.blamed, "plugin_failed", { message: "has been ended" }),
    );
  }

  async #close(reason: Error): Promise<void> {
    this.#ended = reason;
    this.#worker.onmessage = null;
    this.#worker.terminate();
    for (const stop of this.#watches) stop();
    this.#loaded.reject(reason);
    for (const { reject, reason: ending } of this.#asked.values()) reject(ending() ?? reason);
    this.#asked.clear();
    this.streams.close(reason);
    for (const close of this.closers) await close();
  }

  #blame(code: BlameCode, message: string, options: { readonly hint?: string } = {}): void {
    const error = blame(this.blamed, code, { message, ...options });
    const { runaway, limits } = this.#options;
    if (runaway !== undefined && (code === "plugin_memory" || code === "plugin_hung")) {
      watchRunaway(limits.memory, () => runaway(error));
    }
    void this.end(error);
  }

  #overrun(how: "slow" | "silent" | "ending", { limit = 0 }: TimedWork): void {
    const { grace, silence } = this.#options.limits;
    const seconds = (milliseconds: number) => `${milliseconds / 1000} s`;
    const message = {
      slow: `did not come to an end within ${seconds(limit)}`,
      silent: `did not pause within ${seconds(silence)}: it loops, or computes without awaiting`,
      ending: `did not stop within ${seconds(grace)} when the run was to end`,
    }[how];
    this.#blame("plugin_hung", `${message}, and was ended`);
  }

  #send(message: HostMessage | StreamMessage): void {
    if (this.#ended === undefined) this.#worker.postMessage(message);
  }

  #receive(data: unknown): void {
    try {
      this.#handle(readMessage(data));
    } catch (error) {
      // Streams tell of what is wrong with them by plain errors.
      if (!(error instanceof Error)) throw error;
      this.violate(error.message);
    }
  }

  #handle(message: GuestMessage): void {
    if (isStreamMessage(message)) return this.streams.handle(message);
    switch (message.type) {
      case "pong":
        return this.#clock.answered();
      case "loaded":
        return this.#loaded.resolve(message.declaration);
      case "failed":
        return void this.end(blamedError(message.error, this.blamed, "cannot be loaded"));
      case "crashed":
        return void this.end(this.#crash(message.error));
      case "result":
      case "error":
        return this.#settle(message);
      default:
        return this.onRunMessage(message);
    }
  }

  #settle(message: Extract<GuestMessage, { readonly type: "result" | "error" }>): void {
    const asked = this.#asked.get(message.id);
    if (asked === undefined) throw new ProtocolError("an answer came to what was not asked");
    this.#asked.delete(message.id);
    if (message.type === "result") return asked.resolve(message.value);
    const ending = message.error.reason === true ? asked.reason() : undefined;
    asked.reject(ending ?? blamedError(message.error, this.blamed));
  }

  /** What nobody waited for: of the plugin's state nothing is known, so it goes no further. */
  #crash(data: ErrorData): Error {
    return blamedError(
      { ...data, class: "other" },
      this.blamed,
      "failed where nobody waited for it",
    );
  }
}
