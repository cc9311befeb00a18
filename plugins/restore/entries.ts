/** What of an archive is restored: chosen by tables, left out where it would do harm. */
import { OperationError } from "../../core/plugin.ts";
import { readPattern, type TablePattern } from "../repository/pattern.ts";
import type { Archive, Entry } from "./table_of_contents.ts";
import { keyOf, type ObjectSpace, type TargetContents } from "./target.ts";

/** Kinds of entries by the names that they take. */
const SPACES: Readonly<Record<string, ObjectSpace>> = {
  "TABLE": "relation",
  "FOREIGN TABLE": "relation",
  "VIEW": "relation",
  "MATERIALIZED VIEW": "relation",
  "SEQUENCE": "relation",
  "INDEX": "relation",
  "TYPE": "type",
  "SHELL TYPE": "type",
  "DOMAIN": "type",
  "FUNCTION": "routine",
  "PROCEDURE": "routine",
  "AGGREGATE": "routine",
  "SCHEMA": "schema",
  "EVENT TRIGGER": "event trigger",
  "PUBLICATION": "publication",
};

/** Kinds that patterns of tables may mean. */
const RELATIONS: ReadonlySet<string> = new Set([
  "TABLE",
  "FOREIGN TABLE",
  "VIEW",
  "MATERIALIZED VIEW",
  "SEQUENCE",
]);

/** What an entry makes, as `TargetContents.objects` names it; undefined for what has no such name. */
export function keyOfEntry({ kind, schema, tag }: Entry): string | undefined {
  const space = SPACES[kind];
  if (space === undefined || kind === "SCHEMA" && tag === "public") return undefined;
  const inSchema = !["schema", "event trigger", "publication"].includes(space);
  // The names of arguments are written without blanks between them by old versions.
  return keyOf(space, inSchema ? schema : "", tag);
}

/** An entry for people, such as `TABLE public.traces`. */
export function entryName({ kind, schema, tag }: Entry): string {
  return `${kind} ${schema === "" ? "" : `${schema}.`}${tag}`;
}

/** The entries whose objects are in the target already. */
export function collisions(
  entries: readonly Entry[],
  contents: TargetContents | undefined,
): Entry[] {
  if (contents === undefined) return [];
  return entries.filter((entry) => {
    const key = keyOfEntry(entry);
    return key !== undefined && contents.objects.has(key);
  });
}

/** Tables that were chosen, with all that belongs to them. */
export interface Chosen {
  readonly entries: readonly Entry[];
  /** What is to be said of what is left out. */
  readonly warnings: readonly string[];
}

/** What goes with a table that it belongs to. */
const BELONGING: ReadonlySet<string> = new Set([
  "TABLE DATA",
  "TABLE ATTACH",
  "MATERIALIZED VIEW DATA",
  "SEQUENCE",
  "SEQUENCE OWNED BY",
  "SEQUENCE SET",
  "DEFAULT",
  "CONSTRAINT",
  "CHECK CONSTRAINT",
  "FK CONSTRAINT",
  "INDEX",
  "INDEX ATTACH",
  "STATISTICS",
  "STATISTICS DATA",
  "TRIGGER",
  "RULE",
  "POLICY",
  "ROW SECURITY",
  "ACL",
  "COMMENT",
  "SECURITY LABEL",
]);

/**
 * Chooses tables with their rows, indexes, keys, sequences, triggers, policies, comments and
 * privileges, which pg_restore's own `--table` leaves out; and of what they need the types, functions
 * and schemas that the target lacks. Partitions go with their table.
 *
 * @throws OperationError of kind `usage` for a pattern that nothing in the archive matches
 */
export function chooseTables(
  archive: Archive,
  { patterns, contents }: {
    readonly patterns: readonly string[];
    readonly contents: TargetContents | undefined;
  },
): Chosen {
  const byId = new Map(archive.entries.map((entry) => [entry.id, entry]));
  const dependents = new Map<number, Entry[]>();
  for (const entry of archive.entries) {
    for (const id of entry.dependencies) {
      dependents.set(id, [...dependents.get(id) ?? [], entry]);
    }
  }
  const chosen = new Set<number>();
  const choose = (entry: Entry | undefined) => {
    if (entry === undefined || chosen.has(entry.id)) return;
    chosen.add(entry.id);
    for (const each of dependents.get(entry.id) ?? []) {
      if (BELONGING.has(each.kind) && belongsTo(each, entry)) choose(each);
      // A partition hangs on its table by an entry of its own, which is called after the partition.
      if (each.kind !== "TABLE ATTACH" || isPartition(each, entry)) continue;
      choose(each);
      each.dependencies.forEach((id) => choose(byId.get(id)));
    }
  };
  // What they are made of: unless it is there, in which case it is taken as it is.
  const need = (id: number) => {
    const entry = byId.get(id);
    if (entry === undefined || chosen.has(id) || isThere(entry, contents)) return;
    if (BELONGING.has(entry.kind) && !RELATIONS.has(entry.kind)) return;
    choose(entry);
    entry.dependencies.forEach(need);
  };
  matching(archive, patterns).forEach(choose);
  const warnings = leaveOutDangling({ chosen, byId, contents });
  for (const id of [...chosen]) byId.get(id)?.dependencies.forEach(need);
  const schemas = new Set(
    archive.entries.filter(({ id }) => chosen.has(id)).map(({ schema }) => schema),
  );
  const entries = archive.entries.filter((entry) =>
    chosen.has(entry.id) ||
    entry.kind === "SCHEMA" && schemas.has(entry.tag) && !isThere(entry, contents)
  );
  return { entries, warnings };
}

/** Takes out what ties a chosen table to one that is neither chosen nor there. */
function leaveOutDangling(
  { chosen, byId, contents }: {
    readonly chosen: Set<number>;
    readonly byId: ReadonlyMap<number, Entry>;
    readonly contents: TargetContents | undefined;
  },
): string[] {
  const warnings: string[] = [];
  const tableOf = (entry: Entry): Entry | undefined =>
    entry.kind === "TABLE"
      ? entry
      : entry.dependencies.map((id) => byId.get(id)).find((each) => each?.kind === "TABLE");
  for (const id of [...chosen]) {
    const entry = byId.get(id);
    if (entry === undefined) continue;
    if (!["FK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH"].includes(entry.kind)) continue;
    const missing = entry.dependencies.map((each) => byId.get(each)).find((each) => {
      const table = each && tableOf(each);
      return table !== undefined && !chosen.has(table.id) && !isThere(table, contents);
    });
    if (missing === undefined) continue;
    chosen.delete(id);
    const other = tableOf(missing) ?? missing;
    warnings.push(
      `${
        entryName(entry)
      } is left out: it ties the table to ${other.schema}.${other.tag}, which is not there`,
    );
  }
  return warnings;
}

function isPartition(attach: Entry, entry: Entry): boolean {
  return attach.tag === entry.tag && attach.schema === entry.schema;
}

/** Whether an entry is a table's own, and not only made with it: a key of another table is not. */
function belongsTo({ kind, schema, tag }: Entry, owner: Entry): boolean {
  if (!["CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE", "POLICY"].includes(kind)) return true;
  // Their tags begin with the table's name.
  return !RELATIONS.has(owner.kind) || schema === owner.schema && tag.startsWith(`${owner.tag} `);
}

function isThere(entry: Entry, contents: TargetContents | undefined): boolean {
  if (entry.kind === "EXTENSION") return contents?.extensions.has(entry.tag) === true;
  const key = keyOfEntry(entry);
  return key !== undefined && contents?.objects.has(key) === true;
}

function matching(archive: Archive, patterns: readonly string[]): Entry[] {
  const missing: string[] = [];
  const found = patterns.map(readPattern).flatMap((pattern) => {
    const entries = archive.entries.filter((entry) =>
      RELATIONS.has(entry.kind) && matches(pattern, entry)
    );
    if (entries.length === 0) missing.push(pattern.text);
    return entries;
  });
  if (missing.length > 0) {
    const names = missing.map((text) => JSON.stringify(text)).join(", ");
    throw new OperationError(`Cannot restore: no table of the backup matches ${names}`, {
      kind: "usage",
      code: "no_table",
      hint: "Tables outside the schema public need their schema: SCHEMA.TABLE",
      details: { patterns: missing },
    });
  }
  return found;
}

/** Without a schema the search path of a new database is meant. */
function matches({ schema, name }: TablePattern, entry: Entry): boolean {
  const like = (pattern: string, text: string) => new RegExp(pattern, "su").test(text);
  return like(name, entry.tag) &&
    (schema === undefined ? entry.schema === "public" : like(schema, entry.schema));
}
