/** `migrate status`: what is applied, what is pending, and what is wrong; changes nothing. */
import type { Context, Result, Session } from "../../core/plugin.ts";
import { hex } from "./contents.ts";
import { type AppliedMigration, queryHistory } from "./history.ts";
import { withFilesAndSession } from "./opened.ts";
import { changedFiles, dirtyRows, missingFiles, outOfOrder, unversionedFiles } from "./plan.ts";
import type { Problem } from "./problems.ts";
import { checksumsOf, type Source } from "./source.ts";

/** What is asked for. */
export interface StatusOptions {
  readonly directories: readonly string[];
  /** Whether anything that is not applied cleanly makes exit code 3. */
  readonly exitCode: boolean;
}

/** A row with what only the status shows. */
interface AppliedRow extends AppliedMigration {
  /** In UTC, as ISO 8601. */
  readonly applied_at: string;
  /** Nanoseconds; -1 when unknown. */
  readonly execution_time: bigint;
}

type State = "applied" | "pending" | "changed" | "missing" | "dirty";

/** One line of the status. */
interface Line {
  readonly version: string;
  readonly description: string;
  readonly state: State;
  readonly out_of_order: boolean;
  readonly applied_at: string | null;
  readonly execution_ms: number | null;
  /** What was applied, or else what the file is now. */
  readonly checksum: string | null;
  readonly file: string | null;
  readonly down_file: string | null;
}

/**
 * Compares files and database.
 *
 * @throws OperationError when the files or the database cannot be read
 */
export async function status(context: Context, options: StatusOptions): Promise<Result> {
  return await withFilesAndSession(context, options.directories, async ({ session, source }) => {
    const rows = await readRows(session);
    const versions = new Set([...rows.keys(), ...source.files.ups.keys()]);
    const checksums = await checksumsOf(context, { source, versions });
    return resultOf({ source, rows, checksums }, { context, exitCode: options.exitCode });
  });
}

function resultOf(
  view: View,
  { context, exitCode }: { context: Context; exitCode: boolean },
): Result {
  const { rows } = view;
  const problems = problemsOf(view);
  const lines = linesOf(view, problems);
  const pending = lines.filter(({ state }) => state === "pending").length;
  const applied = [...rows.values()].filter(({ success }) => success).length;
  const last = lastOf(rows);
  if (!exitCode) {
    for (const { message } of problems) context.log.warn(message);
  }
  return {
    data: {
      database: context.db.target.database,
      applied,
      pending,
      last_applied_at: last,
      migrations: lines,
      problems,
    },
    text: textOf(lines, { applied, pending, last }),
    ...(exitCode
      ? { problems: [...pendingProblem(pending), ...problems.map(({ message }) => message)] }
      : {}),
  };
}

interface View {
  readonly source: Source;
  readonly rows: ReadonlyMap<bigint, AppliedRow>;
  readonly checksums: ReadonlyMap<bigint, Uint8Array>;
}

async function readRows(session: Session): Promise<Map<bigint, AppliedRow>> {
  const rows = await queryHistory<AppliedRow>(
    session,
    `SELECT version, description, success, checksum, execution_time,
       to_char(installed_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS applied_at
     FROM _sqlx_migrations ORDER BY version`,
  );
  return new Map(rows?.map((row) => [row.version, row]));
}

function problemsOf({ source: { files, contents }, rows, checksums }: View): Problem[] {
  const pending = [...files.ups.values()].filter(({ version }) => !rows.has(version));
  const compared = {
    files,
    checksumOf: (version: bigint) => checksums.get(version),
    bytesOf: (version: bigint) => contents.get(version)?.bytes,
  };
  return [
    ...files.problems,
    ...dirtyRows(rows),
    ...missingFiles(files, rows),
    ...changedFiles(compared, rows),
    ...[outOfOrder(pending, rows), unversionedFiles(files.unversioned)]
      .filter((problem) => problem !== undefined),
  ];
}

function pendingProblem(count: number): string[] {
  if (count === 0) return [];
  return [count === 1 ? "1 migration is pending" : `${count} migrations are pending`];
}

function linesOf({ source, rows, checksums }: View, problems: readonly Problem[]): Line[] {
  const { ups, downs } = source.files;
  const newest = [...rows.keys()].at(-1);
  const all = [...new Set([...rows.keys(), ...ups.keys()])].sort((a, b) => a < b ? -1 : 1);
  return all.map((version) => {
    const row = rows.get(version);
    const file = ups.get(version);
    const checksum = row?.checksum ?? checksums.get(version);
    return {
      version: String(version),
      description: row?.description ?? file?.description ?? "",
      state: row === undefined ? "pending" : stateOf(row, problems),
      out_of_order: row === undefined && newest !== undefined && version < newest,
      applied_at: row?.applied_at ?? null,
      execution_ms: row === undefined || row.execution_time < 0n
        ? null
        : Number(row.execution_time) / 1e6,
      checksum: checksum === undefined ? null : hex(checksum),
      file: file?.path ?? null,
      down_file: downs.get(version)?.path ?? null,
    };
  });
}

function stateOf({ version }: AppliedRow, problems: readonly Problem[]): State {
  const codes = problems.filter((problem) => problem.version === String(version));
  if (codes.some(({ code }) => code === "dirty")) return "dirty";
  if (codes.some(({ code }) => code === "missing_file")) return "missing";
  return codes.some(({ code }) => code === "checksum_changed") ? "changed" : "applied";
}

function lastOf(rows: ReadonlyMap<bigint, AppliedRow>): string | null {
  const times = [...rows.values()].map(({ applied_at }) => applied_at).sort();
  return times.at(-1) ?? null;
}

const HEADINGS = ["VERSION", "STATE", "APPLIED AT", "CHECKSUM", "DESCRIPTION"];

function textOf(
  lines: readonly Line[],
  { applied, pending, last }: { applied: number; pending: number; last: string | null },
): string {
  const table = [HEADINGS, ...lines.map(cellsOf)];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...table.map((cells) => cells[column]?.length ?? 0))
  );
  const text = table.map((cells) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  );
  const summary = `${applied} applied, ${pending} pending; last migration: ${last ?? "none"}`;
  return lines.length === 0 ? summary : [...text, "", summary].join("\n");
}

function cellsOf(line: Line): string[] {
  return [
    line.version,
    line.out_of_order ? `${line.state} (out of order)` : line.state,
    line.applied_at ?? "-",
    line.checksum?.slice(0, 12) ?? "-",
    line.description,
  ];
}
