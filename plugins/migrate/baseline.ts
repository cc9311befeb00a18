/** `migrate baseline`: takes a database over whose schema is there already. */
import { type Context, OperationError, type Result, type Step } from "../../core/plugin.ts";
import type { MigrationFile } from "./files.ts";
import { ensureBookkeeping, type History, readHistory } from "./history.ts";
import { type LockFlags, underLock } from "./locked.ts";
import { type Opened, withFilesAndSession } from "./opened.ts";
import { changedFiles, dirtyRows } from "./plan.ts";
import { refuse } from "./problems.ts";
import { NOT_KNOWN } from "./records.ts";
import { checksumsOf } from "./source.ts";
import { told } from "./told.ts";

/** What is asked for. */
export interface BaselineOptions extends LockFlags {
  /** The last version that the schema holds. */
  readonly version: bigint;
  readonly directories: readonly string[];
}

/**
 * Records everything up to a version as applied without running it, as the
 * `override skip` of sqlx 0.9 does: successful, with an execution time of -1.
 *
 * @throws OperationError of kind `refused` when no file has the version, or what is recorded
 *   already is broken off or changed
 */
export async function baseline(context: Context, options: BaselineOptions): Promise<Result> {
  return await withFilesAndSession(context, options.directories, async (opened) => {
    if (context.dryRun) {
      const { missing } = await missingOf(context, { opened, options });
      return resultOf(context, missing);
    }
    const { session } = opened;
    return await underLock(context, { ...options, session }, async () => {
      const { missing, checksums } = await missingOf(context, { opened, options });
      if (missing.length === 0) return resultOf(context, missing);
      const { table } = await ensureBookkeeping(session);
      const records = missing.map((file): Step => ({
        sql: `INSERT INTO ${table} (version, description, success, checksum, execution_time)
          VALUES ($1, $2, true, $3, $4)`,
        params: [
          file.version,
          file.description,
          checksums.get(file.version) ?? null,
          NOT_KNOWN,
        ],
      }));
      await session.pipeline([{ sql: "BEGIN" }, ...records, { sql: "COMMIT" }]);
      return resultOf(context, missing);
    });
  });
}

/** The files up to the version that are not recorded, with their checksums. */
async function missingOf(
  context: Context,
  { opened: { session, source }, options: { version } }: {
    opened: Opened;
    options: BaselineOptions;
  },
): Promise<{ missing: MigrationFile[]; checksums: Map<bigint, Uint8Array> }> {
  const { files, contents } = source;
  if (!files.ups.has(version)) throw unknownVersion(version);
  const history: NonNullable<History> = await readHistory(session) ?? new Map();
  const upTo = [...files.ups.values()].filter((file) => file.version <= version);
  const checksums = await checksumsOf(context, {
    source,
    versions: upTo.map((file) => file.version),
  });
  const compared = {
    files,
    checksumOf: (version: bigint) => checksums.get(version),
    bytesOf: (version: bigint) => contents.get(version)?.bytes,
  };
  refuse([...files.problems, ...dirtyRows(history), ...changedFiles(compared, history)]);
  return { missing: upTo.filter((file) => !history.has(file.version)), checksums };
}

function unknownVersion(version: bigint): OperationError {
  return new OperationError(
    `Cannot take over up to version ${version}: no migration file has this version`,
    {
      kind: "refused",
      code: "unknown_version",
      hint: "`observatory migrate status` lists the versions",
      details: { version: String(version) },
    },
  );
}

function resultOf({ dryRun, db }: Context, missing: readonly MigrationFile[]): Result {
  const verb = dryRun ? "Would record" : "Recorded";
  const lines = missing.map(({ version, description }) =>
    `${verb} ${version} ${description} as applied, without running it`
  );
  if (lines.length === 0) lines.push("Nothing to record: all of them are recorded already");
  return {
    data: {
      database: db.target.database,
      [dryRun ? "would_record" : "recorded"]: missing.map(told),
    },
    text: lines.join("\n"),
    changed: missing.length > 0,
  };
}
