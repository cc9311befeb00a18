/**
 * Retention against an oracle that was written apart from it: slow, rule by rule, from the words of
 * the manual.
 */
import assert from "assert";
import fc from "fast-check";
import { type Level, LEVELS } from "../../plugins/repository/levels.ts";
import {
  type Candidate,
  keepsNothing,
  planRetention,
  type Policy,
  policyText,
} from "../../plugins/repository/retention.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.parse("2026-03-01T03:00:00Z");

const KINDS = ["full", "schema", "data", "partial"] as const;

/** Times that fall on each other, on the borders of days, weeks, months and years, and after now. */
const time = fc.oneof(
  fc.nat(40).map((days) => NOW - days * DAY),
  fc.nat(2000).map((days) => NOW - days * DAY - 3 * HOUR),
  fc.integer({ min: -3, max: 24 * 90 }).map((hours) => NOW - hours * HOUR),
  fc.constantFrom(
    ...["2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2025-12-29T00:00:00Z"],
    ...["2025-12-28T23:59:59Z", "2021-01-03T23:00:00Z", "2021-01-04T00:00:00Z"],
    ...["2024-02-29T12:00:00Z", "2026-02-28T00:00:00Z", "2020-12-31T01:00:00Z"],
  ).map((text) => Date.parse(text)),
);

const group = fc.record({
  system_identifier: fc.constantFrom(null, "7000000000000000001", "7000000000000000002"),
  database: fc.constantFrom("app", "app_staging"),
  kind: fc.constantFrom(...KINDS),
});

/** Mostly of one group, so that there is something to decide. */
const candidates = fc.array(
  fc.record({
    group: fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constant(
          { system_identifier: "7000000000000000001", database: "app", kind: "full" } as const,
        ),
      },
      { weight: 1, arbitrary: group },
    ),
    time,
    level: fc.oneof(
      { weight: 3, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constantFrom<Level>(...LEVELS) },
    ),
    unfit: fc.oneof(
      { weight: 9, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constant("broken") },
    ),
    held: fc.oneof(
      { weight: 19, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constant("held") },
    ),
  }),
  { maxLength: 40 },
).map((all) => all.map((each, index): Candidate => ({ ...each, id: `b${index}` })));

const limit = fc.oneof(fc.nat(4), fc.nat(40));
const policy = fc.record({
  last: limit,
  daily: limit,
  weekly: limit,
  monthly: limit,
  yearly: limit,
  withinMs: fc.oneof(fc.nat(100).map((days) => days * DAY), fc.nat(100).map((n) => n * HOUR)),
}, { requiredKeys: [] });
const policies = fc.tuple(policy, fc.integer({ min: 1, max: 5 }))
  .map(([rules, minKeep]): Policy => ({ ...rules, minKeep }));

function keptBy(backups: readonly Candidate[], policy: Policy): Set<string> {
  const plan = planRetention(backups, { policy, now: NOW });
  return new Set(plan.filter(({ action }) => action === "keep").map(({ id }) => id));
}

/** Whether one backup counts as newer than another one. */
function isNewer(one: Candidate, other: Candidate): boolean {
  return one.time > other.time || one.time === other.time && one.id > other.id;
}

const PERIODS: Readonly<Record<string, (date: Date) => number>> = {
  daily: (date) => Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()),
  // A week is known by its Monday.
  weekly: (date) =>
    Date.UTC(
      date.getUTCFullYear(),
      date.getUTCMonth(),
      date.getUTCDate() - (date.getUTCDay() + 6) % 7,
    ),
  monthly: (date) => date.getUTCFullYear() * 12 + date.getUTCMonth(),
  yearly: (date) => date.getUTCFullYear(),
};

/** Whether a backup is kept, looked at all by itself. */
function isKept(backup: Candidate, all: readonly Candidate[], policy: Policy): boolean {
  const fit = all.filter((each) =>
    each.group.system_identifier === backup.group.system_identifier &&
    each.group.database === backup.group.database && each.group.kind === backup.group.kind &&
    each.unfit === null && !(each.time > NOW + HOUR)
  );
  if (!fit.includes(backup) || backup.held !== null) return true;
  const newer = fit.filter((each) => isNewer(each, backup));
  const isOldest = fit.every((each) => each === backup || isNewer(each, backup));
  if (newer.length === 0 || newer.length < policy.minKeep) return true;
  if (newer.length < (policy.last ?? 0)) return true;
  for (const [rule, period] of Object.entries(PERIODS)) {
    const limit = policy[rule as "daily"] ?? 0;
    const periods = new Set(fit.map((each) => period(new Date(each.time))));
    const own = period(new Date(backup.time));
    const isNewestOfPeriod = newer.every((each) => period(new Date(each.time)) !== own);
    const later = [...periods].filter((each) => each > own).length;
    if (isNewestOfPeriod && later < limit) return true;
    if (isOldest && periods.size < limit) return true;
  }
  const newest = Math.max(...fit.map((each) => each.time));
  if ((policy.withinMs ?? 0) > 0 && newest - backup.time <= (policy.withinMs ?? 0)) return true;
  // Verified at some level that no newer one reaches.
  const { level } = backup;
  return level !== null &&
    newer.every((each) =>
      each.level === null || LEVELS.indexOf(each.level) < LEVELS.indexOf(level)
    );
}

Deno.test("planRetention: keeps what a slow oracle keeps, and nothing else", () => {
  fc.assert(
    fc.property(candidates, policies, (backups, policy) => {
      const expected = backups.filter((each) => isKept(each, backups, policy)).map(({ id }) => id);
      assert.deepEqual([...keptBy(backups, policy)].sort(), expected.sort());
    }),
    { numRuns: 3000 },
  );
});

Deno.test("planRetention: never removes the newest, the newest verified, or one of --min-keep", () => {
  fc.assert(
    fc.property(candidates, policies, (backups, policy) => {
      const kept = keptBy(backups, policy);
      for (const { group } of backups) {
        const fit = backups.filter((each) =>
          JSON.stringify(each.group) === JSON.stringify(group) && each.unfit === null &&
          each.time <= NOW + HOUR
        ).sort((a, b) => isNewer(a, b) ? -1 : 1);
        const floors = fit.slice(0, Math.max(1, policy.minKeep));
        for (let at = 0; at < LEVELS.length; at++) {
          const verified = fit.find(({ level }) => level !== null && LEVELS.indexOf(level) >= at);
          if (verified !== undefined) floors.push(verified);
        }
        for (const { id } of floors) assert(kept.has(id), id);
      }
    }),
    { numRuns: 1000 },
  );
});

Deno.test("planRetention: what it has kept it keeps again", () => {
  fc.assert(
    fc.property(candidates, policies, (backups, policy) => {
      const kept = keptBy(backups, policy);
      const rest = backups.filter(({ id }) => kept.has(id));
      assert.deepEqual(keptBy(rest, policy), kept);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("planRetention: the order of the backups does not matter", () => {
  const shuffled = candidates.chain((all) =>
    fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))
  );
  fc.assert(
    fc.property(shuffled, policies, ([backups, others], policy) => {
      assert.deepEqual(keptBy(others, policy), keptBy(backups, policy));
      const told = new Map(planRetention(backups, { policy, now: NOW }).map((d) => [d.id, d]));
      for (const each of planRetention(others, { policy, now: NOW })) {
        assert.deepEqual(each, told.get(each.id));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("planRetention: who asks for more keeps all that less would keep", () => {
  const rules = ["last", "daily", "weekly", "monthly", "yearly", "withinMs", "minKeep"] as const;
  fc.assert(
    fc.property(
      candidates,
      policies,
      fc.constantFrom(...rules),
      fc.integer({ min: 1, max: 20 }),
      (backups, policy, rule, more) => {
        const unit = rule === "withinMs" ? DAY : 1;
        const larger = { ...policy, [rule]: (policy[rule] ?? 0) + more * unit };
        const kept = keptBy(backups, larger);
        for (const id of keptBy(backups, policy)) assert(kept.has(id), `${rule}: ${id}`);
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("planRetention: backups of another group change nothing", () => {
  fc.assert(
    fc.property(candidates, candidates, policies, (backups, others, policy) => {
      const own = new Set(backups.map((each) => JSON.stringify(each.group)));
      const foreign = others.filter((each) => !own.has(JSON.stringify(each.group)))
        .map((each) => ({ ...each, id: `other-${each.id}` }));
      const alone = keptBy(backups, policy);
      const together = keptBy([...foreign, ...backups], policy);
      assert.deepEqual(new Set([...together].filter((id) => !id.startsWith("other-"))), alone);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("planRetention: two runs at once with two policies leave the newest and the newest verified", () => {
  fc.assert(
    fc.property(candidates, policies, policies, (backups, one, other) => {
      const kept = keptBy(backups, one);
      const left = backups.filter(({ id }) => kept.has(id) && keptBy(backups, other).has(id));
      const both = keptBy(backups, { minKeep: Math.min(one.minKeep, other.minKeep) });
      for (const id of both) assert(left.some((each) => each.id === id), id);
    }),
    { numRuns: 500 },
  );
});

const GROUP = { system_identifier: "1", database: "app", kind: "full" } as const;

function backup(id: string, at: string, changes: Partial<Candidate> = {}): Candidate {
  const time = Date.parse(at);
  return { id, group: GROUP, time, level: null, unfit: null, held: null, ...changes };
}

Deno.test("planRetention: tells for each backup every reason", () => {
  const backups = [
    backup("a", "2026-02-28T03:00:00Z"),
    backup("b", "2026-02-28T02:00:00Z"),
    backup("c", "2026-02-27T03:00:00Z", { level: "restore" }),
    backup("d", "2026-02-20T03:00:00Z", { level: "bytes" }),
    backup("e", "2026-01-01T03:00:00Z", { unfit: "broken (x is missing): look at it" }),
    backup("f", "2026-03-02T03:00:00Z"),
    backup("g", "2026-01-02T03:00:00Z", { held: "a verification cannot be read" }),
    backup("h", "2025-12-31T03:00:00Z"),
  ];
  const policy = { daily: 2, monthly: 9, withinMs: DAY, minKeep: 1 };
  const plan = planRetention(backups, { policy, now: NOW });
  assert.deepEqual(plan.map(({ action, reasons }) => [action, ...reasons]), [
    ["keep", "daily 2026-02-28", "monthly 2026-02", "within 1 day", "newest"],
    ["keep", "within 1 day"],
    ["keep", "daily 2026-02-27", "within 1 day", "newest verified (restore)"],
    ["remove", "kept by none of: daily 2, monthly 9, within 1 day"],
    ["keep", "broken (x is missing): look at it"],
    ["keep", "from the future: a clock is wrong"],
    ["keep", "a verification cannot be read", "monthly 2026-01"],
    ["keep", "monthly 2025-12"],
  ]);
});

Deno.test("planRetention: while a rule has too few, the oldest stays with it", () => {
  const backups = [
    backup("a", "2026-02-28T03:00:00Z"),
    backup("b", "2026-02-15T02:00:00Z"),
    backup("c", "2026-02-01T03:00:00Z"),
  ];
  const plan = planRetention(backups, { policy: { monthly: 2, minKeep: 1 }, now: NOW });
  assert.deepEqual(plan.map(({ reasons }) => reasons), [
    ["monthly 2026-02", "newest"],
    ["kept by none of: monthly 2"],
    ["oldest, while there are only 1 of 2 monthly"],
  ]);
});

Deno.test("planRetention: weeks are ISO's, which may belong to another year than their days", () => {
  const days = ["2021-01-04", "2021-01-03", "2020-12-31", "2020-12-28", "2020-12-27"];
  const backups = days.map((day) => backup(day, `${day}T00:00:00Z`));
  const plan = planRetention(backups, { policy: { weekly: 2, minKeep: 1 }, now: NOW });
  assert.deepEqual(plan.map(({ reasons }) => reasons[0]), [
    "weekly 2021-W01",
    "weekly 2020-W53",
    ...Array(3).fill("kept by none of: weekly 2"),
  ]);
});

Deno.test("planRetention: a stopped schedule removes nothing: days count from the newest backup", () => {
  const backups = [backup("a", "2020-01-31T00:00:00Z"), backup("b", "2020-01-01T00:00:00Z")];
  const within = (days: number) =>
    planRetention(backups, { policy: { withinMs: days * DAY, minKeep: 1 }, now: NOW })
      .map(({ action }) => action);
  assert.deepEqual(within(30), ["keep", "keep"]);
  assert.deepEqual(within(29), ["keep", "remove"]);
});

Deno.test("keepsNothing: rules that count to 0 are none", () => {
  assert.equal(keepsNothing({ minKeep: 3 }), true);
  assert.equal(keepsNothing({ last: 0, withinMs: 0, minKeep: 3 }), true);
  assert.equal(keepsNothing({ last: 0, yearly: 1, minKeep: 3 }), false);
  assert.equal(keepsNothing({ withinMs: 1, minKeep: 3 }), false);
  assert.equal(
    policyText({ last: 7, weekly: 0, withinMs: 36 * HOUR, minKeep: 3 }),
    "last 7, within 36 hours",
  );
});
