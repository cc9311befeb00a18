/** Restores from a bucket whose service, or the way to it, fails, and from one whose objects change. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { until } from "../cli/project.ts";
import { type FaultyS3, faultyS3, type Rule } from "../fault_s3.ts";
import { freshBucket, sharedS3, type TestBucket } from "../s3.ts";
import { skipWhenMissing } from "../skip.ts";
import { withChance } from "./random.ts";
import { makeRestoreFaults, type RestoreFaults } from "./restore_site.ts";

const ignore = skipWhenMissing("restores from failing buckets", await clientToolsMissing());

/** Not compressed about 9 MB: several pieces, whatever they are. */
const LARGE = `
  CREATE TABLE item AS SELECT n AS id, repeat(md5(n::text), 20) AS token
    FROM generate_series(1, 14000) n;
  ALTER TABLE item ADD PRIMARY KEY (id);
  CREATE TABLE event (item int REFERENCES item);
`;

/** How a backup is made, and restored. */
interface Way {
  readonly name: string;
  readonly backup: readonly string[];
  readonly restore: readonly string[];
}

const WAYS: readonly Way[] = [
  { name: "streamed", backup: ["--compression=none"], restore: [] },
  { name: "downloaded", backup: ["--compression=none"], restore: ["--jobs=2"] },
  { name: "directory", backup: ["--format=directory", "--compression=none"], restore: [] },
  { name: "script", backup: ["--format=plain"], restore: [] },
];

const DATA = /\.(dump|sql)$|\.dir\/\d+\.dat$/;

/** A site whose backups are in a bucket. */
interface Bucket {
  readonly faults: RestoreFaults;
  readonly bucket: TestBucket;
  readonly s3: FaultyS3;
  backup(way: Way): Promise<string>;
}

async function withBucket(work: (site: Bucket) => Promise<void>): Promise<void> {
  await using bucket = await freshBucket();
  await using s3 = await faultyS3(await sharedS3());
  const env = { ...bucket.env, AWS_ENDPOINT_URL_S3: s3.endpoint };
  await using faults = await makeRestoreFaults({ sql: LARGE, env });
  await work({
    faults,
    bucket,
    s3,
    async backup({ backup }) {
      const args = ["backup", "--json", "--no-prune", "--s3-only", ...backup];
      const { code, stdout, stderr } = await faults.site.inside(args, { env });
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout).data.manifest.id;
    },
  });
}

/** What passes. */
const PASSING: readonly (readonly [string, readonly Rule[]])[] = [
  ["it breaks off in the middle, three times", [
    { on: "GetObject", key: DATA, times: 3, fault: { drop: "answer", after: 1_000_000 } },
  ]],
  ["it breaks off at once, twice", [
    { on: "GetObject", times: 2, fault: { drop: "request" } },
  ]],
  ["503 and 500", [
    { on: "GetObject", key: DATA, times: 1, fault: { answer: { status: 503, code: "SlowDown" } } },
    {
      on: "GetObject",
      key: DATA,
      from: 2,
      times: 1,
      fault: { answer: { status: 500, code: "InternalError" } },
    },
  ]],
  ["a slow service", [{ fault: { stall: "answer", milliseconds: 100 } }]],
];

Deno.test({
  name: "restore, bucket: faults that pass",
  ignore,
  fn: () =>
    withBucket(async ({ faults, s3, backup }) => {
      for (const way of WAYS) {
        const args = [await backup(way), "--s3-download", ...way.restore];
        const mode = way.name === "downloaded" ? "swap" : "create";
        await faults.learn(mode, args);
        for (const [name, rules] of PASSING) {
          await faults.reset(mode);
          for (const rule of rules) s3.add(rule);
          const { code, stderr } = await faults.inside(mode, args);
          s3.clear();
          assert.equal(code, 0, `${name}, ${way.name}: ${stderr}`);
          await faults.requireOldOrNew(mode, { code, what: `${name}, ${way.name}` });
        }
      }
    }),
});

/** What does not pass. */
const LASTING: readonly (readonly [string, Rule, RegExp])[] = [
  [
    "it breaks off at the same place each time",
    { on: "GetObject", key: DATA, fault: { drop: "answer", after: 0 } },
    /^\[ERROR\] Cannot /m,
  ],
  [
    "503 for ever",
    { on: "GetObject", key: DATA, fault: { answer: { status: 503, code: "SlowDown" } } },
    /^\[ERROR\] Cannot .*SlowDown/m,
  ],
  [
    "the object is gone",
    { on: "GetObject", key: DATA, fault: { answer: { status: 404, code: "NoSuchKey" } } },
    /^\[ERROR\] (Cannot |.* is damaged: .* is missing)/m,
  ],
  [
    "nobody may read it any more",
    {
      on: "GetObject",
      key: DATA,
      from: 2,
      fault: { answer: { status: 403, code: "AccessDenied" } },
    },
    /^\[ERROR\] Cannot .*does not allow it/m,
  ],
];

Deno.test({
  name: "restore, bucket: faults that do not pass",
  ignore,
  fn: () =>
    withBucket(async ({ faults, s3, backup }) => {
      for (const way of WAYS) {
        const args = [await backup(way), "--s3-download", ...way.restore];
        for (const mode of ["swap", way.name === "script" ? "empty" : "clean"] as const) {
          await faults.learn(mode, args);
          for (const [name, rule, told] of LASTING) {
            s3.add(rule);
            const { code, stdout, stderr } = await faults.inside(mode, args);
            s3.clear();
            const what = `${name}, ${way.name}, ${mode}: ${code} ${stderr}`;
            // All of a small script comes with the first answer.
            if (code === 0) assert.match(name, /any more/, what);
            else {
              assert.equal(stdout, "", what);
              assert.match(stderr, told, what);
            }
            assert.doesNotMatch(stderr, /bug/, what);
            assert.deepEqual(await faults.beside(), [], what);
            await faults.requireOldOrNew(mode, {
              code,
              what,
              half: way.restore.length > 0 && mode === "clean",
            });
            await faults.reset(mode);
          }
          await faults.requireRecovered(mode, args, `${way.name}, ${mode}`);
        }
      }
    }),
});

Deno.test({
  name: "restore, bucket: a byte that changes on its way, or in the bucket, is found",
  ignore,
  fn: () =>
    withChance(71, (chance) =>
      withBucket(async ({ faults, bucket, s3, backup }) => {
        for (const way of WAYS) {
          const id = await backup(way);
          const objects = (await bucket.objects()).filter(({ key, size }) =>
            key.includes(id) && DATA.test(key) && size > 100_000
          );
          const [{ key, size } = { key: "", size: 0 }] = objects;
          const args = [id, "--s3-download", ...way.restore];
          for (
            const [mode, ...more] of [
              ["swap"],
              ["create"],
              ...way.name === "script" ? [] : [["clean"], ["create", "--schema-only"]] as const,
            ] as const
          ) {
            if (more.length === 0) await faults.learn(mode, args);
            else await faults.reset(mode);
            for (let time = 0; time < 3; time++) {
              // The first time where definitions are.
              const at = time === 0 ? 5000 : chance.below(size);
              const by = 1 << chance.below(7);
              const flip = (bytes: Uint8Array) => {
                const copy = bytes.slice();
                if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ by;
                return copy;
              };
              const what = `${way.name}, ${mode} ${more.join(" ")}, byte ${at} by ${by}`;
              const whole = await bucket.read(key);
              if (time < 2) await bucket.put(key, flip(whole.bytes), whole.metadata);
              else {
                s3.add({
                  on: "GetObject",
                  key: DATA,
                  times: 1,
                  fault: { change: (answer) => ({ ...answer, body: flip(answer.body) }) },
                });
              }
              const { code, stdout, stderr } = await faults.inside(mode, [...args, ...more]);
              s3.clear();
              if (time < 2) await bucket.put(key, whole.bytes, whole.metadata);
              const told = `${what}: ${code} ${stderr}`;
              // Beyond the first answer nothing was changed.
              if (time === 2 && code === 0) {
                if (more.length === 0) await faults.requireOldOrNew(mode, { code, what: told });
                await faults.reset(mode);
                continue;
              }
              assert(code !== 0, told);
              assert.equal(stdout, "", told);
              assert.deepEqual(await faults.beside(), [], told);
              if (more.length === 0) {
                await faults.requireOldOrNew(mode, {
                  code,
                  what: told,
                  half: way.restore.length > 0 && mode === "clean",
                });
              }
              await faults.reset(mode);
            }
          }
        }
      })),
});

Deno.test({
  name: "restore, bucket: the object is another one when it breaks off and goes on",
  ignore,
  fn: () =>
    withBucket(async ({ faults, bucket, s3, backup }) => {
      for (const way of WAYS.filter(({ name }) => name !== "directory")) {
        const id = await backup(way);
        const [{ key } = { key: "" }] = (await bucket.objects()).filter(({ key }) =>
          key.includes(id) && DATA.test(key)
        );
        const args = [id, "--s3-download", ...way.restore];
        await faults.learn("create", args);
        const whole = await bucket.read(key);
        const other = whole.bytes.slice();
        for (let at = 2_000_000; at < other.length; at += 500_000) other[at] = 0x41;
        s3.add({
          on: "GetObject",
          key: DATA,
          times: 1,
          fault: { drop: "answer", after: 1_000_000 },
        });
        const running = faults.inside("create", args);
        await until("the first part has come", () =>
          Promise.resolve(s3.seen.some((each) =>
            each.operation === "GetObject" && DATA.test(each.key)
          )));
        await bucket.put(key, other, whole.metadata);
        const { code, stderr } = await running;
        await bucket.put(key, whole.bytes, whole.metadata);
        s3.clear();
        assert.notEqual(code, 0, `${way.name}: ${stderr}`);
        await faults.requireOldOrNew("create", { code, what: `${way.name}: ${stderr}` });
        assert.deepEqual(await faults.beside(), []);
        await faults.requireRecovered("create", args, way.name);
      }
    }),
});
