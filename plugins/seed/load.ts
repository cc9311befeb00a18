/** Loads one file and remembers it, in one transaction. */
import type { Context, Session } from "../../core/plugin.ts";
import { failureOf } from "./failure.ts";
import { FileFault } from "./fault.ts";
import type { SeedFile } from "./files.ts";
import { type Ledger, record } from "./ledger.ts";
import type { LeftOut } from "./left_out.ts";
import type { RowCounts } from "./merge.ts";
import { lineOf, lineOfEnd } from "./opened.ts";
import { loadRows } from "./rows.ts";
import { runScript } from "./script.ts";
import type { ShownRows } from "./shown_rows.ts";
import { CopyEnd } from "./source.ts";

/** What loading a file did. */
export interface Loaded {
  /** What became of its rows; undefined for SQL. */
  readonly counts?: RowCounts;
  /** What is to be known of it once it is kept. */
  readonly warning?: string | undefined;
  /** What its last statement gave; only of SQL. */
  readonly shown?: ShownRows | undefined;
  /** Milliseconds. */
  readonly duration: number;
}

/** What loading a file depends on. */
export interface LoadOptions {
  readonly ledger: Ledger;
  readonly environment: string;
  /** How many files of this run were loaded before. */
  readonly loadedBefore: number;
}

/**
 * Loads a file in a session of its own, so that no setting reaches the next one.
 *
 * @throws OperationError with the place in the file; nothing of the file is kept
 */
export async function loadFile(
  context: Context,
  file: SeedFile,
  options: LoadOptions,
): Promise<Loaded> {
  try {
    const loaded = await guarded(context, file, options);
    if (loaded.warning !== undefined) context.log.warn(loaded.warning);
    return loaded;
  } catch (error) {
    throw await failureOf(context, error, { file, loaded: options.loadedBefore });
  } finally {
    context.progress(null);
  }
}

async function leftOutText(
  context: Context,
  file: SeedFile,
  { rows, constraints, ordinal }: LeftOut,
): Promise<string> {
  const line = await lineOf(context, file, { ordinal });
  const [what, they] = rows === 1 ? ["1 row", "it meets"] : [`${rows} rows`, "they meet"];
  const unit = file.type === "module" ? "row" : "line";
  const where = `${rows === 1 ? "" : "first: "}${unit} ${line}`;
  const place = line === undefined ? "" : ` (${where})`;
  return `Left ${what} of ${file.path} alone${place}: ${they} other rows of the table under ` +
    constraints.join(", ");
}

async function guarded(context: Context, file: SeedFile, options: LoadOptions): Promise<Loaded> {
  try {
    return await inTransaction(context, file, { ...options, guard: true });
  } catch (error) {
    if (!(error instanceof CopyEnd)) throw error;
    await refuseEnd(context, file);
    return await inTransaction(context, file, { ...options, guard: false });
  }
}

async function inTransaction(
  context: Context,
  file: SeedFile,
  { ledger, environment, guard }: LoadOptions & { readonly guard: boolean },
): Promise<Loaded> {
  const started = context.now();
  return await context.db.transaction(async (session) => {
    const { checksum, ...loaded } = file.type === "sql"
      ? await runScript(context, file, session)
      : await loadRows(context, file, {
        session,
        known: ledger.entries.has(file.name),
        ledger: ledger.table !== undefined,
        source: {
          guard: guard && file.type === "csv",
          environment,
          label: `Loading ${file.name}`,
        },
      });
    const duration = context.now() - started;
    if (ledger.table !== undefined) {
      await remember(session, ledger.table, {
        file,
        checksum,
        environment,
        duration,
        rows: "counts" in loaded ? sum(loaded.counts) : undefined,
      });
    }
    const leftOut = "leftOut" in loaded ? loaded.leftOut : undefined;
    const warning = leftOut && await leftOutText(context, file, leftOut);
    return { ...loaded, duration, warning };
  });
}

async function remember(
  session: Session,
  table: string,
  what: Parameters<typeof record>[2],
): Promise<void> {
  // What is checked only at the end of the transaction is still the file's, not the record's.
  await session.query("SET CONSTRAINTS ALL IMMEDIATE");
  await record(session, table, what);
}

function sum({ inserted, updated, untouched }: RowCounts): number {
  return inserted + updated + untouched;
}

async function refuseEnd(context: Context, file: SeedFile): Promise<void> {
  const line = await lineOfEnd(context, file);
  if (line === undefined) return;
  throw new FileFault("a line of \\. alone, which ends the data for servers before PostgreSQL 18", {
    code: "copy_end",
    hint: 'Write "\\." in quotes when it is a value, and remove it otherwise',
    place: { line },
  });
}
