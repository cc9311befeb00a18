/** Which migrations are to be applied, and what stands against that; nothing here changes anything. */
import { hex, sameBytes } from "./contents.ts";
import { cosmeticChange } from "./cosmetic.ts";
import type { MigrationFile, MigrationFiles } from "./files.ts";
import type { AppliedMigration, History } from "./history.ts";
import type { Problem } from "./problems.ts";

/** What a plan is made from. */
export interface PlanOptions {
  readonly files: MigrationFiles;
  readonly history: History;
  /** The checksum of each applied version's file. */
  readonly checksumOf: (version: bigint) => Uint8Array | undefined;
  /** The bytes of a version's file, where they are at hand. */
  readonly bytesOf: (version: bigint) => Uint8Array | undefined;
  /** The last version to apply; without it all are. */
  readonly to?: bigint | undefined;
  /** Whether applied migrations may have lost their files. */
  readonly ignoreMissing: boolean;
  /** Whether what is otherwise warned of stands against the run. */
  readonly strict: boolean;
}

/** What is to be done. */
export interface Plan {
  /** In the order in which they are applied. */
  readonly pending: readonly MigrationFile[];
  /** Pending too, but beyond the version asked for. */
  readonly beyond: readonly MigrationFile[];
  /** How many are applied already. */
  readonly applied: number;
  readonly warnings: readonly string[];
  readonly problems: readonly Problem[];
}

/** Compares files and history by sqlx's rules, and finds everything wrong before anything is applied. */
export function planMigrations(options: PlanOptions): Plan {
  const { files, to, strict } = options;
  const history = options.history ?? new Map<bigint, AppliedMigration>();
  const open = [...files.ups.values()].filter(({ version }) => !history.has(version));
  const pending = open.filter(({ version }) => to === undefined || version <= to);
  const warnings: string[] = [];
  const problems: Problem[] = [...files.problems];
  const report = (problem: Problem | undefined) => {
    if (problem === undefined) return;
    if (strict) problems.push(problem);
    else warnings.push(problem.message);
  };
  report(unversionedFiles(files.unversioned));
  problems.push(...dirtyRows(history));
  if (!options.ignoreMissing) problems.push(...missingFiles(files, history));
  problems.push(...changedFiles(options, history));
  if (to !== undefined) problems.push(...wrongTarget(to, { files, history }));
  report(outOfOrder(pending, history));
  return {
    pending,
    beyond: open.filter(({ version }) => to !== undefined && version > to),
    applied: history.size,
    warnings,
    problems,
  };
}

type Rows = ReadonlyMap<bigint, AppliedMigration>;

/** Files that look like migrations and have no version: sqlx fails on them. */
export function unversionedFiles(paths: readonly string[]): Problem | undefined {
  const [path] = paths;
  if (path === undefined) return undefined;
  const what = paths.length === 1
    ? `"${path}", whose name does not begin with a version`
    : `${paths.length} files whose names do not begin with a version: ${listed(paths)}`;
  return {
    code: "unversioned_file",
    message: `Skipping ${what}`,
    hint: "Move what is no migration to another directory; sqlx fails on such names",
    file: path,
  };
}

/** Rows that say that a migration broke off half-way. */
export function dirtyRows(history: Rows): Problem[] {
  return [...history.values()].filter(({ success }) => !success).map((
    { version, description },
  ) => ({
    code: "dirty",
    message: `Migration ${version} (${description}) is recorded as broken off half-way`,
    hint:
      `Undo by hand what it did and run \`observatory migrate resolve ${version} --unapplied\`, ` +
      `or finish it by hand and run \`observatory migrate resolve ${version} --applied\``,
    version: String(version),
  }));
}

/** What to do about a migration that broke off half-way. */
export function resolveHint(version: bigint): string {
  return `Undo by hand what it did and run \`observatory migrate resolve ${version} --unapplied\`, ` +
    `or finish it by hand and run \`observatory migrate resolve ${version} --applied\``;
}

/** Applied versions without any file; as with sqlx a down file counts as one. */
export function missingFiles(files: MigrationFiles, history: Rows): Problem[] {
  return [...history.values()]
    .filter(({ version }) => !files.ups.has(version) && !files.downs.has(version))
    .map(({ version, description }) => ({
      code: "missing_file",
      message: `Migration ${version} (${description}) is applied, but its file is missing`,
      hint: "Bring the file back, or pass --ignore-missing to go on without it",
      version: String(version),
    }));
}

/** Files that are no longer what was applied. */
export function changedFiles(
  { files, checksumOf, bytesOf }: Pick<PlanOptions, "files" | "checksumOf" | "bytesOf">,
  history: Rows,
): Problem[] {
  const problems: Problem[] = [];
  for (const { version, checksum } of comparable(history)) {
    const file = files.ups.get(version);
    const local = checksumOf(version);
    if (file === undefined || local === undefined || sameBytes(checksum, local)) continue;
    const bytes = bytesOf(version);
    const cosmetic = bytes && cosmeticChange(bytes, checksum);
    problems.push({
      code: "checksum_changed",
      message: `The file "${file.path}" was changed after it was applied ` +
        (cosmetic === undefined
          ? `(applied ${hex(checksum).slice(0, 12)}, now ${hex(local).slice(0, 12)})`
          : `(only its ${cosmetic.join(" and ")})`),
      hint: cosmetic === undefined
        ? "Bring its former contents back, and make the change in a new migration"
        : "Run `observatory migrate repair` to accept it",
      version: String(version),
      file: file.path,
    });
  }
  return problems;
}

/** The rows that are not known yet to be what their files hold. */
export function comparable(history: Rows): AppliedMigration[] {
  return [...history.values()].filter(({ matches }) => matches !== true);
}

function wrongTarget(
  to: bigint,
  { files, history }: { files: MigrationFiles; history: Rows },
): Problem[] {
  if (!files.ups.has(to) && !files.downs.has(to)) {
    return [{
      code: "unknown_version",
      message: `No migration file has version ${to}`,
      hint: "`observatory migrate status` lists the versions",
      version: String(to),
    }];
  }
  const newest = newestOf(history);
  if (newest === undefined || to >= newest) return [];
  return [{
    code: "target_is_older",
    message: `Version ${to} is older than ${newest}, which is applied`,
    hint: `To go back: \`observatory migrate rollback --to ${to}\``,
    version: String(to),
  }];
}

/** Pending files with versions below the newest applied one: sqlx applies them without a word. */
export function outOfOrder(pending: readonly MigrationFile[], history: Rows): Problem | undefined {
  const newest = newestOf(history);
  const late = pending.filter(({ version }) => newest !== undefined && version < newest);
  const [first] = late;
  if (first === undefined) return undefined;
  const what = late.length === 1
    ? `"${first.path}" is pending`
    : `${late.length} migrations are pending (${listed(late.map(({ path }) => path))})`;
  return {
    code: "out_of_order",
    message: `Out of order: ${what}, but older than ${newest}, which is applied`,
    hint: "Give it a version above the newest applied one, if it is not applied elsewhere",
    version: String(first.version),
    file: first.path,
  };
}

/** The largest version of a history. */
export function newestOf(history: Rows): bigint | undefined {
  return [...history.keys()].at(-1);
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).map((name) => `"${name}"`).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
