/** What TimescaleDB has to do with a dump, and how it is restored: see the files named here. */
import type { Manifest } from "../repository/manifest.ts";

export { beginTimescale, endTimescale, type TimescaleBegun } from "./timescale_mode.ts";
export {
  requireFreeOfTimescale,
  requireJobOwners,
  requireTimescale,
  type TimescaleOffer,
} from "./timescale_require.ts";

/** TimescaleDB's part in a dump. */
export interface TimescaleUse {
  /** The version that made it; null where the dump does not tell. */
  readonly version: string | null;
  /** The schema of its functions, which views of the dump name; null where the dump does not tell. */
  readonly schema: string | null;
  /** Whose that schema is, where the dump makes it; null for one that every database has. */
  readonly schemaOwner: string | null;
}

/** What of an archive's table of contents is looked at. */
export interface TimescaleEntries {
  readonly entries: readonly {
    readonly kind: string;
    readonly tag: string;
    readonly schema: string;
    readonly owner: string;
    /** Of an EXTENSION entry: the statement that makes it. */
    readonly definition?: string;
  }[];
}

const OWN_SCHEMA = /^_timescaledb_/;
/** The trigger that every hypertable has had, dumped with it when it is dumped alone too. */
const BLOCKER = / ts_insert_blocker$/;

/**
 * Tells whether a dump needs TimescaleDB. The archive decides, where there is one: a manifest tells
 * of the whole database, of which the dump may hold other tables alone.
 *
 * @returns undefined when it does not
 */
export function usesTimescale(
  archive: TimescaleEntries | null,
  manifest: Manifest | null,
): TimescaleUse | undefined {
  const known = manifest?.extensions.find(({ name }) => name === "timescaledb");
  const version = manifest?.timescaledb?.version ?? known?.version ?? null;
  if (archive === null) {
    if (!manifest?.timescaledb) return undefined;
    return { version, schema: known?.schema ?? null, schemaOwner: null };
  }
  const uses = archive.entries.some(({ kind, tag, schema }) =>
    OWN_SCHEMA.test(schema) || kind === "EXTENSION" && tag === "timescaledb" ||
    kind === "TRIGGER" && BLOCKER.test(tag)
  );
  if (!uses) return undefined;
  const schema = known?.schema ?? schemaOf(archive);
  const made = archive.entries.find(({ kind, tag }) => kind === "SCHEMA" && tag === schema);
  return { version, schema, schemaOwner: made?.owner || null };
}

/** The schema that an archive's own statement puts the extension into. */
function schemaOf({ entries }: TimescaleEntries): string | null {
  const made = entries.find(({ kind, tag }) => kind === "EXTENSION" && tag === "timescaledb");
  const [, quoted, plain] =
    /\sWITH SCHEMA (?:"((?:[^"]|"")+)"|([^\s";]+));/.exec(made?.definition ?? "") ?? [];
  return quoted?.replaceAll('""', '"') ?? plain ?? null;
}

/**
 * Whether an entry makes what `beginTimescale` has made already: the extension, which cannot be made
 * or dropped in a session that uses it, and its schema.
 */
export function isMadeBefore(
  { kind, tag }: { readonly kind: string; readonly tag: string },
  { schema }: Pick<TimescaleUse, "schema">,
): boolean {
  return kind === "EXTENSION" && tag === "timescaledb" || kind === "SCHEMA" && tag === schema;
}
