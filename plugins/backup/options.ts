/** What a backup is asked to be: flags read and checked, with all problems at once. */
import { OperationError } from "../../core/plugin.ts";
import type { BackupFormat, BackupKind } from "../repository/manifest.ts";
import { type Compression, readCompression } from "./compression.ts";
import type { Fingerprint } from "../repository/counts.ts";
import { readPattern, splitPatterns } from "../repository/pattern.ts";

/** The values of the flags of `backup`. */
export interface BackupFlags {
  readonly format: BackupFormat;
  readonly compress: boolean;
  readonly compression?: string | undefined;
  readonly jobs?: number | undefined;
  readonly "schema-only": boolean;
  readonly "data-only": boolean;
  readonly tables: readonly string[];
  readonly "exclude-table": readonly string[];
  readonly "s3-upload": boolean;
  readonly "s3-only": boolean;
  readonly "output-dir"?: string | undefined;
  readonly "endpoint-url"?: string | undefined;
  readonly encrypt: readonly string[];
  readonly globals: boolean;
  readonly fingerprint: Fingerprint;
  readonly note?: string | undefined;
  readonly "if-locked": "wait" | "fail" | "skip";
  readonly "lock-wait": number;
  readonly "stall-timeout": number;
  readonly "no-prune": boolean;
}

/** What a backup is to be. */
export interface BackupOptions {
  readonly format: BackupFormat;
  readonly kind: BackupKind;
  /** What of the database: `schema` and `data` leave out the other; patterns may do so as well. */
  readonly sections: "all" | "schema" | "data";
  /** Undefined for what suits the client program. */
  readonly compression: Compression | undefined;
  readonly jobs: number;
  readonly tables: readonly string[];
  readonly exclude: readonly string[];
  readonly local: boolean;
  readonly s3: boolean;
  /** Undefined for the directory of the settings. */
  readonly directory: string | undefined;
  readonly endpoint: string | undefined;
  readonly recipients: readonly string[];
  readonly globals: boolean;
  readonly fingerprint: Fingerprint;
  readonly note: string | undefined;
  readonly ifLocked: "wait" | "fail" | "skip";
  /** Seconds. */
  readonly lockWait: number;
  /** Seconds without a byte or a word of pg_dump after which it counts as stuck. */
  readonly stallTimeout: number;
  readonly prune: boolean;
}

const MOST_JOBS = 256;

/**
 * Reads the flags.
 *
 * @throws OperationError of kind `usage` that lists every problem
 */
export function readOptions(flags: BackupFlags): BackupOptions {
  const { format } = flags;
  const problems: string[] = [];
  const unless = (sound: boolean, problem: string) => {
    if (!sound) problems.push(problem);
  };
  const schemaOnly = flags["schema-only"];
  const dataOnly = flags["data-only"];
  unless(!schemaOnly || !dataOnly, "--schema-only and --data-only exclude each other");
  unless(
    !flags["s3-only"] || flags["output-dir"] === undefined || format === "directory",
    "--s3-only writes no file, so --output-dir has no meaning with it",
  );
  const jobs = flags.jobs ?? 1;
  unless(
    Number.isInteger(jobs) && jobs >= 1 && jobs <= MOST_JOBS,
    `--jobs is a whole number from 1 to ${MOST_JOBS}`,
  );
  unless(
    jobs === 1 || format === "directory",
    `--jobs needs --format directory: pg_dump writes the ${format} format by one process`,
  );
  for (const name of ["lock-wait", "stall-timeout"] as const) {
    unless(flags[name] >= 0, `--${name} is a number of seconds`);
  }
  // Several recipients come as several flags, or from the setting with spaces between.
  const recipients = flags.encrypt.flatMap((text) => text.split(/[\s,]+/)).filter((text) => text);
  unless(
    recipients.length === 0 || format !== "directory",
    "--encrypt needs --format custom or plain: pg_dump itself writes a directory's files, in plain",
  );
  const compression = attempt(() => compressionOf(flags), problems);
  unless(
    format !== "plain" || compression?.method !== "lz4",
    "--compression lz4 needs --format custom or directory: a plain dump by it could not be checked",
  );
  const tables = flags.tables.flatMap(splitPatterns);
  unless(flags.tables.length === 0 || tables.length > 0, "--tables names no table");
  const exclude = flags["exclude-table"];
  for (const pattern of [...tables, ...exclude]) attempt(() => readPattern(pattern), problems);
  const [first] = problems;
  if (first !== undefined) {
    throw new OperationError(
      problems.length === 1 ? first : ["The flags do not go together:", ...problems].join("\n"),
      { kind: "usage", code: "bad_flags", details: { problems } },
    );
  }
  const sections = schemaOnly ? "schema" : dataOnly ? "data" : "all";
  const s3Only = flags["s3-only"];
  return {
    format,
    kind: tables.length + exclude.length > 0 ? "partial" : sections === "all" ? "full" : sections,
    sections,
    compression,
    jobs,
    tables,
    exclude,
    local: !s3Only,
    s3: s3Only || flags["s3-upload"],
    directory: flags["output-dir"],
    endpoint: flags["endpoint-url"],
    recipients,
    globals: flags.globals,
    fingerprint: schemaOnly ? "none" : flags.fingerprint,
    note: flags.note,
    ifLocked: flags["if-locked"],
    lockWait: flags["lock-wait"],
    stallTimeout: flags["stall-timeout"],
    prune: !flags["no-prune"],
  };
}

/** `--compress` is the manual's, for plain dumps; the other formats are compressed anyway. */
function compressionOf(flags: BackupFlags): Compression | undefined {
  if (flags.compression !== undefined) {
    const compression = readCompression(flags.compression);
    if (flags.compress && compression.method === "none") {
      throw new OperationError("--compress and --compression none exclude each other", {
        kind: "usage",
        code: "bad_flags",
      });
    }
    return compression;
  }
  if (flags.format !== "plain") return undefined;
  return flags.compress ? { method: "gzip", level: 1 } : { method: "none", level: null };
}

function attempt<T>(work: () => T, problems: string[]): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    problems.push(error.message);
    return undefined;
  }
}

/** What the name of the dump's file ends with. */
export function dumpSuffix(format: BackupFormat, { method }: Compression): string {
  if (format === "custom") return ".dump";
  if (format === "directory") return ".dir";
  return method === "gzip" ? ".sql.gz" : method === "zstd" ? ".sql.zst" : ".sql";
}
