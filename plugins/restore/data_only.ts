/** Rows alone, into tables that are there: in which order, and what is left as it is. */
import type { Context, Session } from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";
import { HISTORY, OWN_SCHEMA } from "./bookkeeping.ts";
import type { Entry } from "./table_of_contents.ts";

/** What a restore of rows alone meets. */
export interface DataFacts {
  /** Tables that the backup has rows of, and that are not there. */
  readonly missing: readonly string[];
  /** Tables that hold rows: they would be there twice. */
  readonly filled: readonly string[];
  /** Tables with triggers of users that would fire for every row. */
  readonly triggers: readonly string[];
  /** Of each table the tables that its keys refer to, in names as `SCHEMA.TABLE`. */
  readonly references: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Whether the rows of an entry say what was done to a database, and are no rows of its users. */
export function isBookkeeping({ schema, tag }: Entry): boolean {
  return schema === OWN_SCHEMA || tag === HISTORY;
}

// Rows of a partition are its own; a parent holds none.
const TABLES = `
  SELECT n.nspname::text AS schema, c.relname::text AS name,
    EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
      AND t.tgenabled <> 'D') AS triggers
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`;

const KEYS = `
  SELECT n.nspname::text AS schema, c.relname::text AS name, fn.nspname::text AS to_schema,
    f.relname::text AS to_name
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class f ON f.oid = k.confrelid
    JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
  WHERE k.contype = 'f' AND k.conrelid <> k.confrelid`;

/** Looks at the tables that the entries have rows for. */
export async function inspectData(
  ctx: Context,
  { database, entries }: { readonly database: string; readonly entries: readonly Entry[] },
): Promise<DataFacts> {
  const session = await ctx.db.session({
    database,
    notices: "drop",
    settings: { row_security: "off" },
  });
  try {
    const { rows: tables } = await session.query<
      { schema: string; name: string; triggers: boolean }
    >(TABLES);
    const { rows: keys } = await session.query<
      { schema: string; name: string; to_schema: string; to_name: string }
    >(KEYS);
    const there = new Map(tables.map(({ schema, name, triggers }) => [
      nameOf(schema, name),
      { schema, name, triggers },
    ]));
    const references = new Map<string, Set<string>>();
    for (const { schema, name, to_schema, to_name } of keys) {
      const from = nameOf(schema, name);
      references.set(
        from,
        (references.get(from) ?? new Set()).add(nameOf(to_schema, to_name)),
      );
    }
    const missing: string[] = [];
    const filled: string[] = [];
    const triggers: string[] = [];
    for (const { schema, tag } of entries.filter(({ kind }) => kind === "TABLE DATA")) {
      const name = nameOf(schema, tag);
      const table = there.get(name);
      if (table === undefined) missing.push(name);
      else {
        if (table.triggers) triggers.push(name);
        if (await holdsRows(session, table)) filled.push(name);
      }
    }
    return { missing, filled, triggers, references };
  } finally {
    await session.close();
  }
}

async function holdsRows(
  session: Session,
  { schema, name }: { readonly schema: string; readonly name: string },
): Promise<boolean> {
  const { rows } = await session.query(
    `SELECT FROM ONLY ${identifier(schema)}.${identifier(name)} LIMIT 1`,
  );
  return rows.length > 0;
}

function nameOf(schema: string, name: string): string {
  return `${schema}.${name}`;
}

/**
 * Brings entries with rows into an order in which every key finds what it refers to.
 *
 * @returns all entries, the others where they were; undefined where keys go round in a circle
 */
export function inOrderOfKeys(
  entries: readonly Entry[],
  references: DataFacts["references"],
): Entry[] | undefined {
  const data = entries.filter(({ kind }) => kind === "TABLE DATA");
  const byName = new Map(data.map((entry) => [nameOf(entry.schema, entry.tag), entry]));
  const ordered: Entry[] = [];
  const state = new Map<string, "open" | "done">();
  const visit = (name: string): boolean => {
    const entry = byName.get(name);
    if (entry === undefined || state.get(name) === "done") return true;
    if (state.get(name) === "open") return false;
    state.set(name, "open");
    for (const other of references.get(name) ?? []) if (!visit(other)) return false;
    state.set(name, "done");
    ordered.push(entry);
    return true;
  };
  if (![...byName.keys()].every(visit)) return undefined;
  const next = ordered.values();
  return entries.map((entry) => entry.kind === "TABLE DATA" ? next.next().value ?? entry : entry);
}
