/** pg_restore on a database: the one place that calls it there. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ClientTool,
  type Context,
  type ErrorOptions,
  OperationError,
  type Program,
  type ProgramExit,
} from "../../core/plugin.ts";
import { findRestore } from "../repository/decoding.ts";
import { readLines } from "../repository/client_messages.ts";
import { inDropOrder } from "./drop_order.ts";
import { gated } from "./gate.ts";
import { createRestoreMessages, type RestoreMessages } from "./messages.ts";
import { inOneTransaction } from "./one_transaction.ts";
import type { Parts } from "./options.ts";
import { filterScript, startScript } from "./run_script.ts";
import type { Source } from "./source.ts";
import type { Entry } from "./table_of_contents.ts";

/** One call of pg_restore. */
export interface ArchiveRun {
  readonly source: Source;
  readonly database: string;
  /** What is restored of it; everything when left out. In the order of the archive. */
  readonly entries?: readonly Entry[] | undefined;
  readonly parts: Parts;
  /** How many tables and indexes at once. */
  readonly jobs: number;
  /** Whether it is one of several calls, which all read the same file. */
  readonly again?: boolean;
  readonly clean: boolean;
  readonly owners: boolean;
  readonly privileges: boolean;
  readonly tablespaces: boolean;
  /** Whether all of it is one transaction; goes with one job alone. */
  readonly transaction: boolean;
  readonly disableTriggers: boolean;
  /** Such as 150018. */
  readonly serverVersion: number;
  /** What the sessions are known by in `pg_stat_activity`. */
  readonly name: string;
}

/** What became of it. */
export interface Ran {
  /** Entries of the table of contents that were restored. */
  readonly items: number;
  /** What the server warned of. */
  readonly warnings: readonly string[];
}

/** From this major on pg_restore sets a parameter that older servers do not know. */
const TRANSACTION_TIMEOUT_MAJOR = 17;

/** The words of the server for it (`deadlock.c`). */
const DEADLOCK = /\bdeadlock detected\b/;

/** Two sessions waited for each other, and that of the restore had to give way: no fault of the archive. */
export class DeadlockError extends OperationError {
  /** What was being made, and the server's words. */
  readonly reason: string;

  constructor(
    message: string,
    { reason, ...options }: ErrorOptions & { readonly reason: string },
  ) {
    const hint = "Two sessions waited for each other: restore again, or with --jobs 1";
    super(message, { ...options, hint });
    this.reason = reason;
  }
}

/** Finds a pg_restore for a source, as `findRestore` does. */
export async function restoreTool(
  ctx: Context,
  { archive, manifest }: Source,
): Promise<ClientTool> {
  return await findRestore(ctx, archive?.dumpVersion ?? manifest?.client.version ?? "");
}

/** Whether what pg_restore would run has to be changed on its way, for an older server. */
export function goesByScript(tool: Pick<ClientTool, "major">, serverVersion: number): boolean {
  const major = Math.floor(serverVersion / 10000);
  return tool.major >= TRANSACTION_TIMEOUT_MAJOR && major < TRANSACTION_TIMEOUT_MAJOR;
}

/**
 * Restores an archive, or a part of it.
 *
 * @throws OperationError `restore_failed`, with the object; `backup_damaged` where the source is
 */
export async function runArchive(ctx: Context, asked: ArchiveRun): Promise<Ran> {
  const all = asked.entries ?? asked.source.archive?.entries;
  const run = asked.clean && all !== undefined ? { ...asked, entries: inDropOrder(all) } : asked;
  const tool = await restoreTool(ctx, run.source);
  const list = run.entries === undefined ? undefined : await writeList(ctx, run.entries);
  const messages = createRestoreMessages({
    item: (name, count) => {
      const total = run.entries?.length ?? run.source.archive?.entries.length;
      // What flows is told in bytes; of a file that pg_restore reads by itself this is all there is.
      if (!streams(run)) {
        ctx.progress({
          label: `Restoring ${name}`,
          done: Math.min(count, total ?? count),
          ...(total === undefined ? {} : { total }),
          unit: "items",
        });
      } else progress.item(name);
    },
  });
  const progress = createByteProgress(ctx, run.source);
  try {
    const args = argumentsOf(run, list);
    if (goesByScript(tool, run.serverVersion)) {
      await runByScript(ctx, { run, tool, args, messages, progress });
    } else {
      const program = await ctx.exec(tool.path, {
        args: [
          `--dbname=dbname=${conninfoValue(run.database)}`,
          ...args,
          ...await inputArguments(run),
        ],
        connect: { database: run.database },
        env: { LC_ALL: "C", LANGUAGE: "C", PGAPPNAME: run.name },
        ...(streams(run) ? { stdin: await inputOf(run, progress) } : {}),
      });
      await settle(ctx, { program, messages, run });
    }
    return { items: messages.items, warnings: messages.warnings };
  } finally {
    ctx.progress(null);
    if (list !== undefined) await ctx.files.remove(list);
  }
}

/** What is piped: of a custom archive the end only when all of it is known to be right. */
async function inputOf(
  { source }: ArchiveRun,
  progress: ByteProgress,
): Promise<ReadableStream<Uint8Array>> {
  const stream = await source.stream({ took: progress.took });
  return source.contents.format === "custom" ? ReadableStream.from(gated(stream)) : stream;
}

/** Whether it comes by standard input: several jobs, several calls, and directories, need a file. */
function streams({ source, jobs, again = false, entries }: ArchiveRun): boolean {
  return jobs === 1 && !again && source.contents.format !== "directory" &&
    (entries === undefined || inOrder(source, entries));
}

/** pg_restore cannot go back in what it is piped. */
function inOrder({ archive }: Source, entries: readonly Entry[]): boolean {
  const places = new Map(archive?.entries.map(({ id }, place) => [id, place]));
  const withData = entries.filter(({ hasData }) => hasData).map(({ id }) => places.get(id) ?? 0);
  return withData.every((place, index) => index === 0 || place > (withData[index - 1] ?? 0));
}

async function inputArguments(run: ArchiveRun): Promise<string[]> {
  return streams(run) ? [] : ["--", await run.source.path()];
}

function argumentsOf(run: ArchiveRun, list: string | undefined): string[] {
  return [
    "--no-password",
    "--verbose",
    "--exit-on-error",
    ...(run.transaction ? ["--single-transaction"] : []),
    ...(run.jobs > 1 ? [`--jobs=${run.jobs}`] : []),
    ...(run.clean ? ["--clean", "--if-exists"] : []),
    ...(run.owners ? [] : ["--no-owner"]),
    ...(run.privileges ? [] : ["--no-privileges"]),
    ...(run.tablespaces ? [] : ["--no-tablespaces"]),
    ...(run.parts === "schema" ? ["--schema-only"] : run.parts === "data" ? ["--data-only"] : []),
    ...(run.disableTriggers ? ["--disable-triggers"] : []),
    ...(list === undefined ? [] : [`--use-list=${list}`]),
  ];
}

/** A value of a connection string (PostgreSQL documentation, "Connection Strings"). */
function conninfoValue(value: string): string {
  return `'${value.replaceAll(/['\\]/g, "\\$&")}'`;
}

/** What pg_restore is told by `--use-list`: the numbers alone count. */
async function writeList(ctx: Context, entries: readonly Entry[]): Promise<string> {
  const path = join(tmpdir(), `observatory-restore-${crypto.randomUUID()}.list`);
  const text = entries.map(({ id }) => `${id};\n`).join("");
  await ctx.files.create(path, text, { private: true });
  return path;
}

/** How many stored bytes have come, with what is restored now. */
export interface ByteProgress {
  readonly took: (bytes: number) => void;
  readonly item: (name: string) => void;
}

/** Starts counting. */
export function createByteProgress(ctx: Context, { title, size }: Source): ByteProgress {
  let done = 0;
  let name = title;
  const show = () => ctx.progress({ label: `Restoring ${name}`, done, total: size, unit: "bytes" });
  return {
    took(bytes) {
      done += bytes;
      show();
    },
    item(next) {
      name = next;
      show();
    },
  };
}

/** Reads all that a pg_restore says, and holds it to its word. */
async function settle(
  ctx: Context,
  { program, messages, run }: {
    readonly program: Program;
    readonly messages: RestoreMessages;
    readonly run: ArchiveRun;
  },
): Promise<void> {
  const [, , exit] = await Promise.all([
    program.stdout.pipeTo(new WritableStream()),
    readLines(program.stderr, (line) => {
      ctx.log.debug(line);
      messages.line(line);
    }),
    program.exit,
  ]);
  if (exit.code !== 0 || messages.failures.length > 0) throw failureOf(run, { exit, messages });
}

function failureOf(
  { database }: ArchiveRun,
  { exit, messages }: { readonly exit: ProgramExit; readonly messages: RestoreMessages },
): OperationError {
  const [first, ...others] = messages.failures;
  const end = exit.signal === undefined
    ? `pg_restore ended with exit code ${exit.code}`
    : `pg_restore was ended by ${exit.signal}`;
  const reason = first === undefined
    ? end
    : `${first.object === undefined ? "" : `${first.object}: `}${first.message}`;
  const excerpt = first === undefined ? [messages.last] : [
    ...first.more,
    ...others.map(({ object, message }) => `${object ?? "pg_restore"}: ${message}`),
  ];
  const options = {
    code: "restore_failed",
    ...(excerpt.join("") === "" ? {} : { excerpt: excerpt.join("\n") }),
    details: {
      exit: exit.code,
      ...(exit.signal === undefined ? {} : { signal: exit.signal }),
      objects: messages.failures.flatMap(({ object }) => object ?? []),
    },
  };
  const text = `Cannot restore into "${database}": ${reason}`;
  return DEADLOCK.test(reason)
    ? new DeadlockError(text, { ...options, reason })
    : new OperationError(text, options);
}

/**
 * Restores for a server that is older than pg_restore: its script without the parameter that the
 * server does not know, by psql.
 */
async function runByScript(
  ctx: Context,
  { run, tool, args, messages, progress }: {
    readonly run: ArchiveRun;
    readonly tool: ClientTool;
    readonly args: readonly string[];
    readonly messages: RestoreMessages;
    readonly progress: ByteProgress;
  },
): Promise<void> {
  const script = args.filter((each) =>
    !["--single-transaction", "--exit-on-error", "--no-password"].includes(each)
  );
  const program = await ctx.exec(tool.path, {
    args: ["--file=-", ...script, ...await inputArguments(run)],
    env: { LC_ALL: "C", LANGUAGE: "C" },
    ...(streams(run) ? { stdin: await inputOf(run, progress) } : {}),
  });
  const fit = run.transaction ? inOneTransaction : (chunks: AsyncIterable<Uint8Array>) => chunks;
  const psql = await startScript(ctx, {
    // psql commits at the end of what it reads: only a script that is whole may have one.
    script: ReadableStream.from(whole(fit(filterScript(program.stdout)), async () => {
      const exit = await program.exit;
      await said;
      if (exit.code !== 0) throw failureOf(run, { exit, messages });
    })),
    database: run.database,
    transaction: run.transaction,
    name: run.name,
  });
  const said = readLines(program.stderr, (line) => messages.line(line));
  said.catch(() => {});
  try {
    await psql.done;
  } catch (error) {
    await program.stop();
    throw error;
  }
}

async function* whole(
  stream: AsyncIterable<Uint8Array>,
  atEnd: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  yield* stream;
  await atEnd();
}
