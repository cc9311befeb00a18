import assert from "assert";
import { SETTING_BY_NAME } from "../../core/settings.ts";
import { automaticPolicy, type KeepFlags, policyOf } from "../../plugins/repository/policy.ts";
import { ageText, durationText, parseDuration } from "../../plugins/repository/times.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const NO_FLAGS: KeepFlags = {
  "keep-last": undefined,
  "keep-daily": undefined,
  "keep-weekly": undefined,
  "keep-monthly": undefined,
  "keep-yearly": undefined,
  "keep-within": undefined,
  "retention-days": undefined,
  "min-keep": undefined,
};

/** Settings, each of which must be one that there is. */
function settings(values: Readonly<Record<string, string>>) {
  for (const name of Object.keys(values)) assert(SETTING_BY_NAME.has(name), name);
  return { get: (name: string) => values[name] };
}

Deno.test("automaticPolicy: any BACKUP_KEEP setting replaces the days, each place for itself", () => {
  const days = { BACKUP_RETENTION_DAYS: "30" };
  assert.deepEqual(automaticPolicy(settings(days), "local"), { withinMs: 30 * DAY, minKeep: 3 });
  assert.equal(automaticPolicy(settings(days), "s3"), undefined);
  const both = settings({
    ...days,
    BACKUP_KEEP_DAILY: "7",
    BACKUP_KEEP_YEARLY: "0",
    BACKUP_MIN_KEEP: "5",
    S3_BACKUP_RETENTION_DAYS: "90",
  });
  assert.deepEqual(automaticPolicy(both, "local"), { daily: 7, yearly: 0, minKeep: 5 });
  assert.deepEqual(automaticPolicy(both, "s3"), { withinMs: 90 * DAY, minKeep: 3 });
  assert.deepEqual(
    automaticPolicy(
      settings({ S3_BACKUP_KEEP_WITHIN: "1y", S3_BACKUP_KEEP_LAST: "2", S3_BACKUP_MIN_KEEP: "1" }),
      "s3",
    ),
    { last: 2, withinMs: 366 * DAY, minKeep: 1 },
  );
});

Deno.test("automaticPolicy: nothing, or only zeros, removes nothing", () => {
  assert.equal(automaticPolicy(settings({}), "local"), undefined);
  assert.equal(automaticPolicy(settings({ BACKUP_RETENTION_DAYS: "0" }), "local"), undefined);
  const zero = { BACKUP_RETENTION_DAYS: "30", BACKUP_KEEP_LAST: "0" };
  assert.equal(automaticPolicy(settings(zero), "local"), undefined);
  assert.throws(() => automaticPolicy(settings({ BACKUP_KEEP_WITHIN: "soon" }), "local"), {
    kind: "usage",
    message: 'The value "soon" of the variable BACKUP_KEEP_WITHIN is not a length of time, ' +
      "such as 26h, 30d, 2w, 6m (months) or 1y",
  });
});

Deno.test("policyOf: flags stand in the place of all settings, but for the floor", () => {
  const config = settings({ BACKUP_KEEP_DAILY: "7", BACKUP_MIN_KEEP: "5" });
  const of = (flags: Partial<KeepFlags>) =>
    policyOf({ ...NO_FLAGS, ...flags }, { config, place: "local" });
  assert.deepEqual(of({}), { daily: 7, minKeep: 5 });
  assert.deepEqual(of({ "min-keep": 1 }), { daily: 7, minKeep: 1 });
  assert.deepEqual(of({ "keep-last": 3 }), { last: 3, minKeep: 5 });
  assert.deepEqual(of({ "keep-within": "2w12h" }), { withinMs: 14 * DAY + 12 * HOUR, minKeep: 5 });
  assert.deepEqual(of({ "retention-days": 1, "keep-weekly": 2, "min-keep": 2 }), {
    weekly: 2,
    withinMs: DAY,
    minKeep: 2,
  });
});

Deno.test("policyOf: an empty policy and wrong numbers are refused as usage", () => {
  const refuse = (flags: Partial<KeepFlags>, message: string, values = {}) =>
    assert.throws(
      () => policyOf({ ...NO_FLAGS, ...flags }, { config: settings(values), place: "s3" }),
      { kind: "usage", message },
    );
  const nothing = "Cannot prune: nothing says what is to be kept";
  refuse({}, nothing);
  refuse({}, nothing, { BACKUP_RETENTION_DAYS: "30", S3_BACKUP_RETENTION_DAYS: "0" });
  refuse({ "keep-last": 0 }, nothing, { S3_BACKUP_RETENTION_DAYS: "30" });
  refuse({ "retention-days": 0 }, nothing);
  refuse({ "min-keep": 9 }, nothing);
  refuse(
    { "keep-last": 1.5, "keep-daily": -1, "min-keep": 0 },
    'The value "1.5" of --keep-last is not a whole number from 0 to 100000\n' +
      'The value "-1" of --keep-daily is not a whole number from 0 to 100000\n' +
      'The value "0" of --min-keep is not a whole number from 1 to 100000',
  );
  refuse(
    { "keep-within": "30" },
    'The value "30" of --keep-within is not a length of time, such as 26h, 30d, 2w, 6m (months) or 1y',
  );
  refuse(
    { "keep-within": "30d", "retention-days": 30 },
    "Give --keep-within or --retention-days, not both: they say the same",
  );
});

Deno.test("parseDuration: hours to years, and sums of them", () => {
  for (
    const [text, expected] of [
      ["26h", 26 * HOUR],
      ["30d", 30 * DAY],
      ["2w", 14 * DAY],
      ["6m", 186 * DAY],
      ["1y6m", (366 + 186) * DAY],
      ["0h1d", DAY],
      ["0d", undefined],
      ["", undefined],
      ["30", undefined],
      ["d", undefined],
      ["-1d", undefined],
      ["1.5d", undefined],
      ["1 d", undefined],
      ["10min", undefined],
      ["9999999d", undefined],
    ] as const
  ) assert.equal(parseDuration(text), expected, text);
});

Deno.test("durations and ages are told in the unit that fits", () => {
  assert.deepEqual([DAY, 30 * DAY, HOUR, 26 * HOUR].map(durationText), [
    "1 day",
    "30 days",
    "1 hour",
    "26 hours",
  ]);
  assert.deepEqual(
    [0, 59_999, 119 * 60_000, 2 * HOUR, 71 * HOUR, 72 * HOUR, 400 * DAY].map(ageText),
    [
      "0 min",
      "0 min",
      "119 min",
      "2 h",
      "71 h",
      "3 d",
      "400 d",
    ],
  );
  assert.equal(ageText(-1), "in the future");
});
