/** What differs between two inventories: a restored database's, and a manifest's. */
import type { Session } from "../../core/plugin.ts";
import type { Inventory } from "../repository/inventory.ts";
import type { Manifest, SequenceFacts, Timescale } from "../repository/manifest.ts";
import { HISTORY } from "./bookkeeping.ts";
import type { Parts } from "./options.ts";
import { quoted } from "../repository/relation.ts";

/** What is compared, and with what. */
export interface Compared {
  readonly inventory: Pick<
    Inventory,
    "extensions" | "timescaledb" | "sequences" | "largeObjects" | "migrations"
  >;
  readonly manifest: Manifest;
  readonly parts: Parts;
}

/** Which sequences count down, and which begin again, by their quoted names. */
export interface Directions {
  readonly down: ReadonlySet<string>;
  readonly cycling: ReadonlySet<string>;
}

/** What a backup can have restored: no more than what is in it. */
export function partsOf({ kind }: Pick<Manifest, "kind">, wanted: Parts): Parts {
  return kind === "schema" || kind === "data" ? kind : wanted;
}

/** Asks which sequences do not simply count up. */
export async function readDirections(session: Session): Promise<Directions> {
  const { rows } = await session.query<
    { schema: string; name: string; down: boolean; cycling: boolean }
  >(
    `SELECT n.nspname::text AS schema, c.relname::text AS name, s.seqincrement < 0 AS down,
         s.seqcycle AS cycling
       FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE s.seqincrement < 0 OR s.seqcycle`,
  );
  const those = (which: "down" | "cycling") =>
    new Set(rows.filter((row) => row[which]).map((row) => quoted({ oid: 0, ...row })));
  return { down: those("down"), cycling: those("cycling") };
}

/**
 * Sequences that are missing, or are behind. Their values are no part of the dump's snapshot: the
 * dump has the manifest's or a later one.
 */
export function sequenceDifferences(
  { inventory, manifest, parts, directions }: Compared & { readonly directions: Directions },
): string[] {
  const found = new Map(inventory.sequences.map((each) => [nameOf(each), each]));
  return manifest.sequences.filter(({ schema }) => schema !== "observatory").flatMap((sequence) => {
    const name = nameOf(sequence);
    const there = found.get(name);
    if (there === undefined) return [`The sequence ${name} is missing`];
    const { last_value: wanted } = sequence;
    // One that begins again may be anywhere by the time it is dumped.
    if (parts === "schema" || wanted === null || directions.cycling.has(name)) return [];
    const { last_value: value } = there;
    if (value === null) {
      return [`The sequence ${name} was never used, and had come to ${wanted} in the dump`];
    }
    const behind = directions.down.has(name)
      ? BigInt(value) > BigInt(wanted)
      : BigInt(value) < BigInt(wanted);
    return behind
      ? [`The sequence ${name} has come to ${value}, and had come to ${wanted} in the dump`]
      : [];
  });
}

function nameOf({ schema, name }: SequenceFacts): string {
  return quoted({ oid: 0, schema, name });
}

/** Extensions, large objects, migrations, and what TimescaleDB keeps. */
export function factDifferences(
  { inventory, manifest, parts }: Compared,
): { readonly differences: string[]; readonly notes: string[] } {
  const { kind, selection } = manifest;
  const whole = kind === "full" || kind === "data";
  // A dump of single tables has no extensions; rows alone need theirs to be there, of any version.
  const extensions = selection.tables.length === 0 && parts !== "data"
    ? extensionDifferences({ inventory, manifest, parts })
    : { differences: [], notes: [] };
  const differences = [...extensions.differences];
  if (whole && parts !== "schema") {
    const [has, had] = [inventory.largeObjects, manifest.large_objects];
    if (has !== had) differences.push(`There are ${has} large objects, and ${had} in the dump`);
  }
  // What TimescaleDB keeps is rows of its own tables.
  if (parts !== "schema" && selection.tables.length === 0 && manifest.timescaledb !== null) {
    differences.push(...timescaleDifferences(inventory.timescaledb, manifest.timescaledb));
  }
  if (whole && parts === "all") differences.push(...migrationDifferences(inventory, manifest));
  return { differences, notes: extensions.notes };
}

function extensionDifferences(
  { inventory, manifest }: Compared,
): { readonly differences: string[]; readonly notes: string[] } {
  const found = new Map(inventory.extensions.map((each) => [each.name, each]));
  const differences: string[] = [];
  const notes: string[] = [];
  for (const { name, version } of manifest.extensions) {
    const there = found.get(name);
    if (there === undefined) differences.push(`The extension "${name}" is missing`);
    else if (there.version !== version) {
      const sentence = `The extension "${name}" is of version ${there.version}, ` +
        `and was of version ${version} in the dump`;
      // TimescaleDB's own rows fit one version; of others the server's default one is restored.
      if (name === "timescaledb") differences.push(sentence);
      else notes.push(`${sentence}: dumps leave it to the server`);
    }
  }
  return { differences, notes };
}

function migrationDifferences(
  { migrations: there }: Compared["inventory"],
  { migrations, tables }: Manifest,
): string[] {
  // A table that is missing is told as such; one that the search path hides is compared by its rows.
  if (migrations === null || there === null) return [];
  if (!tables.some(({ name }) => name === HISTORY)) return [];
  const differences: string[] = [];
  if (there.applied !== migrations.applied) {
    differences.push(
      `${there.applied} migrations are applied, and ${migrations.applied} were in the dump`,
    );
  }
  const [has, had] = [there.last, migrations.last];
  if (has?.version !== had?.version) {
    differences.push(
      `The last migration is ${has?.version ?? "none"}, and was ${
        had?.version ?? "none"
      } in the dump`,
    );
  } else if (has?.checksum !== had?.checksum) {
    differences.push(`The last migration, ${had?.version}, has another checksum than in the dump`);
  }
  return differences;
}

function timescaleDifferences(there: Timescale | null, manifest: Timescale): string[] {
  // That the extension is missing is told already.
  if (there === null) return [];
  const hypertables = new Map(
    there.hypertables.map((table) => [quoted({ oid: 0, ...table }), table]),
  );
  const aggregates = new Set(
    there.continuous_aggregates.map((view) => quoted({ oid: 0, ...view })),
  );
  const jobs = new Map(there.jobs.map((job) => [job.id, job]));
  return [
    ...manifest.hypertables.flatMap((table) => {
      const name = quoted({ oid: 0, ...table });
      const found = hypertables.get(name);
      if (found === undefined) return [`${name} is no hypertable`];
      return [
        ...found.chunks === table.chunks ? [] : [
          `The hypertable ${name} has ${found.chunks} chunks, and had ${table.chunks} in the dump`,
        ],
        ...found.compressed_chunks === table.compressed_chunks ? [] : [
          `The hypertable ${name} has ${found.compressed_chunks} compressed chunks, ` +
          `and had ${table.compressed_chunks} in the dump`,
        ],
      ];
    }),
    ...manifest.continuous_aggregates.flatMap((view) => {
      const name = quoted({ oid: 0, ...view });
      return aggregates.has(name) ? [] : [`The continuous aggregate ${name} is missing`];
    }),
    ...manifest.jobs.flatMap(({ id, procedure }) => {
      const found = jobs.get(id);
      if (found === undefined) return [`The job ${id}, which runs ${procedure}, is missing`];
      return found.procedure === procedure
        ? []
        : [`The job ${id} runs ${found.procedure}, and ran ${procedure} in the dump`];
    }),
  ];
}
