/** `seed status`: which files are loaded, new, changed or missing; changes nothing. */
import type { Context, Result } from "../../core/plugin.ts";
import { BASE } from "./files.ts";
import { type LedgerEntry, readLedger } from "./ledger.ts";
import { alignedLines } from "./shown_rows.ts";
import { reasonFor, wantedFiles, withAdvice } from "./wanted.ts";

/** What is asked for. */
export interface StatusOptions {
  readonly directory: string | undefined;
  readonly environment: string | undefined;
  /** Whether anything that is not loaded makes exit code 3. */
  readonly exitCode: boolean;
}

type State = "loaded" | "pending" | "changed" | "missing";

interface Line {
  readonly file: string;
  readonly state: State;
  readonly loaded_at: string | null;
  readonly rows: bigint | null;
  /** Of what was loaded. */
  readonly checksum: string | null;
}

/**
 * Compares the files with the ledger.
 *
 * @throws OperationError when the files or the database cannot be read
 */
export async function status(context: Context, options: StatusOptions): Promise<Result> {
  const wanted = await wantedFiles(context, { ...options, only: [] });
  const { entries } = await withAdvice(() => readLedger(context));
  const lines: Line[] = [];
  for (const file of wanted.files) {
    const reason = await reasonFor(context, file, {
      ledger: { table: undefined, entries },
      rerun: false,
    });
    const state = reason === "new" ? "pending" : reason === "changed" ? "changed" : "loaded";
    lines.push(lineOf(file.name, state, entries.get(file.name)));
  }
  const there = new Set(wanted.files.map(({ name }) => name));
  const folders = [`${BASE}/`, `${wanted.environment.name}/`];
  for (const [name, entry] of entries) {
    if (there.has(name) || !folders.some((folder) => name.startsWith(folder))) continue;
    lines.push(lineOf(name, "missing", entry));
  }
  const counts = Object.fromEntries(
    (["loaded", "pending", "changed", "missing"] as const).map((state) => [
      state,
      lines.filter((line) => line.state === state).length,
    ]),
  );
  const problems = (["pending", "changed"] as const).flatMap((state) =>
    problemOf(counts[state] ?? 0, state)
  );
  return {
    data: {
      database: context.db.target.database,
      environment: wanted.environment.name,
      directory: wanted.directory,
      ...counts,
      files: lines,
    },
    text: textOf(
      lines,
      `${
        Object.entries(counts).map(([state, count]) => `${count} ${state}`).join(", ")
      } for environment "${wanted.environment.name}"`,
    ),
    ...(options.exitCode ? { problems } : {}),
  };
}

function lineOf(file: string, state: State, entry: LedgerEntry | undefined): Line {
  return {
    file,
    state,
    loaded_at: entry?.loadedAt ?? null,
    rows: entry?.rows ?? null,
    checksum: entry?.checksum ?? null,
  };
}

function problemOf(count: number, state: "pending" | "changed"): string[] {
  const what = state === "pending" ? "pending" : "changed since it was loaded";
  const several = state === "pending" ? "pending" : "changed since they were loaded";
  if (count === 0) return [];
  return [count === 1 ? `1 seed file is ${what}` : `${count} seed files are ${several}`];
}

const HEADINGS = ["FILE", "STATE", "LOADED AT", "ROWS", "CHECKSUM"];

function textOf(lines: readonly Line[], summary: string): string {
  if (lines.length === 0) return summary;
  const table = lines.map(({ file, state, loaded_at, rows, checksum }) => [
    file,
    state,
    loaded_at ?? "-",
    rows === null ? "-" : String(rows),
    checksum?.slice(0, 12) ?? "-",
  ]);
  return [...alignedLines([HEADINGS, ...table]), "", summary].join("\n");
}
