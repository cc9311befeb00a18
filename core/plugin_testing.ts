/**
 * What tests of plugins are written with: a context in memory that answers as the test says and
 * keeps what the plugin did. It imports nothing but the contract, so that both can be handed to
 * plugin authors.
 */
import {
  type CommandCall,
  type Context,
  type Hook,
  type HookEvent,
  type HookMoment,
  type Hooks,
  OperationError,
  type Plugin,
  type Program,
  type Result,
} from "./plugin.ts";
import { fakeFiles } from "./plugin_testing_files.ts";
import { fakeDatabase, type SqlAnswers, type SqlStatement } from "./plugin_testing_database.ts";

export type { SqlAnswer, SqlAnswers, SqlStatement } from "./plugin_testing_database.ts";

/** What a fake context answers with; everything may be left out. */
export interface FakeContextOptions {
  /** Answers to SQL, the first that matches: `[["SELECT 1", [{ n: 1 }]], [/^UPDATE/, { count: 3 }]]`. */
  readonly sql?: SqlAnswers;
  /** Settings by the names of their variables. */
  readonly config?: Readonly<Record<string, string>>;
  /** Files by path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Results of the commands that `ctx.run` runs, by path. */
  readonly commands?: Readonly<
    Record<string, Result | Error | ((input: CommandCall) => Result | Error)>
  >;
  /** How programs end that `ctx.exec` starts, by name. */
  readonly programs?: Readonly<Record<string, FakeProgramEnd>>;
  /** Lines that are typed when `ctx.prompt` asks; then nobody can be asked. */
  readonly typed?: readonly string[];
  readonly state?: Readonly<Record<string, unknown>>;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  /** Milliseconds since 1970; `ctx.sleep` lets them go by at once. */
  readonly now?: number;
  readonly signal?: AbortSignal;
}

/** What a program writes, and how it ends. */
export interface FakeProgramEnd {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly code?: number;
}

/** A context, with what was done through it. */
export interface FakeContext extends Context {
  /** The lines of the log, each as `level: message`. */
  readonly lines: readonly string[];
  /** The statements, in the order in which they came. */
  readonly statements: readonly SqlStatement[];
  /** The files as they stand now. */
  readonly stored: ReadonlyMap<string, Uint8Array>;
  /** What `ctx.run` was called with. */
  readonly ran: readonly { readonly path: string; readonly input: CommandCall }[];
  /** The programs that were started. */
  readonly started: readonly { readonly program: string; readonly args: readonly string[] }[];
  readonly questions: readonly string[];
  /** What `ctx.state` keeps. */
  readonly kept: ReadonlyMap<string, unknown>;
}

/** Makes a context in memory. */
export function fakeContext(options: FakeContextOptions = {}): FakeContext {
  const lines: string[] = [];
  const statements: SqlStatement[] = [];
  const stored = new Map(
    Object.entries(options.files ?? {}).map(([path, contents]) => [path, bytesOf(contents)]),
  );
  const ran: { path: string; input: CommandCall }[] = [];
  const started: { program: string; args: readonly string[] }[] = [];
  const questions: string[] = [];
  const kept = new Map(Object.entries(options.state ?? {}));
  const typed = [...options.typed ?? []];
  const config = new Map(Object.entries(options.config ?? {}));
  const signal = options.signal ?? new AbortController().signal;
  let now = options.now ?? 0;
  const at = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  return {
    lines,
    statements,
    stored,
    ran,
    started,
    questions,
    kept,
    db: fakeDatabase(options.sql ?? [], statements),
    files: fakeFiles(stored, { directory: "/test", now: () => now }),
    log: { debug: at("debug"), info: at("info"), success: at("success"), warn: at("warn") },
    config: {
      get: (name) => config.get(name),
      entries: () =>
        Promise.resolve(
          [...config].map(([name, value]) => ({ name, value, origin: "test", secret: false })),
        ),
      problems: () => Promise.resolve([]),
    },
    tool: { name: "observatory", version: "0.0.0" },
    signal,
    dryRun: options.dryRun ?? false,
    json: options.json ?? false,
    async run(path, input = {}) {
      ran.push({ path, input });
      const given = options.commands?.[path];
      if (given === undefined) throw missing(`the command "${path}"`, "commands");
      const result = typeof given === "function" ? await given(input) : given;
      if (result instanceof Error) throw result;
      return result;
    },
    async exec(program, { args = [], stdin } = {}) {
      started.push({ program, args });
      const end = options.programs?.[program];
      if (end === undefined) throw missing(`the program "${program}"`, "programs");
      if (stdin instanceof ReadableStream) await drained(stdin);
      return programOf(end);
    },
    clientTool: (name, { major = 18 } = {}) =>
      Promise.resolve({ path: name, version: `${major}.0`, major }),
    plugins: {
      list: () => Promise.resolve([]),
      check: () => Promise.reject(missing("a plugin", "no option")),
      contract: () => Promise.resolve(""),
      testing: () => Promise.resolve({}),
    },
    state: {
      get: (key) => Promise.resolve(kept.get(key)),
      set(key, value) {
        // As it is kept: JSON.
        if (value === undefined) kept.delete(key);
        else kept.set(key, JSON.parse(JSON.stringify(value)));
        return Promise.resolve();
      },
      keys: () => Promise.resolve([...kept.keys()].sort()),
    },
    prompt(question) {
      questions.push(question);
      return Promise.resolve(typed.shift() ?? null);
    },
    // deno-lint-ignore require-await -- a run that is to end rejects
    async sleep(milliseconds) {
      signal.throwIfAborted();
      now += milliseconds;
    },
    progress: () => {},
    now: () => now,
  };
}

/** What a command or a hook is called with. */
export interface FakeCall {
  /** By default one that answers nothing. */
  readonly context?: Context;
  /** Flags; those left out have their defaults. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly args?: Readonly<Record<string, unknown>>;
}

/**
 * Runs a command of a plugin as the program would: with the defaults of its flags, and without a
 * database where it declares that it needs none.
 *
 * @param path the command's full path
 * @throws Error when the plugin has no such command, or the command no such flag or argument
 */
export async function runCommand(
  plugin: Plugin,
  path: string,
  { context = fakeContext(), flags = {}, args = {} }: FakeCall = {},
): Promise<Result> {
  const command = plugin.commands?.[path];
  if (command === undefined) throw new Error(`Plugin ${plugin.name} has no command "${path}"`);
  const ctx: Context = command.database !== "none" ? context : Object.create(context, {
    db: {
      get() {
        throw new OperationError("This command declares that it needs no database", {
          code: "no_database",
        });
      },
    },
  });
  return await command.run(ctx, {
    flags: valuesOf(command.flags ?? {}, { given: flags, what: "flag" }),
    args: valuesOf(command.args ?? {}, { given: args, what: "argument" }),
  });
}

interface Declared {
  readonly type?: string;
  readonly default?: unknown;
  readonly repeatable?: boolean;
  readonly required?: boolean;
}

function valuesOf(
  declared: Readonly<Record<string, Declared>>,
  { given, what }: { readonly given: Readonly<Record<string, unknown>>; readonly what: string },
): Record<string, unknown> {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(declared, name)) throw new Error(`There is no ${what} "${name}"`);
  }
  return Object.fromEntries(
    Object.entries(declared).map(([name, each]) => {
      const value = given[name] ?? each.default;
      if (value === undefined && each.required) throw new Error(`The ${what} "${name}" is missing`);
      if (each.repeatable) return [name, value === undefined ? [] : [value].flat()];
      return [name, value ?? (each.type === "boolean" ? false : undefined)];
    }),
  );
}

/**
 * Calls a hook of a plugin.
 *
 * @param name the hook's full name, such as `after:backup`
 * @param call.event what the hook is told beside its moment and its command; at `failed` an error,
 * unless the test gives another
 * @throws Error when the plugin has no such hook
 */
export async function runHook<M extends HookMoment>(
  plugin: Plugin,
  name: `${M}:${string}`,
  { context = fakeContext(), event = {} }: {
    readonly context?: Context;
    readonly event?: Partial<HookEvent<M>>;
  } = {},
): Promise<void> {
  const hook = plugin.hooks?.[name as keyof Hooks] as Hook | undefined;
  if (hook === undefined) throw new Error(`Plugin ${plugin.name} has no hook "${name}"`);
  const [moment, command] = name.split(":", 2) as [HookMoment, string];
  const told = { moment, command, effect: "write", flags: {}, args: {} };
  const error = { code: "failed", message: "It failed" };
  const outcome: object = moment === "failed" ? { error, ...event } : event;
  await hook(context, { ...told, ...outcome } as HookEvent);
}

function missing(what: string, option: string): Error {
  return new Error(`The test does not say what comes of ${what}: name it in "${option}"`);
}

function programOf({ stdout = "", stderr = "", code = 0 }: FakeProgramEnd): Program {
  return {
    stdout: streamOf(bytesOf(stdout)),
    stderr: streamOf(bytesOf(stderr)),
    exit: Promise.resolve({ code }),
    stop: () => Promise.resolve(),
  };
}

function bytesOf(contents: string | Uint8Array): Uint8Array {
  return typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

async function drained(stream: ReadableStream<Uint8Array>): Promise<void> {
  await stream.pipeTo(new WritableStream());
}
