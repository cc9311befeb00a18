/**
 * The plugin contract: everything a plugin is written with, the built-in ones
 * included. It imports nothing, so that it can be handed to plugin authors as
 * one file.
 *
 * What crosses between a plugin and its host is structured-cloneable or a
 * transferred stream, and every method of the context is asynchronous: a
 * user's plugin runs in a worker and reaches the host by messages, a built-in
 * has the same context in process.
 */

// ---------------------------------------------------------------------------
// Declarations
// ---------------------------------------------------------------------------

/** The type that a flag's or an argument's text is converted to. */
export type FlagType = "string" | "number" | "boolean";

/** Declares one flag of a command; its key is the flag's name without dashes, in kebab case. */
export interface Flag {
  readonly type: FlagType;
  /** One line for the help text. */
  readonly help: string;
  /** The value when neither the flag nor its environment variable is given. */
  readonly default?: string | number | boolean;
  /** The one-letter form, without the dash. */
  readonly short?: string;
  /** An environment variable that gives the value when the flag is absent. */
  readonly env?: string;
  /** The only values accepted. */
  readonly choices?: readonly string[];
  /** Whether the flag may be given several times; its value is then a list. */
  readonly repeatable?: boolean;
  /** Whether a value must be there, from the flag or its variable. */
  readonly required?: boolean;
  /** Whether the value is a secret: it is masked wherever text is written. */
  readonly secret?: boolean;
  /** Whether the value is SQL: the audit tells it without its literals. */
  readonly sql?: boolean;
  /** What the value is called in the help text; by default the type's name. */
  readonly placeholder?: string;
  /**
   * That the value is a path, and what is done there. A plugin that runs the command and gives it has
   * to have declared the path itself.
   */
  readonly path?: PathUse;
  /** That the value is the address of a host that is reached; likewise for `permissions.net`. */
  readonly url?: boolean;
  /** What shells offer for the value, where neither `choices` nor `path` tells it. */
  readonly completes?: Completion;
}

/** What is done at a path. */
export type PathUse = "read" | "write";

/**
 * What a shell offers for a value while it is typed: what this machine has of that kind, found
 * without the database. `dump` is every `backup`, and the dumps without a manifest; `environment` and
 * `seed` are what SEEDS_DIR has; `file` and `directory` are any.
 */
export type Completion =
  | "backup"
  | "dump"
  | "migration"
  | "script"
  | "seed"
  | "environment"
  | "data-file"
  | "settings-file"
  | "file"
  | "directory";

/** Declares one positional argument of a command; the order of keys is the order on the command line. */
export interface Argument {
  readonly type?: "string" | "number";
  readonly help: string;
  readonly required?: boolean;
  /** Whether it takes all remaining arguments (only the last one may). */
  readonly repeatable?: boolean;
  readonly choices?: readonly string[];
  /**
   * Whether the text is taken as it stands even when it begins with a dash, as
   * SQL that starts with a comment does.
   */
  readonly verbatim?: boolean;
  /** As of a flag. */
  readonly sql?: boolean;
  readonly path?: PathUse;
  /** Whether a value without a slash is no path, but a name that the command itself looks for. */
  readonly named?: boolean;
  /** As of a flag. */
  readonly completes?: Completion;
}

/** Declared flags by name. */
export type Flags = Readonly<Record<string, Flag>>;
/** Declared arguments by name. */
export type Arguments = Readonly<Record<string, Argument>>;

type Chosen<D extends { readonly choices?: readonly string[] }, Otherwise> = D["choices"] extends
  readonly (infer C)[] ? C : Otherwise;
type Scalar<D extends Flag> = D["type"] extends "number" ? number
  : D["type"] extends "boolean" ? boolean
  : Chosen<D, string>;
/** The type of one flag's value. */
export type FlagValue<D extends Flag> = D extends { readonly repeatable: true } ? Scalar<D>[]
  : D["type"] extends "boolean" ? boolean
  : D extends { readonly default: string | number | boolean } | { readonly required: true }
    ? Scalar<D>
  : Scalar<D> | undefined;
type ArgumentScalar<D extends Argument> = D["type"] extends "number" ? number
  : Chosen<D, string>;
/** The type of one argument's value. */
export type ArgumentValue<D extends Argument> = D extends { readonly repeatable: true }
  ? ArgumentScalar<D>[]
  : D extends { readonly required: true } ? ArgumentScalar<D>
  : ArgumentScalar<D> | undefined;

/** The values of all declared flags, inferred from the declaration. */
export type FlagValues<F> = {
  -readonly [K in keyof F]: F[K] extends Flag ? FlagValue<F[K]> : never;
};
/** The values of all declared arguments, inferred from the declaration. */
export type ArgumentValues<A> = {
  -readonly [K in keyof A]: A[K] extends Argument ? ArgumentValue<A[K]> : never;
};

/** What a command's `run` is given beside its context. */
export interface Input<F, A> {
  readonly flags: FlagValues<F>;
  readonly args: ArgumentValues<A>;
}

/**
 * What a command does to the database, enforced by the host: a `read` command's
 * statements run in read-only transactions, a `destroy` command asks for
 * confirmation first.
 */
export type Effect = "read" | "write" | "destroy";

/** One example of a command's help text. */
export interface Example {
  /** The line as typed, without a prompt. */
  readonly line: string;
  /** What it does, in a few words. */
  readonly note: string;
}

/** What a command returns; it prints nothing itself. */
export interface Result {
  /** The result for programs, shown under `--json`; structured-cloneable, bigint allowed. */
  readonly data: unknown;
  /** The same for people, written to stdout; without it nothing is. */
  readonly text?: string;
  /**
   * Rows too many to hold, written to stdout as they come: under `--json` as the member `results`
   * of the one object, else as `format` says. `text` is not written then.
   */
  readonly rows?: ReadableStream<RowPart>;
  /** How `rows` are written; by default as a table. */
  readonly format?: RowFormat;
  /** What was found wrong while the command itself worked: the exit code is then 3. */
  readonly problems?: readonly string[];
  /** False when there was nothing to do and nothing was changed: the database's audit then has no row of it. */
  readonly changed?: boolean;
}

/** Declares one command. */
export interface Command<F extends Flags = Flags, A extends Arguments = Arguments> {
  /** One line, in the imperative, without a final period. */
  readonly summary: string;
  /** Paragraphs for `--help`, after the examples. */
  readonly description?: string;
  /** Other full names, such as `migrate-status` for `migrate status`. */
  readonly aliases?: readonly string[];
  /** At least one; `--help` shows them first. */
  readonly examples: readonly Example[];
  readonly args?: A;
  readonly flags?: F;
  readonly effect: Effect;
  /** Whether the command speaks to the database: the host then waits for it first. */
  readonly database?: DatabaseNeed;
  /** Whether `--dry-run` is offered; under it every database session is read-only. */
  readonly dryRun?: boolean;
  /**
   * A program that does whatever is given to the command, such as `psql`. A plugin that runs the
   * command has to have declared that it runs the program.
   */
  readonly program?: string;
  /**
   * What a command whose effect is not `read` needs of the database, where that is no right to write:
   * `read`, as a backup, which writes elsewhere; `given`, where it depends on what it is given, as with
   * SQL. Nobody is then warned when the role may not keep the audit, and what reads makes no table for it.
   */
  readonly needs?: "read" | "given";
  /**
   * Tells what a `destroy` command is about to do, on stderr before its confirmation is asked for.
   * Its context is read-only; what it throws stops the command. Under `--dry-run` it is shown too.
   *
   * @returns lines for people; a `Plan` from built-ins alone
   */
  plan?(ctx: Context, input: Input<F, A>): Promise<string | Plan>;
  run(ctx: Context, input: Input<F, A>): Promise<Result>;
}

/** What a `destroy` command is about to do with what it was given. */
export interface Plan {
  /** Lines for people; nothing is told when it is empty. */
  readonly text: string;
  /** The database whose name confirms it; by default the target. */
  readonly database?: string;
  /** Whether anything that is there is lost, as is assumed; else no confirmation is needed. */
  readonly destroys?: boolean;
  /** Whether anything is changed, as is assumed; else the command is not audited. */
  readonly changes?: boolean;
}

/**
 * `none`: the command needs no database. `server`: it needs the server, and its
 * database may be absent. `database` (the default): it needs the database.
 */
export type DatabaseNeed = "none" | "server" | "database";

/** What a plugin may do beyond its context; nothing by default. Ignored for built-ins. */
export interface Permissions {
  /** Host names, with an optional port, that `fetch` may reach. */
  readonly net?: readonly string[];
  /** Files and directories the host reads for it. */
  readonly read?: readonly string[];
  /** Files and directories the host writes for it. */
  readonly write?: readonly string[];
  /** Programs it may run: full trust. */
  readonly run?: readonly string[];
}

/** The moments at which a hook is called. */
export type HookMoment = "before" | "after" | "failed" | "always";

/** What a hook is told of the operation at any moment; structured-cloneable. */
export interface HookFacts<M extends HookMoment = HookMoment> {
  readonly moment: M;
  /** The command's full path, such as `migrate rollback`. */
  readonly command: string;
  readonly effect: Effect;
  /** The values of the command's own flags; secret ones are left out. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly args: Readonly<Record<string, unknown>>;
}

/** What a hook is told beside that, by the moment. */
export interface HookOutcomes {
  readonly before: { readonly result?: undefined; readonly error?: undefined };
  readonly after: HookSuccess;
  readonly failed: HookFailure;
  /** Whatever came before: look at `error`. */
  readonly always: HookSuccess | HookFailure;
}

/** The operation has succeeded. */
export interface HookSuccess {
  /** The operation's `data`. */
  readonly result: unknown;
  readonly error?: undefined;
}

/** The operation has failed, or a hook before it. */
export interface HookFailure {
  readonly result?: undefined;
  readonly error: { readonly code: string; readonly message: string };
}

/** What a hook of the moment is told. */
export type HookEvent<M extends HookMoment = HookMoment> = M extends HookMoment
  ? HookFacts<M> & HookOutcomes[M]
  : never;

/** A hook: awaited; one that throws at `before` stops the operation. */
export type Hook<M extends HookMoment = HookMoment> = (
  ctx: Context,
  event: HookEvent<M>,
) => Promise<void> | void;

/** Hooks by `<moment>:<command path>`, such as `"after:backup"`; `*` stands for every command. */
export type Hooks = { readonly [M in HookMoment as `${M}:${string}`]?: Hook<M> };

/** One plugin: a set of commands and hooks under a name. */
export interface Plugin {
  /** Lower-case letters, digits and dashes. */
  readonly name: string;
  /** The version of this contract the plugin is written for. */
  readonly api: 1;
  readonly summary: string;
  /** Commands by full path: `"migrate"`, `"migrate status"`. */
  // deno-lint-ignore no-explicit-any -- each command has flags of its own; `command` has checked them
  readonly commands?: Readonly<Record<string, Command<any, any>>>;
  readonly hooks?: Hooks;
  readonly permissions?: Permissions;
  /**
   * What finds the values of a kind. For built-ins alone: while a line is typed, nothing of a user's
   * plugin runs.
   */
  readonly completers?: { readonly [K in Completion]?: Completer };
}

/**
 * Finds what a shell offers, in the order to be shown in; fast, and without a database.
 *
 * @param flags the flags that stand on the line so far, with their texts
 * @throws OperationError for what cannot be read: nothing is offered then
 */
export type Completer = (
  ctx: CompletionContext,
  flags: Readonly<Record<string, readonly string[]>>,
) => Promise<readonly Candidate[]>;

/** What the values are found by. */
export type CompletionContext = Pick<Context, "files"> & { readonly config: Pick<Config, "get"> };

/** One value that a shell offers. */
export interface Candidate {
  readonly value: string;
  /** What it is, in a few words. */
  readonly description?: string;
}

/**
 * Declares a plugin; a file's default export.
 *
 * @returns the declaration, unchanged
 */
export function definePlugin(plugin: Plugin): Plugin {
  return plugin;
}

/**
 * Declares a command, so that the types of its flags and arguments are inferred
 * and a misspelt one does not compile.
 *
 * @returns the declaration, unchanged
 */
export function command<
  // deno-lint-ignore ban-types -- no flags declared means that no flag exists
  const F extends Flags = {},
  // deno-lint-ignore ban-types -- likewise for arguments
  const A extends Arguments = {},
>(declaration: Command<F, A>): Command<F, A> {
  return declaration;
}

// ---------------------------------------------------------------------------
// Seeds
// ---------------------------------------------------------------------------

/**
 * A value of a seed's row: bigints keep all their digits, dates become their ISO text, bytes the
 * text of a bytea; lists and objects become arrays or JSON, as the column wants it.
 */
export type SeedValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly SeedValue[]
  | { readonly [key: string]: SeedValue };

/** One row of a seed by column name; all rows of a seed have the same columns. */
export type SeedRow = Readonly<Record<string, SeedValue>>;

/** What a seed is given. */
export interface SeedContext {
  /** A number from 0 up to 1: the same ones in every run, others for each file. */
  random(): number;
  readonly log: Log;
  readonly config: Pick<Config, "get">;
  /** The environment whose seeds are loaded, such as `development`. */
  readonly env: string;
}

/** A seed: rows that code makes. It reaches nothing else, and gives the same rows each time. */
export interface Seed {
  /** The table, with its schema where it needs one; by default the file's name gives it. */
  readonly table?: string;
  rows(ctx: SeedContext): AsyncIterable<SeedRow> | Iterable<SeedRow>;
}

/** The rows of a seed, as the host hands them on. */
export interface SeedRows {
  /** The table that the seed names. */
  readonly table?: string;
  /** One JSON object in each line. */
  readonly lines: ReadableStream<Uint8Array>;
}

/**
 * Declares a seed; the default export of a file such as `seeds/development/010_users.ts`.
 *
 * @returns a plugin whose one command gives the rows as JSON texts
 */
export function defineSeed(seed: Seed): Plugin {
  const rows = command({
    summary: "Give the rows of the seed",
    examples: [],
    effect: "read",
    database: "none",
    args: {
      file: { help: "What its random numbers are drawn by", required: true },
      environment: { help: "The environment", required: true },
    },
    run({ log, config }, { args: { file, environment } }) {
      const get = (name: string) => config.get(name);
      const ctx = { random: seededRandom(file), log, config: { get }, env: environment };
      return Promise.resolve({
        data: { table: seed.table ?? null },
        rows: streamOf(seedParts(() => seed.rows(ctx))),
      });
    },
  });
  return definePlugin({ name: "seed", api: 1, summary: "Rows", commands: { rows } });
}

/** What `ReadableStream.from` makes, which the types of some editors lack. */
function streamOf(parts: AsyncGenerator<RowPart>): ReadableStream<RowPart> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await parts.return(undefined);
    },
  }, { highWaterMark: 0 });
}

async function* seedParts(give: () => ReturnType<Seed["rows"]>): AsyncGenerator<RowPart> {
  let rows: string[][] = [];
  let size = 0;
  let count = 0;
  yield { kind: "columns", columns: [{ name: "row", type: 114 }] };
  for await (const row of give()) {
    const text = seedObject(row, `Row ${++count}`, ": ");
    rows.push([text]);
    size += text.length;
    if (size < 65536 && rows.length < 1000) continue;
    yield { kind: "rows", rows };
    rows = [];
    size = 0;
  }
  yield { kind: "rows", rows };
  yield { kind: "end", command: "SEED", count };
}

function seedObject(value: unknown, place: string, separator: string): string {
  const prototype = typeof value === "object" && value && Object.getPrototypeOf(value);
  if (!value || prototype !== null && prototype !== Object.prototype) {
    throw seedProblem(place, "not a plain object", "Yield objects whose keys name columns");
  }
  const members = Object.entries(value).map(([key, each]) =>
    `${JSON.stringify(key)}:${seedText(each, `${place}${separator}${key}`)}`
  );
  return `{${members.join(",")}}`;
}

function seedText(value: unknown, place: string): string {
  if (value === null || typeof value === "boolean" || typeof value === "bigint") {
    return String(value);
  }
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
    throw seedProblem(place, `${value}, which JSON lacks`, `Give the text "${value}"`);
  }
  if (value instanceof Date) {
    if (!Number.isNaN(value.getTime())) return JSON.stringify(value.toISOString());
    throw seedProblem(place, "no valid date");
  }
  if (value instanceof Uint8Array) {
    const digits = Array.from(value, (byte) => byte.toString(16).padStart(2, "0"));
    return JSON.stringify(`\\x${digits.join("")}`);
  }
  if (Array.isArray(value)) {
    const texts = Array.from(value, (each, index) => seedText(each, `${place}[${index}]`));
    return `[${texts.join(",")}]`;
  }
  if (typeof value === "object") return seedObject(value, place, ".");
  const what = value === undefined ? "undefined" : `a ${typeof value}`;
  throw seedProblem(place, what, "Give null where there is no value");
}

function seedProblem(place: string, what: string, hint?: string): OperationError {
  const options = { code: "seed_value" };
  return new OperationError(
    `${place} is ${what}`,
    hint === undefined ? options : { ...options, hint },
  );
}

/** Small and fast, with a state of 128 bits; good enough for sample data, and for nothing secret. */
function seededRandom(text: string): () => number {
  let [a, b, c, counter] = [0x6f627365, 0x72766174, 0x6f727921, 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (const character of text) {
    a ^= character.codePointAt(0) ?? 0;
    next();
  }
  for (let step = 0; step < 16; step++) next();
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

// ---------------------------------------------------------------------------
// Context
// ---------------------------------------------------------------------------

/** What the host gives to a command or hook for one run. */
export interface Context {
  readonly db: Database;
  /**
   * The same context with the database of another server: its `db`, and what `exec` connects, go
   * where the URL leads, and nothing that leads to the run's own database counts there. It may write
   * whatever the command's effect is, unless it is a dry run; it runs no commands. The host closes
   * it with the run. For built-ins alone: no plugin's context has it.
   *
   * @param url a connection string, as `DATABASE_URL` holds one; its database is `db`'s
   * @param options.named what gave it, for messages, such as `--on`
   * @throws OperationError of kind `usage` when it cannot be used
   */
  at?(url: string, options?: { readonly named?: string }): Promise<Context>;
  readonly files: Files;
  readonly log: Log;
  readonly config: Config;
  /** The program that runs this, for what is written down about it. */
  readonly tool: { readonly name: string; readonly version: string };
  /** Aborted by INT, TERM or HUP; its reason is the error to end with. */
  readonly signal: AbortSignal;
  /** Whether `--dry-run` was given: change nothing, tell what would be. */
  readonly dryRun: boolean;
  /** Whether `--json` was given; for commands that leave stdout to another program. */
  readonly json: boolean;
  /**
   * Runs another command, with its hooks, in this run's database and configuration. It is given
   * no confirmation: one that destroys needs `confirm` among its flags.
   *
   * @param path the command's full path, such as `migrate status`
   * @throws OperationError whatever the command throws
   */
  run(path: string, input?: CommandCall): Promise<Result>;
  /**
   * Starts a program. It gets none of the database's secrets but by `connect`, and is ended with the
   * run.
   *
   * @param program a path, or a name that is looked for on PATH
   * @throws OperationError `program_missing`, `program_not_started`, or `arguments_too_long`
   */
  exec(program: string, options?: ProgramOptions): Promise<Program>;
  /**
   * Finds a client program of PostgreSQL: of the major asked for or the lowest newer one, on PATH
   * and in the directories where packages put them, by its real path and not a wrapper's.
   *
   * @throws OperationError `client_tool_missing` or `client_tool_outdated`, naming the package
   */
  clientTool(name: ClientToolName, options?: ClientToolOptions): Promise<ClientTool>;
  /** The plugins of this run. */
  readonly plugins: Plugins;
  /** What this plugin keeps with the database from run to run. */
  readonly state: State;
  /** Asks on the terminal for a line; null where nobody can be asked. */
  prompt(question: string): Promise<string | null>;
  /** Waits so many milliseconds; rejects with the signal's reason when the run is to end. */
  sleep(milliseconds: number): Promise<void>;
  /**
   * Shows how far a long operation is, and of bytes and rows how fast it goes: a line on a terminal,
   * in a log one every 30 seconds. Null tells that it is over.
   */
  progress(state: Progress | null): void;
  /** The current time in milliseconds since 1970. */
  now(): number;
}

/** The plugins of a run, and what can be asked about a plugin's file. */
export interface Plugins {
  /** Every plugin that was found, the built-in ones first, whatever became of it. */
  list(): Promise<PluginStatus[]>;
  /** Loads one file as a plugin would be, and tells what it declares or why it cannot be used. */
  check(path: string): Promise<CheckedPlugin>;
  /** The text of this contract, for editors. */
  contract(): Promise<string>;
  /** The texts of what tests of plugins are written with, by file name; they import the contract. */
  testing(): Promise<Readonly<Record<string, string>>>;
  /**
   * Runs a seed module, `DIRECTORY/FOLDER/FILE`, trusted as a plugin in DIRECTORY is and without any
   * permission; its worker is ended with its lines. For built-ins alone: no plugin's context has it.
   *
   * @throws OperationError of what is wrong with the module; so does the stream, while it is read
   */
  seedRows?(path: string, options: { readonly environment: string }): Promise<SeedRows>;
}

/**
 * What became of a plugin: `ok`; `clash`, when some of its names are taken; otherwise it is not
 * used: `refused` for the trust in its files, `invalid` for what is in them, `incompatible` with
 * this version, `failed` when it could not be loaded.
 */
export type PluginState = "ok" | "clash" | "refused" | "invalid" | "incompatible" | "failed";

/** One plugin that was found. */
export interface PluginStatus {
  readonly name: string;
  /** Where it comes from: `PLUGINS_DIR` is the project's, `--plugin-dir` the flag's. */
  readonly source: "built-in" | "system" | "project" | "flag";
  /** Its file; null for a built-in one. */
  readonly path: string | null;
  readonly status: PluginState;
  /** Why it is not `ok`, and what to do about it. */
  readonly reason?: string;
  readonly hint?: string;
  readonly summary?: string;
  /** The version of this contract that it is written for, when it could be loaded. */
  readonly api?: number;
  /** Its commands with their effects. */
  readonly commands: Readonly<Record<string, Effect>>;
  /** Its commands whose names are taken, with whose they are. */
  readonly clashes: Readonly<Record<string, string>>;
  readonly hooks: readonly string[];
  readonly permissions: Permissions;
  /** The variables of the environment that its flags take their values from. */
  readonly variables: readonly string[];
}

/** A plugin that was looked at by itself. */
export interface CheckedPlugin extends PluginStatus {
  /** Its commands as they are declared; empty when it could not be loaded. */
  readonly declared: Readonly<Record<string, Omit<Command, "run" | "plan">>>;
}

/** Small JSON values by key, kept for one plugin in the tool's own schema. */
export interface State {
  /** The value, or undefined when there is none. */
  get(key: string): Promise<unknown>;
  /**
   * Sets a value; undefined removes it.
   *
   * @throws OperationError `no_state` where the role may keep no state, or the run is read-only
   */
  set(key: string, value: unknown): Promise<void>;
  /** All keys, sorted. */
  keys(): Promise<string[]>;
}

/** The input of a command that another one runs; what is left out has its default. */
export interface CommandCall {
  readonly flags?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  readonly args?: Readonly<Record<string, string | number | readonly string[]>>;
}

/** How a program is started. */
export interface ProgramOptions {
  /** Its arguments; never a secret, since every user of the machine can read them. */
  readonly args?: readonly string[];
  /** Variables that it gets beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Whether it gets the connection: `PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`, `PGPASSWORD` and the
   * rest that libpq knows, and `DATABASE_URL` without the password, since scripts put it into
   * arguments; by name, another database of the server.
   */
  readonly connect?: boolean | { readonly database: string };
  /** What it reads; `inherit` gives it this process's own. By default nothing. */
  readonly stdin?: ReadableStream<Uint8Array> | "inherit";
  /** Where it writes; by default to the streams of `Program`. */
  readonly stdout?: "stream" | "inherit";
  readonly stderr?: "stream" | "inherit";
  /** Whether it has the terminal: INT is then its own to handle, and does not end this run. */
  readonly terminal?: boolean;
  /**
   * Whether INT is tried first when it is ended with the run, as psql cancels its statement in the
   * server at that and at nothing else.
   */
  readonly interrupt?: boolean;
  /**
   * Whom it runs as, where this process is root's: PostgreSQL's server refuses to be root's. It
   * begins in the directory `/`. For built-ins alone: what a plugin starts has no choice.
   */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** A program that was started. */
export interface Program {
  /** What it writes; empty when inherited. Must be read, or the program waits. */
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** Settles when it has ended; rejects only with the reason of this run's end, or with what `stdin` fails with. */
  readonly exit: Promise<ProgramExit>;
  /** Ends it: TERM, and KILL when that does not help within 5 seconds. Resolves when it has ended. */
  stop(): Promise<void>;
}

/** How a program ended. */
export interface ProgramExit {
  /** Its exit code; 128 plus the signal's number when a signal ended it. */
  readonly code: number;
  /** The signal that ended it, such as `SIGTERM`. */
  readonly signal?: string;
}

/**
 * PostgreSQL's client programs that operations are built on; and `postgres`, the server itself, for
 * built-ins alone, which is looked for in `PG_BIN_DIR` first, and then where any server is.
 */
export type ClientToolName = "psql" | "pg_dump" | "pg_dumpall" | "pg_restore" | "postgres";

/** Which one is wanted. */
export interface ClientToolOptions {
  /** The lowest major that will do, such as 15: the server's, for `pg_dump`. By default any, the newest first. */
  readonly major?: number;
}

/** A client program that was found. */
export interface ClientTool {
  /** Its real path. */
  readonly path: string;
  /** Such as `15.18`. */
  readonly version: string;
  readonly major: number;
}

/** How far an operation is. */
export interface Progress {
  /** What is done now, such as `Applying 0042_add_index`. */
  readonly label: string;
  readonly done?: number;
  readonly total?: number;
  /** What `done` and `total` count. */
  readonly unit?: "bytes" | "rows" | "items";
}

/** Lines for people, on stderr. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  success(message: string): void;
  warn(message: string): void;
  /** Masks the secrets in a text that is sent elsewhere. For built-ins alone: no plugin's context has it. */
  redact?(text: string): string;
}

/** The merged configuration. */
export interface Config {
  /** The value of a setting by its environment variable's name, or undefined; secrets are not given out. */
  get(name: string): string | undefined;
  /** The value of a secret setting. For built-ins alone: no plugin's context has it. */
  secret?(name: string): string | undefined;
  /** Every setting with its origin; secrets masked. */
  entries(): Promise<ConfigEntry[]>;
  /** Everything that is wrong with the settings, the connection's included, each with its origin. */
  problems(): Promise<string[]>;
}

/** One setting. */
export interface ConfigEntry {
  /** The environment variable's name, such as `DB_HOST`. */
  readonly name: string;
  readonly value: string | null;
  /** Where the value comes from, such as `.env:3` or `default`. */
  readonly origin: string;
  readonly secret: boolean;
}

/** The file system, as far as a plugin may see it. Paths are relative to the working directory. */
export interface Files {
  /**
   * The entries of a directory, sorted by name, links followed.
   *
   * @throws OperationError `not_found`, `not_a_directory` or `permission_denied`
   */
  list(directory: string): Promise<FileEntry[]>;
  /** The whole contents of several files, in the order asked for. */
  readAll(paths: readonly string[]): Promise<Uint8Array[]>;
  /** The same for files of at most `limit` bytes; null stands for a larger one. */
  readSmall(paths: readonly string[], limit: number): Promise<(Uint8Array | null)[]>;
  /**
   * One file, or a part of it, as a stream of chunks of at most 256 KiB. What lies beyond the end of
   * the file is left out.
   */
  stream(path: string, range?: FileRange): Promise<ReadableStream<Uint8Array>>;
  /**
   * Writes a new file and makes its directory where needed. It is there under its name, whole and on
   * the disk, or not at all.
   *
   * @throws OperationError `already_exists` when there is one of that name; `no_space` on a full disk
   */
  create(path: string, contents: string | Uint8Array, options?: CreateOptions): Promise<void>;
  /**
   * Writes a new file from a stream, in a directory that is there. It is there under its name when
   * the stream has ended and every byte is on the disk, and not at all when the stream fails: until
   * then what has come stands in `partial`, a file beside it. A chunk is in that file before the
   * next one is asked for.
   *
   * @throws OperationError `already_exists` when something has that name, or the partial's;
   * `no_space` on a full disk; what the stream fails with
   */
  save(path: string, data: ReadableStream<Uint8Array>, options?: SaveOptions): Promise<void>;
  /**
   * Renames a file or directory; on the disk when it returns. A link is renamed itself.
   *
   * @throws OperationError `already_exists` when there is something under the new name; `not_found`
   */
  rename(from: string, to: string): Promise<void>;
  /**
   * Removes a file, or a directory with all that is in it; of a link, the link itself.
   *
   * @returns false when there is none
   */
  remove(path: string): Promise<boolean>;
  /**
   * Makes a directory, and those above it where needed.
   *
   * @throws OperationError `already_exists` when something has that name
   */
  makeDirectory(path: string, options?: DirectoryOptions): Promise<void>;
  /** What is at a path, links followed; undefined when there is nothing. */
  inspect(path: string): Promise<FileFacts | undefined>;
}

/** A part of a file, in bytes. */
export interface FileRange {
  readonly offset: number;
  /** By default up to the end. */
  readonly length?: number;
}

/** How a file is created. */
export interface CreateOptions {
  /** Whether only this user may write it, and the directories made for it, whatever the umask is. */
  readonly ownerWrites?: boolean;
  /** Whether only this user may read and write it, and what is in the directories made for it, whatever the umask is. */
  readonly private?: boolean;
  /** Whether a file that is there is replaced, at once: who reads it has the old one or the new one. */
  readonly replace?: boolean;
}

/** How a file is saved. */
export interface SaveOptions {
  /** The path, on the same file system, of what has come so far; by default the file's with `.partial` at its end. */
  readonly partial?: string;
  /** Whether only this user may read and write it, whatever the umask is. */
  readonly private?: boolean;
  /** Whether a file that is there is replaced, at once, when the stream has ended. */
  readonly replace?: boolean;
}

/** How a directory is made. */
export interface DirectoryOptions {
  /** Whether only this user may see what is in it and in those made above it, whatever the umask is. */
  readonly private?: boolean;
}

/** What is known of a file or directory. */
export interface FileFacts {
  /** Its absolute path without links. */
  readonly realPath: string;
  readonly kind: "file" | "directory" | "other";
  /** Bytes. */
  readonly size: number;
  /** When its contents were last changed, in milliseconds since 1970; 0 where the system does not know. */
  readonly modified: number;
  /** Permission bits, as in `stat`; 0 where the system has none. */
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Whom this process runs as. */
  readonly self: { readonly uid: number; readonly gid: number };
  readonly access: { readonly read: boolean; readonly write: boolean; readonly execute: boolean };
  /** Bytes of its file system, and those of them that this process may still fill. */
  readonly disk: { readonly total: number; readonly free: number };
}

/** One entry of a directory. */
export interface FileEntry {
  readonly name: string;
  readonly kind: "file" | "directory" | "other" | "dangling";
  /** Bytes; 0 unless it is a file. */
  readonly size: number;
  /** When it was last changed, of a directory its entries, in milliseconds since 1970; 0 for all else. */
  readonly modified: number;
}

// ---------------------------------------------------------------------------
// Database
// ---------------------------------------------------------------------------

/** A parameter of a statement. */
export type SqlParameter = string | number | bigint | boolean | null | Uint8Array;

/**
 * A value of a row: int2, int4, oid and floats as number, int8 as bigint, bool
 * as boolean, bytea as bytes, and every other type as the server's exact text.
 */
export type SqlValue = string | number | bigint | boolean | null | Uint8Array;

/** One row by column name. */
export type Row = Record<string, SqlValue>;

/** What one statement gave. */
export interface QueryResult<R = Row> {
  readonly rows: R[];
  /** The command's tag without its count, such as `INSERT` or `CREATE TABLE`. */
  readonly command: string;
  /** Rows selected or affected; 0 for commands that have no count. */
  readonly count: number;
}

/**
 * One message to the server. `sql` alone goes as one simple query, which may
 * hold several statements (text or UTF-8 bytes); with `params`, even empty, it
 * is one statement by the extended protocol.
 */
export interface Step {
  readonly sql: string | Uint8Array;
  readonly params?: readonly SqlParameter[];
}

/** What can be done with one connection. */
export interface Session {
  /** Process id of the server process that serves this session. */
  readonly pid: number;
  /**
   * Runs one statement by the extended protocol.
   *
   * @throws DatabaseError when the server reports an error
   */
  query<R = Row>(sql: string, params?: readonly SqlParameter[]): Promise<QueryResult<R>>;
  /**
   * Sends steps without waiting between them: one round trip. The server goes
   * on after a failed step, so they belong between `BEGIN` and `COMMIT`, where
   * a failure makes it refuse the rest and roll back. A stream of steps is read
   * no faster than the server takes them, and no further once one has failed.
   *
   * @returns the result of each step (of its last statement); rows of simple queries are dropped
   * @throws DatabaseError of the first step that failed, after all answers have come; its `step` tells which
   */
  pipeline(steps: readonly Step[] | ReadableStream<Step>): Promise<QueryResult<never>[]>;
  /**
   * Runs SQL and streams what it gives, no faster than it is read: one simple query that may hold
   * several statements, or with `params`, even empty, one statement by the extended protocol. The
   * stream fails with a DatabaseError when the server reports an error. Cancelling it cancels the
   * statement. In a read-only run it takes one statement. The session's next statement waits until
   * the stream has ended.
   */
  execute(
    sql: string | Uint8Array,
    params?: readonly SqlParameter[],
  ): Promise<ReadableStream<RowPart>>;
  /**
   * Sends data to a `COPY … FROM STDIN`, no faster than the server takes it.
   *
   * @throws DatabaseError when the server refuses it; what the stream throws, when it fails: nothing is kept then
   */
  copyIn(sql: string, data: ReadableStream<Uint8Array>): Promise<QueryResult<never>>;
  /** Streams what a `COPY … TO STDOUT` gives; it fails as `execute`'s does. */
  copyOut(sql: string): Promise<ReadableStream<Uint8Array>>;
  /** Ends the session; safe to call twice. */
  close(): Promise<void>;
}

/** One part of the rows that several statements give, in this order: columns, rows, end; without rows, only the end. */
export type RowPart =
  | { readonly kind: "columns"; readonly columns: readonly Column[] }
  /** A batch of rows, every value as the server's exact text. */
  | { readonly kind: "rows"; readonly rows: readonly (readonly (string | null)[])[] }
  /** A statement's end: the command's tag without its count, and the rows selected or affected. */
  | { readonly kind: "end"; readonly command: string; readonly count: number };

/** One column of a result. */
export interface Column {
  readonly name: string;
  /** The type's object identifier. */
  readonly type: number;
}

/** How rows are written. */
export type RowFormat = "table" | "csv" | "json" | "ndjson";

/** How a session is opened. */
export interface SessionOptions {
  /** Another database of the same server. */
  readonly database?: string;
  /** Settings of the session, sent with its start. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Whether the server's notices are logged (default) or dropped. */
  readonly notices?: "log" | "drop";
  /** Whether the session is held to reading, as a `read` command's are. */
  readonly readOnly?: boolean;
  /** Seconds to wait for a server that does not answer, instead of `--wait`; 0 tries once, and tells nobody. */
  readonly wait?: number;
  /**
   * Whether a signal leaves it alone: for what must not be left half-done, and is done in a moment,
   * since the run is ended 10 seconds after its signal. For built-ins alone.
   */
  readonly lasting?: boolean;
}

/** An advisory lock held for the length of a call. */
export interface LockOptions {
  /** The lock's 64-bit key, or a name that the host makes a key of its own from. */
  readonly key: bigint | string;
  /** What the lock guards, for messages: `migrations`. */
  readonly purpose: string;
  /** Seconds to wait; 0 fails at once. */
  readonly wait: number;
  /** Another database of the server to hold it in: for what the target itself must not be open for. */
  readonly database?: string;
}

/** A table of the tool's own state. */
export interface StateTable {
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** Column definitions by name, in order, such as `{ path: "text PRIMARY KEY" }`; later ones need a default or allow null. */
  readonly columns: Readonly<Record<string, string>>;
}

/** The target database. The default session is opened with the first statement. */
export interface Database {
  /** Which database is meant; without the password. */
  readonly target: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
  };
  query<R = Row>(sql: string, params?: readonly SqlParameter[]): Promise<QueryResult<R>>;
  /**
   * Runs one statement by the extended protocol on a session of its own, and streams its rows: in
   * batches, no faster than they are read, with values as `query` gives them. The stream fails with
   * a DatabaseError when the server reports an error; cancelling it cancels the statement. The
   * session is closed with the stream, however that ends.
   */
  stream<R = Row>(sql: string, params?: readonly SqlParameter[]): Promise<ReadableStream<R[]>>;
  /** Sends data to a `COPY … FROM STDIN` as `Session.copyIn` does, on a session of its own. */
  copyIn(sql: string, data: ReadableStream<Uint8Array>): Promise<QueryResult<never>>;
  /** Streams what a `COPY … TO STDOUT` gives, on a session of its own that is closed with the stream. */
  copyOut(sql: string): Promise<ReadableStream<Uint8Array>>;
  /** Opens a session of its own; the host closes it after the run when the plugin does not. */
  session(options?: SessionOptions): Promise<Session>;
  /** Opens a session in a database that every server has, `postgres` or else `template1`, and never the target. */
  maintenance(options?: Omit<SessionOptions, "database">): Promise<Session>;
  /**
   * Runs `work` in a transaction on a session of its own: committed when it returns, rolled back
   * when it throws.
   *
   * @throws OperationError `not_committed` when the server rolled back what was to be committed
   */
  transaction<T>(work: (session: Session) => Promise<T>, options?: SessionOptions): Promise<T>;
  /**
   * Makes sure that a table is there for state that belongs with the database, in the tool's own
   * schema `observatory`; columns it lacks are added. In a read-only run it only looks.
   *
   * @returns the table's name with its schema, for SQL; undefined where there is none and the role
   * may not make it, which a warning has told, or the run is read-only
   */
  stateTable(table: StateTable): Promise<string | undefined>;
  /**
   * Holds an advisory lock, on a connection of its own, while `work` runs. The
   * lock is polled for, never waited for in the server, since a waiting backend
   * holds a snapshot that stalls `CREATE INDEX CONCURRENTLY`. The signal given
   * to `work` is aborted when the lock's connection is lost.
   *
   * @throws OperationError of kind `locked`, naming the holder, when the time is up
   */
  withLock<T>(options: LockOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

// ---------------------------------------------------------------------------
// Errors
// ---------------------------------------------------------------------------

/** What kind of failure it is; each kind has one exit code (`observatory help exit-codes`). */
export type ErrorKind = "failed" | "usage" | "refused" | "connection" | "locked";

/** What an error may carry beside its message. */
export interface ErrorOptions {
  readonly kind?: ErrorKind;
  /** A stable name for programs, in snake case. */
  readonly code?: string;
  /** What to do about it; sentence case, no final period. */
  readonly hint?: string;
  /** Further lines for people, such as the failing statement with a caret. */
  readonly excerpt?: string;
  /** Further facts for programs; structured-cloneable. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** A failure with a message for people: what was being done, with which value, and why it cannot be. */
export class OperationError extends Error {
  override name = "OperationError";
  readonly kind: ErrorKind;
  readonly code: string;
  readonly hint: string | undefined;
  readonly excerpt: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = options.kind ?? "failed";
    this.code = options.code ?? this.kind;
    this.hint = options.hint;
    this.excerpt = options.excerpt;
    this.details = options.details ?? {};
  }
}

/** The fields of an error as the server reports them. */
export interface ServerError {
  readonly severity: string;
  /** The five characters of the SQLSTATE. */
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  /** 1-based position in the step's text, in characters (code points). */
  readonly position?: number;
  readonly internalPosition?: number;
  readonly internalQuery?: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
}

/** What a server error may carry beside what the server reports. */
export interface DatabaseErrorOptions extends ErrorOptions {
  /** How many statements of the step had been completed before the one that failed. */
  readonly completed?: number;
}

/** An error reported by the server for a statement. */
export class DatabaseError extends OperationError {
  override name = "DatabaseError";
  /** Index of the step of a pipeline that failed; 0 for a single statement. */
  readonly step: number;
  /** How many statements of the step had been completed before the one that failed. */
  readonly completed: number;
  readonly server: ServerError;

  constructor(server: ServerError, step = 0, options: DatabaseErrorOptions = {}) {
    super(server.message, {
      code: "database_error",
      ...(server.hint === undefined ? {} : { hint: server.hint }),
      ...options,
      details: { ...server, ...options.details },
    });
    this.server = server;
    this.step = step;
    this.completed = options.completed ?? 0;
  }
}
