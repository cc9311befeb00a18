/** The table that a file is loaded into, as the server knows it. */
import type { Session } from "../../core/plugin.ts";
import { FileFault } from "./fault.ts";
import { type NamedTable, quotedList } from "./names.ts";
import { identifier } from "../sql/names.ts";
import { nearest } from "./nearest.ts";

/** What can be asked on a session or on the database as a whole. */
export type Queries = Pick<Session, "query">;

/** One column. */
export interface TableColumn {
  readonly name: string;
  /** As SQL writes it, with its modifiers. */
  readonly type: string;
  readonly notNull: boolean;
  /** Computed by the server, so that no file can give it. */
  readonly generated: boolean;
  /** GENERATED ALWAYS AS IDENTITY. */
  readonly identity: boolean;
}

/** What tells rows apart: a primary key, or a unique constraint or index. */
export interface Key {
  readonly columns: readonly string[];
  /** Whether two rows with NULL in a column of it count as two. */
  readonly nullsDistinct: boolean;
}

/** A table. */
export interface Table {
  /** As SQL writes it, with its schema. */
  readonly sql: string;
  /** As messages name it. */
  readonly name: string;
  readonly columns: readonly TableColumn[];
  /** Best first: the primary key, then those without NULL, then the shortest. */
  readonly keys: readonly Key[];
  /** Whether a row may conflict with another one. */
  readonly conflicts: boolean;
  /** Whether it may do so under more than one constraint. */
  readonly severalConflicts: boolean;
  /** Whether a constraint is deferrable, for which the server knows no ON CONFLICT. */
  readonly deferrable: boolean;
  /** Whether COPY does the same as INSERT: no view, no rules, no row security. */
  readonly plain: boolean;
  /** Whether this role may look into it. */
  readonly readable: boolean;
}

interface TableRow {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly plain: boolean;
  readonly conflicts: boolean;
  readonly severalConflicts: boolean;
  readonly deferrable: boolean;
  readonly readable: boolean;
}

/**
 * Looks a table up.
 *
 * @throws FileFault `unknown_table`
 */
export async function lookUpTable(queries: Queries, named: NamedTable): Promise<Table> {
  const { rows: [row] } = await queries.query<TableRow>(
    `SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name,
       c.relkind IN ('r', 'p') AND NOT c.relhasrules
         AND NOT pg_catalog.row_security_active(c.oid) AS plain,
       c.relkind NOT IN ('r') OR u.count > 0 AS conflicts,
       c.relkind NOT IN ('r') OR u.count > 1 AS "severalConflicts",
       EXISTS (
         SELECT FROM pg_catalog.pg_index i
          WHERE i.indrelid = c.oid AND NOT i.indimmediate) AS deferrable,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
       LATERAL (SELECT count(*) FROM pg_catalog.pg_index i
                 WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)) u
     WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p', 'v', 'f')`,
    [sqlName(named)],
  );
  if (row === undefined) throw await unknownTable(queries, named);
  const [columns, keys] = [await columnsOf(queries, row.oid), await keysOf(queries, row.oid)];
  return {
    sql: `${identifier(row.schema)}.${identifier(row.name)}`,
    name: shownName(named),
    columns,
    keys: sortedKeys(keys, columns),
    conflicts: row.conflicts,
    severalConflicts: row.severalConflicts,
    deferrable: row.deferrable,
    plain: row.plain,
    readable: row.readable,
  };
}

function sqlName({ schema, table }: NamedTable): string {
  return schema === undefined ? identifier(table) : `${identifier(schema)}.${identifier(table)}`;
}

function shownName({ schema, table }: NamedTable): string {
  return schema === undefined ? table : `${schema}.${table}`;
}

async function columnsOf(queries: Queries, oid: number): Promise<TableColumn[]> {
  const { rows } = await queries.query<{ -readonly [K in keyof TableColumn]: TableColumn[K] }>(
    `SELECT attname::text AS name, pg_catalog.format_type(atttypid, atttypmod) AS type,
       attnotnull AS "notNull", attgenerated <> '' AS generated, attidentity = 'a' AS identity
     FROM pg_catalog.pg_attribute
     WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [oid],
  );
  return rows;
}

interface KeyRow {
  readonly name: string;
  readonly primary: boolean;
  readonly nullsDistinct: boolean;
  /** JSON, since names may hold anything. */
  readonly columns: string;
}

async function keysOf(queries: Queries, oid: number): Promise<KeyRow[]> {
  // The member indnullsnotdistinct is there from PostgreSQL 15 on.
  const { rows } = await queries.query<{ -readonly [K in keyof KeyRow]: KeyRow[K] }>(
    `SELECT k.relname::text AS name, i.indisprimary AS primary,
       NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) AS "nullsDistinct",
       (SELECT json_agg(a.attname ORDER BY at.place)::text
          FROM unnest(i.indkey) WITH ORDINALITY AS at (number, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = at.number
         WHERE at.place <= i.indnkeyatts) AS columns
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
     WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
       AND i.indpred IS NULL AND i.indexprs IS NULL`,
    [oid],
  );
  return rows;
}

function sortedKeys(rows: readonly KeyRow[], columns: readonly TableColumn[]): Key[] {
  const nullable = new Set(columns.filter(({ notNull }) => !notNull).map(({ name }) => name));
  const keys = rows.map(({ name, primary, nullsDistinct, columns: json }) => {
    const columns: string[] = JSON.parse(json);
    return {
      name,
      primary,
      columns,
      nullsDistinct: nullsDistinct && columns.some((column) => nullable.has(column)),
    };
  });
  return keys.sort((a, b) =>
    Number(b.primary) - Number(a.primary) ||
    Number(a.nullsDistinct) - Number(b.nullsDistinct) ||
    a.columns.length - b.columns.length || (a.name < b.name ? -1 : 1)
  );
}

/** The best key whose columns a file gives. */
export function keyFor(table: Table, columns: readonly string[]): Key | undefined {
  return table.keys.find((key) => key.columns.every((column) => columns.includes(column)));
}

/**
 * Finds the columns that a file names.
 *
 * @throws FileFault `unknown_column` or `generated_column`
 */
export function columnsNamed(table: Table, names: readonly string[]): TableColumn[] {
  return names.map((name) => {
    const column = table.columns.find((each) => each.name === name);
    if (column === undefined) throw unknownColumn(table, name);
    if (!column.generated) return column;
    throw new FileFault(
      `column "${name}" of table ${table.name} is generated, so a file cannot give it`,
      { code: "generated_column", hint: "Leave the column out of the file" },
    );
  });
}

function unknownColumn(table: Table, name: string): FileFault {
  const names = table.columns.filter(({ generated }) => !generated).map((each) => each.name);
  const near = nearest(name, names);
  const separated = /[;\t]/.test(name) ? "; columns are separated by commas" : "";
  return new FileFault(`table ${table.name} has no column "${name}"${separated}`, {
    code: "unknown_column",
    hint: `${near === undefined ? "" : `Did you mean "${near}"? `}Its columns are: ${
      names.join(", ")
    }`,
    details: { column: name, columns: names },
  });
}

async function unknownTable(queries: Queries, named: NamedTable): Promise<FileFault> {
  const { rows } = await queries.query<{ name: string }>(
    `SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname::text
         ELSE n.nspname || '.' || c.relname END AS name
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname NOT LIKE 'pg\\_%'
       AND n.nspname NOT IN ('information_schema', 'observatory')
       AND n.nspname NOT LIKE '\\_timescaledb%' AND c.relname <> '_sqlx_migrations'
     ORDER BY 1 LIMIT 1000`,
  );
  const name = shownName(named);
  const near = nearest(name, rows.map((row) => row.name));
  const migrate = "Run `observatory migrate` first";
  return new FileFault(`there is no table ${name}`, {
    code: "unknown_table",
    hint: rows.length === 0
      ? migrate
      : `${near === undefined ? "" : `Did you mean "${near}"? `}${migrate} if a migration makes it`,
    details: { table: name },
  });
}

/** What loading through a table of its own needs of the target. */
export interface Target {
  readonly table: Table;
  readonly columns: readonly TableColumn[];
}

/** The columns' names as a list for SQL. */
export function columnList(columns: readonly TableColumn[]): string {
  return quotedList(columns.map(({ name }) => name));
}
