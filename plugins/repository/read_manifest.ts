/** From a manifest's text to what it tells: nothing of it is believed before it was looked at. */
import { createHash } from "node:crypto";
import { OperationError } from "../../core/plugin.ts";
import { type Manifest, MANIFEST_SCHEMA, MANIFEST_SUFFIX } from "./manifest.ts";
import { fileRole, parseBackupName } from "./names.ts";
import {
  count,
  integer,
  list,
  moment,
  object,
  oneOf,
  orNull,
  sha256,
  text,
  truth,
} from "./shape.ts";

const MANIFEST = object({
  id: text(/./),
  kind: oneOf("full", "schema", "data", "partial"),
  created_at: moment,
  finished_at: moment,
  tool: object({ name: text(), version: text() }),
  host: text(),
  source: object({
    system_identifier: orNull(text(/^\d+$/, "a number as text")),
    database: text(/./s),
    database_oid: count,
    server_version: text(),
    server_version_num: count,
    encoding: text(),
    collate: text(),
    ctype: text(),
    locale: orNull(object({
      provider: oneOf("libc", "icu", "builtin"),
      name: orNull(text()),
      rules: orNull(text()),
    })),
    owner: text(),
    size: count,
    in_recovery: truth,
    snapshot: text(),
    lsn: orNull(text()),
  }),
  client: object({ program: text(), version: text(), path: text() }),
  arguments: list(text()),
  selection: object({
    tables: list(text()),
    exclude: list(text()),
    resolved_tables: list(text()),
    resolved_exclude: list(text()),
    resolved_exclude_rows: list(text()),
  }),
  format: oneOf("custom", "plain", "directory"),
  compression: object({ method: oneOf("none", "gzip", "lz4", "zstd"), level: orNull(integer) }),
  files: list(object({ name: text(/./), size: count, sha256 })),
  plaintext: orNull(object({ size: count, sha256 })),
  encryption: orNull(object({ method: oneOf("age"), recipients: list(text()) })),
  globals: orNull(text()),
  roles: list(text()),
  extensions: list(object({ name: text(), version: text(), schema: text() })),
  timescaledb: orNull(object({
    version: text(),
    hypertables: list(
      object({ schema: text(), name: text(), chunks: count, compressed_chunks: count }),
    ),
    continuous_aggregates: list(object({ schema: text(), name: text() })),
    jobs: list(object({ id: count, owner: text(), procedure: text() })),
  })),
  tables: list(object({
    schema: text(),
    name: text(),
    kind: oneOf("table", "hypertable", "materialized view"),
    rows: orNull(count),
    size: count,
    fingerprint: orNull(text()),
  })),
  sequences: list(
    object({
      schema: text(),
      name: text(),
      last_value: orNull(text(/^-?\d+$/, "a number as text")),
    }),
  ),
  large_objects: count,
  migrations: orNull(object({
    applied: count,
    last: orNull(
      object({ version: text(), description: text(), checksum: text(/^[0-9a-f]*$/, "digits") }),
    ),
  })),
  note: orNull(text()),
  warnings: list(text()),
  duration_ms: count,
  restore_by_hand: list(text()),
  checksum: sha256,
});

/**
 * Reads a manifest.
 *
 * @param id the backup's id, as the manifest's file is named
 * @throws OperationError `manifest_newer` or `manifest_invalid`, with the `reason` among its details
 */
export function parseManifest(contents: string, id: string): Manifest {
  const value = readJson(contents, { id, schema: MANIFEST_SCHEMA, what: "manifest" });
  const wrong = MANIFEST(value, "") ?? changed(value);
  if (wrong !== undefined) throw unreadable("manifest", { id, reason: wrong });
  // The check above has looked at every member.
  const manifest = value as Manifest;
  const untrue = contradiction(manifest, id);
  if (untrue !== undefined) throw unreadable("manifest", { id, reason: untrue });
  return manifest;
}

/**
 * Reads JSON of a form that has a version.
 *
 * @param options.what what it is, for messages and codes: `manifest`
 * @throws OperationError `<what>_newer` or `<what>_invalid`, with the `reason` among its details
 */
export function readJson(
  contents: string,
  { id, schema, what }: { id: string; schema: number; what: string },
): unknown {
  let value: unknown;
  try {
    value = JSON.parse(contents);
  } catch {
    const reason = contents.trim() === "" ? "it is empty" : "it is not JSON";
    throw unreadable(what, { id, reason });
  }
  const wrong = object({ schema: count })(value, "");
  if (wrong !== undefined) throw unreadable(what, { id, reason: wrong });
  const { schema: found } = value as { schema: number };
  if (found > schema) {
    const reason = `it was made by a newer version (schema ${found}; this version reads ${schema})`;
    throw unreadable(what, { id, reason, code: `${what}_newer` });
  }
  if (found < schema) {
    throw unreadable(what, { id, reason: `schema ${found} is not known` });
  }
  return value;
}

/**
 * The error of something that cannot be read; for the forms of this folder.
 *
 * @param what what it is, such as `manifest`
 */
export function unreadable(
  what: string,
  { id, reason, code = `${what}_invalid` }: { id: string; reason: string; code?: string },
): OperationError {
  return new OperationError(`Cannot read the ${what} of backup "${id}": ${reason}`, {
    code,
    ...(code.endsWith("_newer") ? { hint: "Use a newer version of observatory" } : {}),
    details: { id, reason },
  });
}

/** A manifest with its checksum. */
export function sealed(manifest: Omit<Manifest, "checksum">): Manifest {
  return { ...manifest, checksum: checksumOf(manifest) };
}

function checksumOf(value: object): string {
  const { checksum: _, ...others } = value as { readonly checksum?: unknown };
  return createHash("sha256").update(JSON.stringify(others)).digest("hex");
}

/** Whether a manifest has changed since it was written. */
function changed(value: unknown): string | undefined {
  const manifest = value as Manifest;
  return manifest.checksum === checksumOf(manifest)
    ? undefined
    : "it is not what was written: its checksum differs";
}

/** What in a manifest cannot be true, though each member has its form. */
function contradiction(manifest: Manifest, id: string): string | undefined {
  if (manifest.id !== id) return `it is of another backup, "${manifest.id}"`;
  const names = manifest.files.map(({ name }) => name);
  const foreign = names.find((name) => !belongs(name, id));
  if (foreign !== undefined) return `the file ${JSON.stringify(foreign)} is not one of this backup`;
  const seen = new Set<string>();
  const twice = names.find((name) => seen.size === seen.add(name).size);
  if (twice !== undefined) return `the file ${JSON.stringify(twice)} is named twice`;
  if (manifest.globals !== null && !names.includes(manifest.globals)) {
    return `the file ${JSON.stringify(manifest.globals)} is not among its files`;
  }
  if (names.every((name) => name === manifest.globals)) return "it names no file of a dump";
  return undefined;
}

/**
 * Whether a file may be named by a manifest. What a manifest names is removed with it, so that it
 * must lead nowhere else: neither out of the place nor to another backup.
 */
function belongs(name: string, id: string): boolean {
  const parsed = parseBackupName(name);
  if (parsed?.id !== id || parsed.rest === MANIFEST_SUFFIX) return false;
  const role = fileRole(parsed.rest);
  if (role !== "data" && role !== "globals") return false;
  // deno-lint-ignore no-control-regex -- no name that pg_dump gives holds one
  if (/[\\\x00-\x1f\x7f]/.test(parsed.rest)) return false;
  const [, ...members] = parsed.rest.split("/");
  return members.length <= 1 && members.every((member) => !/^\.{0,2}$/.test(member));
}
