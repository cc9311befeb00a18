/** From flags and settings to what is kept in one place: one policy for each, never a mixture. */
import { type Config, OperationError } from "../../core/plugin.ts";
import { keepsNothing, MIN_KEEP, type Policy } from "./retention.ts";
import type { Store } from "./store.ts";
import { DAY, DURATION_FORM, parseDuration } from "./times.ts";

/** The flags that say what is kept, as they are given; what is left out says nothing. */
export interface KeepFlags {
  readonly "keep-last": number | undefined;
  readonly "keep-daily": number | undefined;
  readonly "keep-weekly": number | undefined;
  readonly "keep-monthly": number | undefined;
  readonly "keep-yearly": number | undefined;
  readonly "keep-within": string | undefined;
  readonly "retention-days": number | undefined;
  readonly "min-keep": number | undefined;
}

const COUNTS = ["last", "daily", "weekly", "monthly", "yearly"] as const;

/** The largest number of backups or days that can be asked for, as in the settings. */
const LIMIT = 100_000;

/**
 * What the settings say of one place: any `BACKUP_KEEP_…` stands in the place of
 * `BACKUP_RETENTION_DAYS`; for the bucket both begin with `S3_`.
 *
 * @returns undefined where nothing is removed without being asked for: nothing is set, or all to 0
 * @throws OperationError of kind `usage` when a length of time cannot be read
 */
export function automaticPolicy(
  config: Pick<Config, "get">,
  place: Store["kind"],
): Policy | undefined {
  const prefix = place === "s3" ? "S3_" : "";
  const number = (name: string) => {
    const value = config.get(`${prefix}BACKUP_${name}`);
    return value === undefined ? undefined : Number(value);
  };
  const within = config.get(`${prefix}BACKUP_KEEP_WITHIN`);
  const counts = COUNTS.flatMap((rule) => {
    const value = number(`KEEP_${rule.toUpperCase()}`);
    return value === undefined ? [] : [[rule, value] as const];
  });
  const days = counts.length > 0 || within !== undefined ? undefined : number("RETENTION_DAYS");
  const policy: Policy = {
    ...Object.fromEntries(counts),
    ...(within === undefined
      ? {}
      : { withinMs: duration(within, `the variable ${prefix}BACKUP_KEEP_WITHIN`) }),
    ...(days === undefined ? {} : { withinMs: days * DAY }),
    minKeep: number("MIN_KEEP") ?? MIN_KEEP,
  };
  return keepsNothing(policy) ? undefined : policy;
}

/**
 * What is kept in one place by this run: what the flags say, and the settings only where no flag
 * says what is kept.
 *
 * @throws OperationError of kind `usage` when nothing says what is kept, or a flag is wrong
 */
export function policyOf(
  flags: KeepFlags,
  { config, place }: { config: Pick<Config, "get">; place: Store["kind"] },
): Policy {
  const problems = [
    ...COUNTS.flatMap((rule) => wrongNumber(flags[`keep-${rule}`], `keep-${rule}`, 0)),
    ...wrongNumber(flags["retention-days"], "retention-days", 0),
    ...wrongNumber(flags["min-keep"], "min-keep", 1),
  ];
  if (problems.length > 0) throw usage(problems.join("\n"));
  const counts = COUNTS.flatMap((rule) => {
    const value = flags[`keep-${rule}`];
    return value === undefined ? [] : [[rule, value] as const];
  });
  const { "keep-within": within, "retention-days": days } = flags;
  if (within !== undefined && days !== undefined) {
    throw usage("Give --keep-within or --retention-days, not both: they say the same");
  }
  const automatic = automaticPolicy(config, place);
  const minKeep = flags["min-keep"] ?? automatic?.minKeep ?? minKeepOf(config, place);
  const given = counts.length > 0 || within !== undefined || days !== undefined;
  const policy: Policy | undefined = given
    ? {
      ...Object.fromEntries(counts),
      ...(within === undefined ? {} : { withinMs: duration(within, "--keep-within") }),
      ...(days === undefined ? {} : { withinMs: days * DAY }),
      minKeep,
    }
    : automatic && { ...automatic, minKeep };
  if (policy === undefined || keepsNothing(policy)) throw nothingKept(place);
  return policy;
}

function minKeepOf(config: Pick<Config, "get">, place: Store["kind"]): number {
  const value = config.get(`${place === "s3" ? "S3_" : ""}BACKUP_MIN_KEEP`);
  return value === undefined ? MIN_KEEP : Number(value);
}

function nothingKept(place: Store["kind"]): OperationError {
  const prefix = place === "s3" ? "S3_" : "";
  return usage(
    "Cannot prune: nothing says what is to be kept",
    `Give a rule, such as --keep-daily 7 or --retention-days 30, or set ${prefix}BACKUP_KEEP_… ` +
      `or ${prefix}BACKUP_RETENTION_DAYS`,
  );
}

function duration(text: string, where: string): number {
  const found = parseDuration(text);
  if (found !== undefined) return found;
  throw usage(`The value "${text}" of ${where} is not a length of time, ${DURATION_FORM}`);
}

function wrongNumber(value: number | undefined, flag: string, minimum: number): string[] {
  if (value === undefined) return [];
  if (Number.isInteger(value) && value >= minimum && value <= LIMIT) return [];
  return [`The value "${value}" of --${flag} is not a whole number from ${minimum} to ${LIMIT}`];
}

function usage(message: string, hint?: string): OperationError {
  return new OperationError(message, {
    kind: "usage",
    code: "usage",
    ...(hint === undefined ? {} : { hint }),
  });
}
