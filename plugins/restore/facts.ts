/** What a source says of itself, by its manifest, or else by its table of contents. */
import type { Extension } from "../repository/manifest.ts";
import type { Parts } from "./options.ts";
import type { Source } from "./source.ts";

/** Facts of a backup that a restore depends on. */
export interface SourceFacts {
  /** What it holds. */
  readonly holds: Parts;
  /** The database that was dumped; undefined for a script that does not say. */
  readonly database: string | undefined;
  /** Such as `15.18`. */
  readonly serverVersion: string | undefined;
  readonly serverMajor: number | undefined;
  /** The moment whose data it holds, ISO 8601 in UTC. */
  readonly created: string | undefined;
  /** Extensions it creates; without a version where that is not told. */
  readonly extensions: readonly (Pick<Extension, "name"> & { readonly version?: string })[];
  /** Tables with rows, as far as they are known. */
  readonly tables: readonly { readonly schema: string; readonly name: string }[];
  /** Bytes of the dumped database on its server; undefined where nothing tells. */
  readonly size: number | undefined;
}

/** Reads the facts. */
export function readSource({ manifest, archive }: Source): SourceFacts {
  const serverVersion = manifest?.source.server_version ?? archive?.serverVersion;
  const major = /^\d+/.exec(serverVersion ?? "")?.[0];
  return {
    holds: holdsOf({ manifest, archive }),
    database: manifest?.source.database ?? archive?.database,
    serverVersion: serverVersion?.replace(/ .*$/s, ""),
    serverMajor: major === undefined ? undefined : Number(major),
    created: manifest?.created_at,
    extensions: manifest?.extensions ??
      archive?.entries.filter(({ kind }) => kind === "EXTENSION").map(({ tag }) => ({
        name: tag,
      })) ??
      [],
    tables: manifest?.tables ??
      archive?.entries.filter(({ kind }) => kind === "TABLE DATA")
        .map(({ schema, tag }) => ({ schema, name: tag })) ??
      [],
    size: sizeOf(manifest),
  };
}

function holdsOf({ manifest, archive }: Pick<Source, "manifest" | "archive">): Parts {
  if (manifest !== null) {
    const { arguments: args } = manifest;
    if (args.includes("--schema-only")) return "schema";
    return args.includes("--data-only") ? "data" : "all";
  }
  if (archive === null) return "all";
  const sections = new Set(archive.entries.map(({ section }) => section));
  if (!sections.has("pre-data") && !sections.has("post-data") && sections.has("data")) {
    return "data";
  }
  return "all";
}

/** Of a part of a database the tables in it; indexes are not counted there. */
function sizeOf(manifest: Source["manifest"]): number | undefined {
  if (manifest === null) return undefined;
  return manifest.kind === "full"
    ? manifest.source.size
    : manifest.tables.reduce((sum, { size }) => sum + size, 0);
}
