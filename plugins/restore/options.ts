/** What a restore is asked to be: flags read and checked, with all problems at once. */
import { OperationError } from "../../core/plugin.ts";
import { LATEST } from "../repository/find.ts";
import { readPattern, splitPatterns } from "../repository/pattern.ts";

/** The values of the flags of `restore`. */
export interface RestoreFlags {
  readonly "clean": boolean;
  readonly "create": boolean;
  readonly "schema-only": boolean;
  readonly "data-only": boolean;
  readonly "tables": readonly string[];
  readonly "jobs"?: number | undefined;
  readonly "into"?: string | undefined;
  readonly "swap": boolean;
  readonly "finish": boolean;
  readonly "undo": boolean;
  readonly "kept"?: string | undefined;
  readonly "plan": boolean;
  readonly "at"?: string | undefined;
  readonly "s3-download": boolean;
  readonly "where"?: "local" | "s3" | undefined;
  readonly "endpoint-url"?: string | undefined;
  readonly "output-dir"?: string | undefined;
  readonly "database"?: string | undefined;
  readonly "identity"?: string | undefined;
  readonly "no-owner": boolean;
  readonly "no-privileges": boolean;
  readonly "no-tablespaces": boolean;
  readonly "no-analyze": boolean;
  readonly "no-compare": boolean;
  readonly "lock-wait": number;
}

/** Which part of a backup is restored. */
export type Parts = "all" | "schema" | "data";

/** What is to be restored, and how. */
export interface RestoreOptions {
  readonly kind: "restore";
  /** Undefined with `at`. */
  readonly name: string | undefined;
  /** The moment that is to be gone back to, in milliseconds since 1970. */
  readonly at: number | undefined;
  readonly where: "local" | "s3" | undefined;
  readonly directory: string | undefined;
  readonly endpointUrl: string | undefined;
  /** The database whose backups `latest` and `at` mean, where it is not the target. */
  readonly database: string | undefined;
  readonly identity: string | undefined;
  readonly parts: Parts;
  /** Patterns of tables; empty for everything. */
  readonly tables: readonly string[];
  readonly clean: boolean;
  readonly create: boolean;
  readonly swap: boolean;
  /** Another database than the configured one. */
  readonly into: string | undefined;
  /** Undefined for as many as suit. */
  readonly jobs: number | undefined;
  readonly owners: boolean;
  readonly privileges: boolean;
  readonly tablespaces: boolean;
  readonly analyze: boolean;
  readonly compare: boolean;
  /** Whether only the plan is wanted. */
  readonly planOnly: boolean;
  /** Seconds. */
  readonly lockWait: number;
}

/** What follows a restore that has swapped databases. */
export interface FollowUp {
  readonly kind: "finish" | "undo";
  /** The kept database that is brought back; undefined for the newest. */
  readonly kept: string | undefined;
  readonly planOnly: boolean;
  readonly lockWait: number;
}

/** More connections than that no server takes from one program. */
const MOST_JOBS = 256;

/** What goes with neither `--finish` nor `--undo`: they name no backup. */
const OF_RESTORES = [
  ...["clean", "create", "schema-only", "data-only", "tables", "jobs", "into", "swap", "at"],
  ...["s3-download", "where", "endpoint-url", "output-dir", "database", "identity", "no-owner"],
  ...["no-privileges", "no-analyze", "no-compare"],
] as const;

/**
 * Reads the flags and the argument.
 *
 * @throws OperationError of kind `usage` that lists every problem
 */
export function readOptions(
  name: string | undefined,
  flags: RestoreFlags,
): RestoreOptions | FollowUp {
  const problems: string[] = [];
  const unless = (sound: boolean, problem: string) => {
    if (!sound) problems.push(problem);
  };
  unless(flags["lock-wait"] >= 0, "--lock-wait is a number of seconds");
  const { finish, undo } = flags;
  if (finish || undo) {
    unless(!finish || !undo, "--finish and --undo exclude each other");
    const kind = finish ? "finish" : "undo";
    unless(name === undefined, `--${kind} names no backup: it follows a restore with --swap`);
    for (const other of OF_RESTORES.filter((each) => isGiven(flags[each]))) {
      problems.push(`--${other} has no meaning with --${kind}`);
    }
    unless(undo || flags.kept === undefined, "--kept goes with --undo");
    refuse(problems);
    return { kind, kept: flags.kept, planOnly: flags.plan, lockWait: flags["lock-wait"] };
  }
  unless(flags.kept === undefined, "--kept goes with --undo");
  const at = flags.at === undefined ? undefined : readTime(flags.at);
  unless(
    at === undefined || !Number.isNaN(at),
    `--at is a moment such as 2024-01-31T12:00:00Z, in UTC unless it says otherwise, and not ${
      JSON.stringify(flags.at)
    }`,
  );
  unless(
    name !== undefined || at !== undefined,
    "What is to be restored is missing: a file, a backup's name, or latest",
  );
  unless(
    at === undefined || name === undefined || name === LATEST,
    "--at chooses the backup, so none is named beside it",
  );
  unless(
    !flags["s3-download"] || flags.where !== "local",
    "--s3-download takes the backup from the bucket, and --where local from this machine",
  );
  const jobs = flags.jobs;
  unless(
    jobs === undefined || Number.isInteger(jobs) && jobs >= 1 && jobs <= MOST_JOBS,
    `--jobs is a whole number from 1 to ${MOST_JOBS}`,
  );
  const schemaOnly = flags["schema-only"];
  const dataOnly = flags["data-only"];
  unless(!schemaOnly || !dataOnly, "--schema-only and --data-only exclude each other");
  unless(
    !flags.clean || !dataOnly,
    "--clean drops definitions, which --data-only does not bring back",
  );
  for (
    const other of ["clean", "create", "schema-only", "data-only", "tables", "into"] as const
  ) {
    unless(
      !flags.swap || !isGiven(flags[other]),
      `--swap puts a whole new database in the place of the old one, so --${other} has no meaning with it`,
    );
  }
  unless(flags.into !== "", "--into names no database");
  const tables = flags.tables.flatMap(splitPatterns);
  unless(flags.tables.length === 0 || tables.length > 0, "--tables names no table");
  for (const pattern of tables) {
    try {
      readPattern(pattern);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      problems.push(error.message);
    }
  }
  refuse(problems);
  return {
    kind: "restore",
    name: at === undefined ? name : undefined,
    at,
    where: flags["s3-download"] ? "s3" : flags.where,
    directory: flags["output-dir"],
    endpointUrl: flags["endpoint-url"],
    database: flags.database,
    identity: flags.identity,
    parts: schemaOnly ? "schema" : dataOnly ? "data" : "all",
    tables,
    clean: flags.clean,
    create: flags.create,
    swap: flags.swap,
    into: flags.into,
    jobs,
    owners: !flags["no-owner"],
    privileges: !flags["no-privileges"],
    tablespaces: !flags["no-tablespaces"],
    analyze: !flags["no-analyze"],
    compare: !flags["no-compare"],
    planOnly: flags.plan,
    lockWait: flags["lock-wait"],
  };
}

function isGiven(value: string | number | boolean | readonly string[] | undefined): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
}

/** A moment in milliseconds since 1970; without a zone it is one in UTC. NaN for no moment. */
function readTime(text: string): number {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?(Z|[+-]\d\d:?\d\d)?$/i
    .exec(text.trim());
  if (match === null) return NaN;
  const [, day, clock = "00:00:00", zone = "Z"] = match;
  return Date.parse(`${day}T${clock.length === 5 ? `${clock}:00` : clock}${zone.toUpperCase()}`);
}

function refuse(problems: readonly string[]): void {
  const [first] = problems;
  if (first === undefined) return;
  throw new OperationError(
    problems.length === 1 ? first : ["The flags do not go together:", ...problems].join("\n"),
    { kind: "usage", code: "bad_flags", details: { problems } },
  );
}
