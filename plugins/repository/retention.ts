/**
 * Which backups are kept, and why. Nothing here touches a file: what there is goes in, and a reason
 * for each comes out.
 *
 * The rules are restic's (its documentation, "Removing snapshots according to a policy"): each keeps
 * what it keeps, and what no rule keeps goes. Days, ISO weeks, months and years are those of UTC;
 * the newest of each is kept. They are counted over those that exist, so that a month without
 * backups uses up nothing.
 */
import type { Backup } from "./catalogue.ts";
import { isAtLeast, type Level, LEVELS } from "./levels.ts";
import type { BackupKind } from "./manifest.ts";
import { calendar, durationText, HOUR } from "./times.ts";

/** What is kept. A rule that is left out, or counts to 0, keeps nothing. */
export interface Policy {
  readonly last?: number;
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
  /** Milliseconds before the newest whole backup of the same group. */
  readonly withinMs?: number;
  /** How many of the newest whole backups of a group are kept whatever the rules say. */
  readonly minKeep: number;
}

/** How many are kept whatever the rules say, unless something else is asked for. */
export const MIN_KEEP = 3;

/** Backups that stand for each other: a dump of a part never stands for the whole. */
export interface Group {
  readonly system_identifier: string | null;
  readonly database: string;
  readonly kind: BackupKind;
}

/** What decides about a backup. */
export interface Candidate {
  readonly id: string;
  readonly group: Group;
  /** The moment whose data it holds, in milliseconds since 1970. */
  readonly time: number;
  readonly level: Level | null;
  /** Why it is neither counted nor removed: it is broken or damaged. */
  readonly unfit: string | null;
  /** Why it is not removed, though it is counted. */
  readonly held: string | null;
}

/** What becomes of a backup. */
export interface Decision {
  readonly id: string;
  readonly action: "keep" | "remove";
  /** At least one. */
  readonly reasons: readonly string[];
}

/** The clocks of two machines may differ so much. */
const CLOCK_SKEW = HOUR;

const COUNTS = ["last", "daily", "weekly", "monthly", "yearly"] as const;

/** Whether a policy keeps anything beside what is always kept; one that does not is a mistake. */
export function keepsNothing(policy: Policy): boolean {
  return COUNTS.every((rule) => (policy[rule] ?? 0) === 0) && (policy.withinMs ?? 0) === 0;
}

/** A policy in words, such as `last 7, daily 30, within 90 days`. */
export function policyText(policy: Policy): string {
  const counted = COUNTS.flatMap((rule) =>
    (policy[rule] ?? 0) === 0 ? [] : `${rule} ${policy[rule]}`
  );
  const within = policy.withinMs === undefined || policy.withinMs === 0
    ? []
    : [`within ${durationText(policy.withinMs)}`];
  return [...counted, ...within].join(", ");
}

/** A backup as the rules see it. */
export function candidateOf(backup: Backup): Candidate {
  const { id, manifest, time, broken, verified, unreadable } = backup;
  const { system_identifier, database } = manifest.source;
  return {
    id,
    group: { system_identifier, database, kind: manifest.kind },
    time,
    level: verified.level,
    unfit: broken !== null
      ? `broken (${broken}): look at it and delete it by hand`
      : verified.damage !== null
      ? `damaged (${verified.damage.level}): look at it and delete it by hand`
      : null,
    held: unreadable[0] ?? null,
  };
}

/**
 * Decides what is kept.
 *
 * @param options.now milliseconds since 1970: backups from after it are neither counted nor removed
 * @returns a decision for each, in the order given
 */
export function planRetention(
  backups: readonly Candidate[],
  { policy, now }: { policy: Policy; now: number },
): Decision[] {
  const groups = new Map<string, Candidate[]>();
  for (const backup of backups) {
    const { system_identifier, database, kind } = backup.group;
    const key = JSON.stringify([system_identifier, database, kind]);
    groups.set(key, [...groups.get(key) ?? [], backup]);
  }
  const reasons = new Map<Candidate, string[]>();
  for (const group of groups.values()) {
    const fit = group.filter(({ unfit, time }) => unfit === null && time <= now + CLOCK_SKEW)
      .sort((a, b) => b.time - a.time || (a.id < b.id ? 1 : -1));
    const keep = (backup: Candidate, reason: string) =>
      reasons.set(backup, [...reasons.get(backup) ?? [], reason]);
    applyRules(fit, policy, keep);
    applyFloors(fit, policy, keep);
  }
  return backups.map((backup) => {
    const kept = reasons.get(backup) ?? [];
    const always = [backup.unfit, tooNew(backup, now), backup.held].filter((each) => each !== null);
    const all = [...always, ...kept];
    if (all.length > 0) return { id: backup.id, action: "keep", reasons: all };
    return { id: backup.id, action: "remove", reasons: [`kept by none of: ${policyText(policy)}`] };
  });
}

function tooNew({ time, unfit }: Candidate, now: number): string | null {
  if (unfit !== null || time <= now + CLOCK_SKEW) return null;
  return "from the future: a clock is wrong";
}

type Keep = (backup: Candidate, reason: string) => void;

/** @param backups the newest first */
function applyRules(backups: readonly Candidate[], policy: Policy, keep: Keep): void {
  const [newest] = backups;
  const oldest = backups.at(-1);
  for (const rule of COUNTS) {
    const limit = policy[rule] ?? 0;
    let kept = 0;
    let last: string | undefined;
    for (const backup of backups) {
      if (kept === limit) break;
      // Each backup is a period of its own under `last`.
      const period = rule === "last" ? `${kept + 1} of ${limit}` : calendar(backup.time)[rule];
      if (period !== last) {
        keep(backup, rule === "last" ? `last ${period}` : `${rule} ${period}`);
        last = period;
        kept++;
      } else if (backup === oldest) {
        // While a rule has not what it asks for, history reaches back as far as it can.
        keep(backup, `oldest, while there are only ${kept} of ${limit} ${rule}`);
      }
    }
  }
  const within = policy.withinMs ?? 0;
  if (newest === undefined || within === 0) return;
  for (const backup of backups) {
    if (newest.time - backup.time <= within) keep(backup, `within ${durationText(within)}`);
  }
}

/** What no policy goes below. */
function applyFloors(backups: readonly Candidate[], { minKeep }: Policy, keep: Keep): void {
  for (const [index, backup] of backups.entries()) {
    if (index === 0) keep(backup, "newest");
    else if (index < minKeep) keep(backup, `one of the newest ${minKeep}`);
  }
  const verified = new Map<Candidate, Level>();
  for (const level of LEVELS) {
    // What is verified at a level is so at those below it.
    const found = backups.find((each) => isAtLeast(each.level, level));
    if (found !== undefined) verified.set(found, level);
  }
  for (const [backup, level] of verified) keep(backup, `newest verified (${level})`);
}
