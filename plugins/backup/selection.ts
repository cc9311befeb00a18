/** Which tables are dumped: patterns resolved against the catalogue, with what belongs to them. */
import { OperationError, type Session } from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";
import { compressedChunks, readHypertables, refuseCompressed } from "./hypertables.ts";
import { oids, quoted, type Relation } from "../repository/relation.ts";
import type { Selection } from "../repository/manifest.ts";
import { readPattern, type TablePattern } from "../repository/pattern.ts";

/** What was asked for, as it was given. */
export interface Wanted {
  readonly tables: readonly string[];
  readonly exclude: readonly string[];
}

/** Tables that are dumped. */
export interface Resolved extends Selection {
  /** What is to be said of them. */
  readonly warnings: readonly string[];
  /** Object identifiers of what is in the dump; undefined for everything. */
  readonly included: ReadonlySet<number> | undefined;
  readonly excluded: ReadonlySet<number>;
}

/**
 * Resolves the patterns. Partitions, children and chunks go with their table.
 *
 * @param session the dump's snapshot
 * @throws OperationError of kind `usage` for a pattern that no table matches; `refused` for rows
 *   that a dump of single tables cannot give back
 */
export async function resolveSelection(session: Session, wanted: Wanted): Promise<Resolved> {
  const { tables, exclude } = wanted;
  const closed = tables.length === 0 ? await closedState(session) : [];
  if (tables.length === 0 && exclude.length === 0) {
    return {
      tables,
      exclude,
      resolved_tables: [],
      resolved_exclude: closed.map(quoted),
      resolved_exclude_rows: [],
      warnings: [],
      included: undefined,
      excluded: new Set(closed.map(({ oid }) => oid)),
    };
  }
  const [wantedRoots, unwantedRoots] = await rootsOf(session, wanted);
  const { isHypertable, storeOf } = await readHypertables(session);
  await refuseCompressed(session, wantedRoots.filter(isHypertable));
  // Of hypertables and continuous aggregates the rows are left out, and not they themselves, since the
  // catalogue of TimescaleDB, which is dumped as a whole, goes on telling of them.
  const withoutRows = unwantedRoots.filter((each) => isHypertable(each) || storeOf(each));
  const without = unwantedRoots.filter((each) => !withoutRows.includes(each));
  const stores = withoutRows.map((each) => storeOf(each) ?? each);
  const included = await withDescendants(session, wantedRoots);
  const excluded = [...await withDescendants(session, without), ...closed];
  const emptied = [
    ...await withDescendants(session, stores),
    ...await compressedChunks(session, stores),
  ];
  const gone = new Set(excluded.map(({ oid }) => oid));
  const left = tables.length === 0 ? undefined : included.filter(({ oid }) => !gone.has(oid));
  if (left?.length === 0) {
    throw new OperationError("Cannot back up: --exclude-table leaves out every table of --tables", {
      kind: "usage",
      code: "nothing_selected",
    });
  }
  return {
    tables,
    exclude,
    resolved_tables: included.map(quoted),
    resolved_exclude: excluded.map(quoted),
    resolved_exclude_rows: emptied.map(quoted),
    warnings: [
      ...wantedRoots.filter(isHypertable).map((table) =>
        `The hypertable ${
          quoted(table)
        } is restored as a plain table, its chunks as children of it: ` +
        "nothing can be inserted before its rows are copied into a new hypertable"
      ),
      ...wantedRoots.filter((each) => storeOf(each) !== undefined).map((view) =>
        `The continuous aggregate ${
          quoted(view)
        } has its rows in TimescaleDB's own table, which is ` +
        "left out: a restore cannot make it"
      ),
      ...withoutRows.map((table) =>
        `The ${isHypertable(table) ? "hypertable" : "continuous aggregate"} ${
          quoted(table)
        } is kept ` +
        "without its rows: TimescaleDB's catalogue tells of it"
      ),
      ...await danglingReferences(session, excluded),
    ],
    included: left && new Set(left.map(({ oid }) => oid)),
    excluded: new Set([...excluded, ...emptied].map(({ oid }) => oid)),
  };
}

/**
 * The tool's own tables that the role may not read, which are made by another one's runs: what says
 * what was done to the database is no reason that nobody else can back it up.
 */
async function closedState(session: Session): Promise<Relation[]> {
  const { rows } = await session.query<{ oid: number; schema: string; name: string }>(
    `SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'observatory' AND c.relkind IN ('r', 'p', 'S')
        AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE')
          AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))
      ORDER BY 3`,
  );
  return rows;
}

async function rootsOf(
  session: Session,
  { tables, exclude }: Wanted,
): Promise<[Relation[], Relation[]]> {
  const missing: string[] = [];
  const find = async (patterns: readonly string[]) => {
    const found = new Map<number, Relation>();
    for (const pattern of patterns.map(readPattern)) {
      const relations = await relationsLike(session, pattern);
      if (relations.length === 0) missing.push(pattern.text);
      for (const relation of relations) found.set(relation.oid, relation);
    }
    return [...found.values()];
  };
  const found: [Relation[], Relation[]] = [await find(tables), await find(exclude)];
  if (missing.length > 0) {
    const names = missing.map((text) => JSON.stringify(text)).join(", ");
    throw new OperationError(
      `Cannot back up: no table matches ${names}`,
      {
        kind: "usage",
        code: "no_table",
        hint: "Tables outside the search path need their schema: SCHEMA.TABLE",
        details: { patterns: missing },
      },
    );
  }
  return found;
}

async function relationsLike(
  session: Session,
  { schema, name }: TablePattern,
): Promise<Relation[]> {
  const { rows } = await session.query<{ oid: number; schema: string; name: string }>(
    `SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        AND c.relname OPERATOR(pg_catalog.~) $1 COLLATE pg_catalog.default
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND ${
      schema === undefined
        ? "pg_catalog.pg_table_is_visible(c.oid)"
        : "n.nspname OPERATOR(pg_catalog.~) $2 COLLATE pg_catalog.default"
    }
      ORDER BY 2, 3`,
    schema === undefined ? [name] : [name, schema],
  );
  return rows;
}

/** With partitions and children of every depth; chunks are children of their hypertable. */
async function withDescendants(
  session: Session,
  relations: readonly Relation[],
): Promise<Relation[]> {
  if (relations.length === 0) return [];
  const { rows } = await session.query<{ oid: number; schema: string; name: string }>(
    `WITH RECURSIVE d(oid) AS (
       SELECT unnest($1::oid[])
       UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN d ON i.inhparent = d.oid)
     SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name
       FROM d JOIN pg_catalog.pg_class c USING (oid)
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY 2, 3`,
    [oids(relations)],
  );
  return rows;
}

/** Keys of tables that stay to tables that are left out: a restore cannot make them. */
async function danglingReferences(
  session: Session,
  excluded: readonly Relation[],
): Promise<string[]> {
  if (excluded.length === 0) return [];
  const { rows } = await session.query<{ key: string; from: string; to: string }>(
    `SELECT k.conname::text AS key, k.conrelid::pg_catalog.regclass::text AS from,
         k.confrelid::pg_catalog.regclass::text AS to
       FROM pg_catalog.pg_constraint k
      WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY ($1::oid[])
        AND k.conrelid <> ALL ($1::oid[]) ORDER BY 2, 1`,
    [oids(excluded)],
  );
  return rows.map(({ key, from, to }) =>
    `The key ${identifier(key)} of ${from} refers to ${to}, which is left out: ` +
    "a restore reports that it cannot be made"
  );
}
