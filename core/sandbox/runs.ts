/** The commands, plans and hooks of one plugin that run, each with a context of its own. */

import { type CommandCall, type Context, OperationError, type Permissions } from "../plugin.ts";
import { CLASSES } from "./blame.ts";
import { type CalledCommand, limitCall } from "./calls.ts";
import { limitFiles } from "./files.ts";
import type { Facts } from "./guest/context.mjs";
import { packError } from "./guest/errors.mjs";
import type { GuestLimits, TimedWork } from "./limits.ts";
import type { GuestLine, HostMessage, RunMessage } from "./line.ts";
import { createHandles, serve, type Service } from "./serve.ts";
import { ProtocolError } from "./shapes.ts";
import { progress } from "./values.ts";

/** What is to run. */
export interface Begun {
  readonly does: "run" | "plan" | "hook";
  readonly name: string;
  readonly input: unknown;
  readonly context: Context;
  /** The variables that the plugin's flags name: it may ask for them. */
  readonly variables: readonly string[];
}

/** Something that runs. */
export interface GuestRun {
  readonly answer: Promise<unknown>;
  /** Ends its service; safe to call twice. */
  readonly close: () => void;
}

/** What limits all runs of a plugin. */
export interface RunsOptions {
  readonly permissions: Permissions;
  readonly limits: GuestLimits;
  readonly locked?: readonly string[];
  readonly hidden?: readonly string[];
  readonly commandOf?: ((name: string) => CalledCommand | undefined) | undefined;
  readonly debug?: (line: string) => void;
}

interface Active {
  readonly service: Service;
  readonly work: TimedWork;
}

/** Characters of one line of the log. */
const LINE = 1 << 16;

/** What runs of one plugin. */
export class GuestRuns {
  readonly #line: GuestLine;
  readonly #options: RunsOptions;
  readonly #active = new Map<number, Active>();
  readonly #handles = createHandles();
  readonly #found = new Set<string>();
  /** What the plugin threw when it was called back: it has it already. */
  readonly #own = new WeakSet<object>();

  constructor(line: GuestLine, options: RunsOptions) {
    this.#line = line;
    this.#options = options;
    line.onRunMessage = (message) => this.#receive(message);
    line.closers.push(() => this.#handles.close());
  }

  /** Begins something. */
  async begin(begun: Begun): Promise<GuestRun> {
    const { does, name, input, context } = begun;
    const line = this.#line;
    const [id, signal] = [line.number(), line.number()];
    const facts = await factsOf(begun, signal);
    const work: TimedWork = {
      limit: does === "run" ? undefined : this.#options.limits.hook,
      ending: () => context.signal.aborted,
      waiting: 0,
    };
    this.#active.set(id, { service: this.#serviceOf(context), work });
    const stopWatching = line.watch(work);
    const stopPassing = this.#pass(context.signal, signal);
    let open = true;
    const close = () => {
      if (!open) return;
      open = false;
      this.#active.delete(id);
      stopWatching();
      stopPassing();
    };
    const answer = line.ask(
      { type: "run", id, does, name, input, facts },
      () => context.signal.aborted ? context.signal.reason : undefined,
    );
    // The plugin is blamed in any case, when it was ended while the run was to end.
    answer.catch(() => {
      if (context.signal.aborted && line.ended !== undefined) context.log.warn(line.ended.message);
    });
    return { answer, close };
  }

  #serviceOf(context: Context): Service {
    const { permissions } = this.#options;
    const line = this.#line;
    const name = line.blamed.name;
    const limits = { ...this.#options, name };
    const files = limitFiles(context.files, limits);
    const run = async (path: string, call?: CommandCall) => {
      await limitCall(path, call ?? {}, limits);
      return await context.run(path, call);
    };
    return {
      name,
      // Whatever else it has stays as it is; its database is not opened by looking at it.
      context: Object.create(context, { files: { value: files }, run: { value: run } }),
      permissions,
      streams: line.streams,
      handles: this.#handles,
      found: this.#found,
      back: async (work, given) => {
        const message = { type: "work", id: line.number(), work, given } as const;
        try {
          await line.ask(message, () => undefined);
        } catch (error) {
          if (typeof error === "object" && error !== null) this.#own.add(error);
          throw error;
        }
      },
      during: async (lost, work) => {
        const id = line.number();
        const stop = this.#pass(lost, id);
        try {
          return await work(id);
        } finally {
          stop();
        }
      },
    };
  }

  /** Passes a signal on; what it returns ends that. */
  #pass(signal: AbortSignal, id: number): () => void {
    const abort = () =>
      this.#line.send({ type: "abort", signal: id, error: packError(signal.reason, CLASSES) });
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    return () => signal.removeEventListener("abort", abort);
  }

  #receive(message: RunMessage): void {
    if (message.type === "call") return void this.#call(message);
    const active = message.run === undefined ? undefined : this.#active.get(message.run);
    if (message.type === "progress") {
      if (active === undefined) return;
      const state = message.state === null ? null : progress(message.state);
      return active.service.context.progress(state);
    }
    // A line that it begins itself must not look like one of the host's.
    const text = message.text.slice(0, LINE).replaceAll(/\r\n?|\n/g, "\n  ");
    // What is written to the console belongs to no run, so the last one that began tells it.
    const { service } = active ?? [...this.#active.values()].at(-1) ?? {};
    if (service !== undefined) service.context.log[message.level](text);
    else this.#options.debug?.(text);
  }

  async #call(message: Extract<RunMessage, { readonly type: "call" }>): Promise<void> {
    const { id } = message;
    const active = this.#active.get(message.run);
    if (active === undefined) return this.#reply({ id, error: packError(runEnded(), CLASSES) });
    active.work.waiting++;
    try {
      this.#reply({ id, value: await serve(active.service, message) });
    } catch (error) {
      if (error instanceof ProtocolError) return this.#line.violate(error.message);
      const own = typeof error === "object" && error !== null && this.#own.has(error);
      const { signal } = active.service.context;
      const ended = signal.aborted && error === signal.reason;
      this.#reply({ id, error: packError(error, CLASSES), own, ended });
    } finally {
      active.work.waiting--;
    }
  }

  #reply(reply: Omit<Extract<HostMessage, { readonly type: "reply" }>, "type">): void {
    try {
      this.#line.send({ type: "reply", ...reply });
    } catch (error) {
      // What another command gave cannot cross.
      this.#line.send({ type: "reply", id: reply.id, error: packError(error, CLASSES) });
    }
  }
}

function runEnded(): OperationError {
  return new OperationError("The command or hook that asked for it has ended", {
    code: "run_ended",
    hint: "Await everything that a command or hook begins",
  });
}

/** What a plugin knows of its run from the start. */
async function factsOf(
  { context, variables }: Pick<Begun, "context" | "variables">,
  signal: number,
): Promise<Facts> {
  const names = (await context.config.entries())
    .flatMap(({ name, secret }) => secret ? [] : [name]);
  const config = [...new Set([...names, ...variables])].flatMap((name) => {
    const value = context.config.get(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const { dryRun, json, tool: { name: tool, version } } = context;
  const told = { dryRun, json, tool: { name: tool, version } };
  const facts = { signal, ...told, config: Object.fromEntries(config) };
  try {
    const { host, port, database, user } = context.db.target;
    return { ...facts, target: { host, port, database, user } };
  } catch (error) {
    // It fails when the plugin asks for it, as it does for a built-in.
    return { ...facts, noDatabase: packError(error, CLASSES) };
  }
}
