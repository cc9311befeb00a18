/** `migrate repair`: brings recorded checksums into line with the files. */
import type { Context, Result, Session, Step } from "../../core/plugin.ts";
import { hex, isLarge, sameBytes } from "./contents.ts";
import { type CosmeticChange, cosmeticChange } from "./cosmetic.ts";
import type { MigrationFile } from "./files.ts";
import { type AppliedMigration, findBookkeeping, readHistory } from "./history.ts";
import { type LockFlags, underLock } from "./locked.ts";
import { type Opened, withFilesAndSession } from "./opened.ts";
import { refuse } from "./problems.ts";
import { readWhole } from "./script.ts";
import { checksumsOf } from "./source.ts";

/** What is asked for. */
export interface RepairOptions extends LockFlags {
  readonly directories: readonly string[];
  /** Versions whose files are accepted however they have changed. */
  readonly force: readonly bigint[];
}

/** One changed file. */
interface Change {
  readonly file: MigrationFile;
  readonly recorded: Uint8Array;
  readonly present: Uint8Array;
  /** What alone has changed, when the checksum proves it. */
  readonly cosmetic: readonly CosmeticChange[] | undefined;
  readonly accepted: boolean;
}

/**
 * Records the present checksum of files that were changed after they were
 * applied: of those that provably differ in their form alone, and of those named.
 *
 * @throws OperationError when files or database cannot be read
 */
export async function repair(context: Context, options: RepairOptions): Promise<Result> {
  return await withFilesAndSession(context, options.directories, async (opened) => {
    refuse(opened.source.files.problems);
    const work = { opened, options };
    if (context.dryRun) return resultOf(context, await changesOf(context, work));
    return await underLock(context, { ...options, session: opened.session }, async () => {
      const changes = await changesOf(context, work);
      await record(opened.session, changes.filter(({ accepted }) => accepted));
      return resultOf(context, changes);
    });
  });
}

async function changesOf(
  context: Context,
  { opened: { session, source }, options }: { opened: Opened; options: RepairOptions },
): Promise<Change[]> {
  const history = await readHistory(session) ?? new Map<bigint, AppliedMigration>();
  const checksums = await checksumsOf(context, { source, versions: history.keys() });
  const changes: Change[] = [];
  for (const { version, checksum: recorded } of history.values()) {
    const file = source.files.ups.get(version);
    const present = checksums.get(version);
    if (file === undefined || present === undefined || sameBytes(recorded, present)) continue;
    // A large file is not held in memory, so its form is not compared.
    const cosmetic = isLarge(file) ? undefined : cosmeticChange(
      await readWhole(file, { files: context.files, checksum: present }),
      recorded,
    );
    const accepted = cosmetic !== undefined || options.force.includes(version);
    changes.push({ file, recorded, present, cosmetic, accepted });
  }
  return changes;
}

async function record(session: Session, changes: readonly Change[]): Promise<void> {
  const bookkeeping = await findBookkeeping(session);
  if (bookkeeping === undefined || changes.length === 0) return;
  const updates = changes.map(({ file, present }): Step => ({
    sql: `UPDATE ${bookkeeping.table} SET checksum = $2 WHERE version = $1`,
    params: [file.version, present],
  }));
  await session.pipeline([{ sql: "BEGIN" }, ...updates, { sql: "COMMIT" }]);
}

function resultOf({ dryRun }: Context, changes: readonly Change[]): Result {
  const accepted = changes.filter((change) => change.accepted);
  const others = changes.filter((change) => !change.accepted);
  const verb = dryRun ? "Would accept" : "Accepted";
  const lines = accepted.map(({ file, cosmetic }) =>
    `${verb} ${file.path} (${
      cosmetic === undefined ? "by --force" : `only its ${cosmetic.join(" and ")} changed`
    })`
  );
  if (changes.length === 0) lines.push("Nothing to repair: no applied file was changed");
  return {
    data: { accepted: accepted.map(told), refused: others.map(told) },
    text: lines.join("\n"),
    changed: accepted.length > 0,
    problems: others.map(({ file }) =>
      `The file "${file.path}" was changed in more than its form after it was applied; ` +
      `--force ${file.version} accepts it as it is`
    ),
  };
}

function told({ file, recorded, present, cosmetic }: Change) {
  return {
    version: String(file.version),
    file: file.path,
    recorded: hex(recorded),
    present: hex(present),
    form_only: cosmetic ?? null,
  };
}
