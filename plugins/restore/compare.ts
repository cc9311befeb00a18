/** What differs between a database and the manifest of the backup that it was restored from. */
import type { Context, Session } from "../../core/plugin.ts";
import {
  type CountedTable,
  countRows,
  type Fingerprint,
  listTables,
  TEXT_SETTINGS,
} from "../repository/counts.ts";
import { readInventory } from "../repository/inventory.ts";
import type { Manifest, TableFacts } from "../repository/manifest.ts";
import { quoted } from "../repository/relation.ts";
import { factDifferences, partsOf, readDirections, sequenceDifferences } from "./compare_facts.ts";
import { HISTORY, OWN_SCHEMA } from "./bookkeeping.ts";
import type { Parts } from "./options.ts";

/** What is compared. */
export interface CompareOptions {
  /** The restored database. */
  readonly database: string;
  readonly manifest: Manifest;
  /** What was restored of it; by default all. */
  readonly parts?: Parts;
}

/** What came of a comparison. */
export interface Comparison {
  /** What differs, a sentence each without a final period; empty when nothing does. */
  readonly differences: readonly string[];
  /** What is not compared, and differences that are to be expected, likewise. */
  readonly notes: readonly string[];
}

/** What ends a session or statement that takes long; versions differ in what there is. */
const TIMEOUTS = [
  "statement_timeout",
  "lock_timeout",
  "idle_session_timeout",
  "transaction_timeout",
];

/**
 * Compares, and tells what is not compared on the log.
 *
 * @returns what differs, a sentence each
 */
export async function compareWith(ctx: Context, options: CompareOptions): Promise<string[]> {
  const { differences, notes } = await compareDatabase(ctx, options);
  for (const note of notes) ctx.log.info(note);
  return [...differences];
}

/**
 * Compares: tables with their rows and fingerprints, sequences, extensions, what TimescaleDB keeps,
 * large objects and migrations, as far as the manifest tells of them.
 */
export async function compareDatabase(
  ctx: Context,
  { database, manifest, parts: wanted = "all" }: CompareOptions,
): Promise<Comparison> {
  const parts = partsOf(manifest, wanted);
  const session = await ctx.db.session({
    database,
    notices: "drop",
    // As in the snapshot that the backup was counted in.
    settings: { row_security: "off", ...TEXT_SETTINGS },
  });
  try {
    await settleTimeouts(session);
    await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const inventory = await readInventory(session);
    const tables = await compareTables(ctx, {
      session,
      manifest,
      parts,
      timescale: inventory.timescaledb !== null,
      encoding: inventory.source.encoding,
    });
    const directions = await readDirections(session);
    const facts = factDifferences({ inventory, manifest, parts });
    return {
      differences: [
        ...tables.differences,
        ...sequenceDifferences({ inventory, manifest, parts, directions }),
        ...facts.differences,
      ],
      notes: [...tables.notes, ...facts.notes],
    };
  } finally {
    ctx.progress(null);
    await session.close();
  }
}

async function settleTimeouts(session: Session): Promise<void> {
  await session.query(
    `SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings
      WHERE name = ANY ($1::text[])`,
    [`{${TIMEOUTS.join(",")}}`],
  );
}

interface Comparing {
  readonly session: Session;
  readonly manifest: Manifest;
  readonly parts: Parts;
  readonly timescale: boolean;
  /** Of the restored database. */
  readonly encoding: string;
}

async function compareTables(ctx: Context, comparing: Comparing): Promise<Comparison> {
  const { session, manifest, parts, timescale, encoding } = comparing;
  // Rows alone do not fill materialized views.
  const wanted = manifest.tables.filter(({ schema, name, kind }) =>
    schema !== OWN_SCHEMA &&
    !(parts === "data" && (kind === "materialized view" || name === HISTORY))
  );
  const relations = await readRelations(session);
  const counted = { included: undefined, excluded: new Set<number>() };
  const found = byName(await listTables(session, { counted, timescale, views: true }));
  const differences: string[] = [];
  const notes: string[] = [];
  const pairs: { readonly table: TableFacts; readonly there: CountedTable }[] = [];
  for (const table of wanted) {
    const key = quoted({ oid: 0, ...table });
    const relation = relations.get(key);
    const there = found.get(key);
    if (relation === undefined) differences.push(`${aKind(table)} ${key} is missing`);
    else if (parts === "schema") continue;
    else if (there === undefined) {
      differences.push(
        table.kind === "materialized view" && relation.kind === "m"
          ? `The materialized view ${key} is not filled`
          : `${aKind(table)} ${key} is ${KINDS[relation.kind] ?? "something else"}`,
      );
    } else {
      const whole = manifest.kind === "full" || manifest.kind === "data";
      if (whole && there.kind !== table.kind) {
        differences.push(`${aKind(table)} ${key} is a ${there.kind}`);
      }
      pairs.push({ table, there });
    }
  }
  if (manifest.kind === "full" && parts !== "data" && manifest.tables.length > 0) {
    const known = new Set(manifest.tables.map((table) => quoted({ oid: 0, ...table })));
    for (const [key, { schema, kind }] of found) {
      // What a standby has no rows of is defined there all the same.
      const unlogged = manifest.source.in_recovery && relations.get(key)?.unlogged === true;
      if (known.has(key) || schema === OWN_SCHEMA || unlogged) continue;
      differences.push(`The ${kind} ${key} was not in the dump`);
    }
  }
  const uncounted = pairs.filter(({ table }) => table.rows === null).length;
  if (uncounted > 0) {
    notes.push(
      `The rows of ${uncounted === 1 ? "1 table" : `${uncounted} tables`} are not compared: ` +
        "they were not counted when the backup was made",
    );
  }
  const alike = encoding === manifest.source.encoding;
  if (!alike && pairs.some(({ table }) => table.fingerprint !== null)) {
    notes.push(
      `Fingerprints are not compared: the database has the encoding ${encoding}, ` +
        `and the dumped one had ${manifest.source.encoding}`,
    );
  }
  differences.push(...await compareRows(ctx, { session, pairs, alike }));
  return { differences, notes };
}

/** Relations in words, by what the catalogue calls their kinds. */
const KINDS: Readonly<Record<string, string>> = {
  r: "a table",
  p: "a partitioned table",
  m: "a materialized view",
  v: "a view",
  f: "a foreign table",
};

function aKind({ kind }: TableFacts): string {
  return `The ${kind}`;
}

function byName(tables: readonly CountedTable[]): Map<string, CountedTable> {
  return new Map(tables.map((table) => [quoted(table), table]));
}

async function readRelations(
  session: Session,
): Promise<Map<string, { readonly kind: string; readonly unlogged: boolean }>> {
  const { rows } = await session.query<
    { schema: string; name: string; kind: string; unlogged: boolean }
  >(
    `SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
         c.relpersistence = 'u' AS unlogged
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND c.relpersistence <> 't'`,
  );
  return new Map(rows.map((row) => [quoted({ oid: 0, ...row }), row]));
}

async function compareRows(
  ctx: Context,
  { session, pairs, alike }: {
    readonly session: Session;
    readonly pairs: readonly { readonly table: TableFacts; readonly there: CountedTable }[];
    readonly alike: boolean;
  },
): Promise<string[]> {
  const differences: string[] = [];
  for (const [done, { table, there }] of pairs.entries()) {
    ctx.progress({ label: "Comparing rows", done, total: pairs.length, unit: "items" });
    const fingerprint: Fingerprint = table.rows === null
      ? "none"
      : table.fingerprint === null || !alike
      ? "counts"
      : "full";
    if (fingerprint === "none") continue;
    // Counted as it was: of what was a hypertable with its chunks, whatever it is now.
    const tables = [{ ...there, kind: table.kind }];
    const [facts] = await countRows(ctx, { session, tables, fingerprint });
    if (facts === undefined) continue;
    if (facts.rows !== table.rows) {
      differences.push(
        `${quoted(there)} has ${facts.rows} rows, and had ${table.rows} in the dump`,
      );
    } else if (fingerprint === "full" && facts.fingerprint !== table.fingerprint) {
      differences.push(
        `${quoted(there)} has other contents than the dump, in as many rows (${facts.rows}): ` +
          "its fingerprint differs",
      );
    }
  }
  return differences;
}
