/** Which files were loaded, as the database remembers it. */
import type { Context, Session } from "../../core/plugin.ts";
import type { SeedFile } from "./files.ts";

/** What is remembered of a file. */
export interface LedgerEntry {
  /** The SHA-256 of what was loaded, in hexadecimal. */
  readonly checksum: string;
  /** In UTC, as ISO 8601. */
  readonly loadedAt: string;
  /** How many rows the file had; null for SQL. */
  readonly rows: bigint | null;
  readonly environment: string;
}

/** The memory of one database. */
export interface Ledger {
  /** The table's name for SQL; undefined where none can be kept. */
  readonly table: string | undefined;
  /** By the file's name. */
  readonly entries: ReadonlyMap<string, LedgerEntry>;
}

/** Reads the ledger; outside of a read-only run it is made where there is none. */
export async function readLedger({ db }: Context): Promise<Ledger> {
  const table = await db.stateTable({
    name: "seeds",
    columns: {
      path: "text PRIMARY KEY",
      checksum: "text NOT NULL",
      loaded_at: "timestamptz NOT NULL DEFAULT now()",
      rows: "bigint",
      duration_ms: "bigint",
      environment: "text NOT NULL DEFAULT ''",
    },
  });
  if (table === undefined) return { table, entries: new Map() };
  const { rows } = await db.query<LedgerRow>(
    `SELECT path, checksum, rows, environment,
       to_char(loaded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "loadedAt"
     FROM ${table} ORDER BY path`,
  );
  return { table, entries: new Map(rows.map(({ path, ...entry }) => [path, entry])) };
}

type LedgerRow = { -readonly [K in keyof LedgerEntry]: LedgerEntry[K] } & { path: string };

/** What is to be remembered. */
export interface LedgerRecord {
  readonly checksum: string;
  readonly rows: number | undefined;
  /** Milliseconds. */
  readonly duration: number;
  readonly environment: string;
}

/** Remembers a file, in the transaction that loads it. */
export async function record(
  session: Session,
  table: string,
  { file, checksum, rows, duration, environment }: LedgerRecord & { readonly file: SeedFile },
): Promise<void> {
  await session.query(
    `INSERT INTO ${table} (path, checksum, rows, duration_ms, environment)
     VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (path) DO UPDATE SET checksum = excluded.checksum, loaded_at = now(),
       rows = excluded.rows, duration_ms = excluded.duration_ms, environment = excluded.environment`,
    [file.name, checksum, rows ?? null, Math.round(duration), environment],
  );
}
