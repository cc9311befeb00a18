/** Backups as files, made without a server: their manifests are true, their dumps are not. */

import { sealed } from "../plugins/repository/read_manifest.ts";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { BackupKind, Manifest } from "../plugins/repository/manifest.ts";
import { backupId } from "../plugins/repository/names.ts";
import { verificationName, type VerificationResult } from "../plugins/repository/verification.ts";

/** What a backup is to be; what is left out is as in the first one of the manual. */
export interface BackupSpec {
  readonly database?: string;
  readonly kind?: BackupKind;
  /** Milliseconds since 1970. */
  readonly time?: number;
  /** Results of verifications; `finished_at` is an hour after the backup, and later for each one. */
  readonly verified?: readonly Partial<VerificationResult>[];
  /** The files beside the manifest by what follows the id; by default `.dump`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Members of the manifest that are to be others. */
  readonly manifest?: Partial<Manifest>;
}

/** A backup as files. */
export interface BackupFiles {
  readonly id: string;
  readonly manifest: Manifest;
  /** Contents by name: the dump's files first, then the manifest, then the results. */
  readonly files: Readonly<Record<string, string>>;
}

/** The moment of the manual's first backup. */
export const FIRST = Date.parse("2024-01-01T12:00:00Z");

const HOUR = 3_600_000;

/** Makes the files of a backup. */
export function backupFiles(spec: BackupSpec = {}): BackupFiles {
  const { database = "llm_observatory", kind = "full", time = FIRST } = spec;
  const id = backupId(database, kind, time);
  const data = Object.entries(spec.files ?? { ".dump": `PGDMP of ${id}` })
    .map(([rest, contents]) => [`${id}${rest}`, contents] as const);
  const manifest = sealed({
    ...manifestOf({ database, kind, time }, id),
    files: data.map(([name, contents]) => ({
      name,
      size: new TextEncoder().encode(contents).length,
      sha256: createHash("sha256").update(contents).digest("hex"),
    })),
    ...spec.manifest,
  });
  const results = (spec.verified ?? []).map((changes, index) =>
    resultOf(changes, { id, time: time + (index + 1) * HOUR })
  );
  return {
    id,
    manifest,
    files: Object.fromEntries([
      ...data,
      [`${id}.manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`],
      ...results.map((result) => [
        verificationName(id, Date.parse(result.finished_at)),
        `${JSON.stringify(result, null, 2)}\n`,
      ]),
    ]),
  };
}

/** A result of a verification, finished at a time. */
export function resultOf(
  changes: Partial<VerificationResult>,
  { id, time }: { readonly id: string; readonly time: number },
): VerificationResult {
  return {
    schema: 1,
    backup: id,
    level: "bytes",
    ok: true,
    started_at: new Date(time - 60_000).toISOString(),
    finished_at: new Date(time).toISOString(),
    tool: { name: "observatory", version: "0.1.0" },
    host: "host-1",
    findings: [],
    ...changes,
  };
}

/** Writes files into a directory, with the time of their last change when it is given, in milliseconds. */
export async function writeFiles(
  directory: string,
  files: Readonly<Record<string, string>>,
  modified?: number,
): Promise<void> {
  for (const [name, contents] of Object.entries(files)) {
    const path = join(directory, name);
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeTextFile(path, contents);
    if (modified !== undefined) await Deno.utime(path, modified / 1000, modified / 1000);
  }
}

/** The names of all files in a directory and below it, sorted; none when it is not there. */
export async function namesIn(directory: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(directory)) {
      const below = isDirectory ? await namesIn(join(directory, name)) : undefined;
      names.push(
        ...below === undefined ? [name] : [`${name}/`, ...below.map((n) => `${name}/${n}`)],
      );
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

function manifestOf(
  { database, kind, time }: { database: string; kind: BackupKind; time: number },
  id: string,
): Omit<Manifest, "checksum"> {
  return {
    schema: 1,
    id,
    kind,
    created_at: new Date(time).toISOString(),
    finished_at: new Date(time + 12_000).toISOString(),
    tool: { name: "observatory", version: "0.1.0" },
    host: "host-1",
    source: {
      system_identifier: "7300000000000000001",
      database,
      database_oid: 16384,
      server_version: "15.18",
      server_version_num: 150018,
      encoding: "UTF8",
      collate: "en_US.utf8",
      ctype: "en_US.utf8",
      locale: { provider: "libc", name: null, rules: null },
      owner: "postgres",
      size: 9_000_000,
      in_recovery: false,
      snapshot: "00000003-0000001B-1",
      lsn: "0/15D6A48",
    },
    client: { program: "pg_dump", version: "15.18", path: "/usr/lib/postgresql/15/bin/pg_dump" },
    arguments: ["--format=custom", "--compress=1"],
    selection: {
      tables: kind === "partial" ? ["traces"] : [],
      exclude: [],
      resolved_tables: kind === "partial" ? ["public.traces"] : [],
      resolved_exclude: [],
      resolved_exclude_rows: [],
    },
    format: "custom",
    compression: { method: "gzip", level: 1 },
    files: [],
    plaintext: null,
    encryption: null,
    globals: null,
    roles: ["app_owner"],
    extensions: [{ name: "plpgsql", version: "1.0", schema: "pg_catalog" }],
    timescaledb: null,
    tables: [
      { schema: "public", name: "models", kind: "table", rows: 7, size: 8192, fingerprint: null },
      {
        schema: "public",
        name: "traces",
        kind: "hypertable",
        rows: 1_000_000,
        size: 61_000_000,
        fingerprint: null,
      },
    ],
    sequences: [{ schema: "public", name: "models_id_seq", last_value: "7" }],
    large_objects: 0,
    migrations: {
      applied: 6,
      last: { version: "20261123090500", description: "create traces", checksum: "ab12" },
    },
    note: null,
    warnings: [],
    duration_ms: 12_000,
    restore_by_hand: [`pg_restore --dbname=${database} ${id}.dump`],
  };
}
