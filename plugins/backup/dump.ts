/** pg_dump, started and held to its word: what it writes counts only once it has ended well. */
import {
  type ClientTool,
  type Context,
  OperationError,
  type ProgramExit,
} from "../../core/plugin.ts";
import { inBuffer } from "../repository/chunks.ts";
import {
  createDumpMessages,
  type DumpListener,
  type DumpMessages,
  readLines,
} from "../repository/client_messages.ts";

/** How many lines beside the first error are shown. */
const EXCERPT_LINES = 20;

/** How pg_dump is started. */
export interface DumpCall {
  readonly tool: ClientTool;
  readonly args: readonly string[];
  /** What it reads of the tables that it dumps, where they are no arguments. */
  readonly filter?: string | undefined;
  /** What its sessions are known by in `pg_stat_activity`. */
  readonly name: string;
  readonly listener?: DumpListener;
  /** Seconds without a byte or a word after which it counts as stuck; 0 for never. */
  readonly stallTimeout: number;
}

/** A dump under way. */
export interface Dump {
  /**
   * What it writes, to be read once. It fails unless pg_dump ends with 0: half of a dump must not
   * look like one. Whoever stops reading it ends pg_dump; whoever keeps a chunk copies it.
   */
  readonly output: AsyncIterable<Uint8Array>;
  readonly messages: DumpMessages;
  /** Tells that it was seen at work: of what it writes itself nothing comes this way. */
  alive(): void;
  /** Ends it; its output fails with the reason. */
  stop(reason: unknown): Promise<void>;
}

/** Bytes of what its output is read into. */
const BUFFER_BYTES = 262_144;

/** Starts pg_dump or pg_dumpall. */
export async function startDump(ctx: Context, call: DumpCall): Promise<Dump> {
  const { tool, args, filter, name, listener } = call;
  const program = await ctx.exec(tool.path, {
    args,
    connect: true,
    // Its messages are read, so they are asked for in English.
    env: { PGAPPNAME: name, LC_ALL: "C", LANGUAGE: "C" },
    ...(filter === undefined ? {} : { stdin: new Blob([filter]).stream() }),
  }).catch((error) => {
    throw tooMany(error, tool) ?? error;
  });
  const messages = createDumpMessages(listener);
  const watchdog = startWatchdog(call.stallTimeout, () => stop(stalled(call)));
  let stopped: { readonly reason: unknown } | undefined;
  async function stop(reason: unknown): Promise<void> {
    stopped ??= { reason };
    await program.stop();
    watchdog.stop();
  }
  const told = readLines(program.stderr, (line) => {
    watchdog.saw();
    messages.line(line);
  });
  // Whoever reads the output waits for it as well.
  told.catch(() => {});
  async function* output(): AsyncGenerator<Uint8Array> {
    let ended = false;
    try {
      for await (const chunk of inBuffer(program.stdout, BUFFER_BYTES)) {
        watchdog.rest();
        yield chunk;
        watchdog.alive();
        if (stopped !== undefined) throw stopped.reason;
      }
      const exit = await program.exit;
      await told;
      ended = true;
      if (stopped !== undefined) throw stopped.reason;
      if (exit.code !== 0) throw failed(call, { exit, messages });
    } catch (error) {
      throw stopped?.reason ?? error;
    } finally {
      watchdog.stop();
      if (!ended) await program.stop().catch(() => {});
    }
  }
  return { output: output(), messages, alive: watchdog.saw, stop };
}

interface Watchdog {
  /** It has said something. */
  saw(): void;
  /** Whoever takes its bytes takes time: none of it counts. */
  rest(): void;
  /** It is waited for again. */
  alive(): void;
  stop(): void;
}

function startWatchdog(seconds: number, bark: () => void): Watchdog {
  if (seconds === 0) {
    const nothing = () => {};
    return { saw: nothing, rest: nothing, alive: nothing, stop: nothing };
  }
  let last = performance.now();
  let resting = false;
  const saw = () => void (last = performance.now());
  const timer = setInterval(() => {
    if (!resting && performance.now() - last >= seconds * 1000) bark();
  }, Math.min(1000, seconds * 250));
  return {
    saw,
    rest: () => void (resting = true),
    alive() {
      resting = false;
      saw();
    },
    stop: () => clearInterval(timer),
  };
}

/** Names of tables without end are told as what they are; undefined for any other failure. */
function tooMany(error: unknown, tool: ClientTool): OperationError | undefined {
  if (!(error instanceof OperationError) || error.code !== "arguments_too_long") return undefined;
  return new OperationError(
    `Cannot back up: the names of all tables of --tables and --exclude-table are more than ` +
      `${nameOf(tool)} ${tool.version} can be given`,
    {
      kind: "usage",
      code: "too_many_tables",
      hint:
        "Back up the whole database, or name the directory of client programs of PostgreSQL 17 " +
        "or newer by PG_BIN_DIR: those read the names as a file",
      cause: error,
    },
  );
}

function failed(
  { tool }: DumpCall,
  { exit, messages }: { readonly exit: ProgramExit; readonly messages: DumpMessages },
): OperationError {
  const name = nameOf(tool);
  const [first, ...errors] = messages.errors;
  const said = [...errors, ...messages.others].slice(0, EXCERPT_LINES);
  const more = first === undefined && said.length === 0 ? messages.last : said.join("\n");
  const end = exit.signal === undefined
    ? `ended with exit code ${exit.code}`
    : `was ended by ${exit.signal}`;
  return new OperationError(
    `Cannot back up: ${name} ${first === undefined ? end : `failed: ${first}`}`,
    {
      code: "dump_failed",
      ...(more === "" ? {} : { excerpt: more }),
      details: { program: name, exit: exit.code, ...(exit.signal ? { signal: exit.signal } : {}) },
    },
  );
}

function stalled({ tool, stallTimeout }: DumpCall): OperationError {
  return new OperationError(
    `Cannot back up: ${nameOf(tool)} has written and said nothing for ${stallTimeout} s`,
    {
      code: "dump_stalled",
      hint: "It may wait for a lock, or for the server; --stall-timeout gives it more time",
    },
  );
}

function nameOf({ path }: ClientTool): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
