/** Runs that are killed or told to end while they upload. */
import assert from "assert";
import { until } from "../cli/project.ts";
import { clientToolsMissing } from "../database.ts";
import type { S3Operation } from "../fault_s3.ts";
import { usersKind as kind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { type BucketSite, makeBucketSite } from "./bucket_site.ts";
import { withChance } from "./random.ts";

const ignore = skipWhenMissing("kills of uploads", await clientToolsMissing());

/** So large, not compressed, that it is sent in two parts. */
const LARGE = `
  CREATE TABLE item AS SELECT n AS id, repeat(md5(n::text), 20) AS token
    FROM generate_series(1, 14000) n;
`;

/** A moment of an upload, held by a service that does not answer. */
interface Moment {
  readonly on: S3Operation;
  readonly stall: "request" | "answer";
  readonly part?: number;
  readonly key?: RegExp;
  readonly args?: readonly string[];
}

const MOMENTS: readonly Moment[] = [
  { on: "CreateMultipartUpload", stall: "answer" },
  { on: "UploadPart", stall: "request", part: 2 },
  { on: "UploadPart", stall: "answer", part: 1 },
  { on: "CompleteMultipartUpload", stall: "request" },
  { on: "CompleteMultipartUpload", stall: "answer" },
  { on: "PutObject", stall: "answer", key: /\.globals\.sql$/, args: ["--globals"] },
  { on: "PutObject", stall: "request", key: /\.manifest\.json$/ },
  { on: "PutObject", stall: "answer", key: /\.manifest\.json$/ },
  {
    on: "PutObject",
    stall: "answer",
    key: /\.dat\.\w+$/,
    args: ["--format=directory", "--jobs=2"],
  },
  { on: "PutObject", stall: "request", key: /\/toc\.dat$/, args: ["--format=directory"] },
];

/** Starts a run that is held at a moment. */
async function startHeld(
  given: BucketSite,
  { on, stall, part, key, args = ["--compression=none"] }: Moment,
  place: string,
) {
  given.s3.add({
    on,
    ...(part === undefined ? {} : { part }),
    ...(key === undefined ? {} : { key }),
    fault: { stall },
  });
  const before = given.s3.seen.length;
  const run = await given.site.start(["backup", place, ...args], { kind, env: given.env });
  await until(
    `${on} has come`,
    () =>
      Promise.resolve(
        given.s3.seen.slice(before).some((request) =>
          request.operation === on && (part === undefined || request.part === part) &&
          (key === undefined || key.test(request.key))
        ),
      ),
  );
  // What is held back behind the server is done by then.
  if (stall === "answer") await new Promise((resolve) => setTimeout(resolve, 50));
  return run;
}

/** Where a copy stays on this machine, fewer steps differ. */
const PLACES: readonly (readonly [string, readonly Moment[]])[] = [
  ["--s3-only", MOMENTS],
  [
    "--s3-upload",
    MOMENTS.filter(({ on, stall }) => on === "CompleteMultipartUpload" || stall === "request"),
  ],
];

for (const [place, moments] of PLACES) {
  Deno.test({
    name: `S3: kill -9 at every step of an upload, ${place}`,
    ignore,
    async fn() {
      await using given = await makeBucketSite({ sql: LARGE });
      for (const moment of moments) {
        const what = JSON.stringify({ ...moment, key: moment.key?.source });
        const before = await given.listed();
        const run = await startHeld(given, moment, place);
        run.kill("SIGKILL");
        assert.equal((await run.result()).signal, "SIGKILL");
        given.s3.clear();
        const after = await given.requireSound();
        const published = moment.on === "PutObject" && moment.stall === "answer" &&
          moment.key?.source.includes("manifest") === true;
        assert.equal(after.length, before.length + (published ? 1 : 0), what);
        // Nothing is in the way of the next one.
        const next = await given.run(["backup", place, "--schema-only", "--if-locked=fail"]);
        assert.equal(next.code, 0, `${what}: ${next.stderr}`);
      }
      // What goes on is not collected, and this may go on.
      const count = (await given.bucket.objects()).length;
      const gc = await given.run(["backup", "gc"]);
      assert.equal(gc.code, 0, gc.stderr);
      assert.equal((await given.bucket.objects()).length, count);
      await given.requireCollected();
      await given.site.requireCollected();
    },
  });

  Deno.test({
    name: `S3: INT and TERM at every step of an upload, ${place}`,
    ignore,
    async fn() {
      await using given = await makeBucketSite({ sql: LARGE });
      for (const [index, moment] of moments.entries()) {
        const what = JSON.stringify({ ...moment, key: moment.key?.source });
        const before = await given.listed();
        const uploads = await given.bucket.uploads();
        const run = await startHeld(given, moment, place);
        // The service answers again when it is asked to forget.
        given.s3.clear();
        run.kill(index % 2 === 0 ? "SIGINT" : "SIGTERM");
        const { code, stderr } = await run.result();
        assert.equal(code, index % 2 === 0 ? 130 : 143, `${what}: ${stderr}`);
        assert.doesNotMatch(stderr, /SUCCESS\] Backup/);
        const after = await given.requireSound();
        if (after.length > before.length) {
          assert.match(String(moment.key?.source), /manifest/, what);
          continue;
        }
        const told = (await given.bucket.objects()).map(({ key }) => key).filter((key) =>
          !after.some((id) => key.startsWith(`backups/${id}.`))
        );
        assert.deepEqual(told, [], `${what}: ${stderr}`);
        // Of one whose beginning was not answered nobody knows what it is called.
        if (moment.on !== "CreateMultipartUpload") {
          assert.deepEqual(await given.bucket.uploads(), uploads, what);
        }
      }
      await given.requireCollected();
      await given.site.requireCollected();
    },
  });
}

Deno.test({
  name: "S3: kill -9 at random moments",
  ignore,
  fn: () =>
    withChance(51, async (chance) => {
      await using given = await makeBucketSite({ sql: LARGE });
      const env = { ...given.env, S3_BACKUP_KEEP_LAST: "1", S3_BACKUP_MIN_KEEP: "1" };
      const ways = [
        ["--s3-upload", "--compression=none"],
        ["--s3-only", "--compression=none"],
        ["--s3-only", "--format=directory", "--jobs=2"],
      ];
      let length = 1500;
      for (let time = 0; time < 15; time++) {
        const started = performance.now();
        const run = await given.site.start(["backup", "--no-prune", ...ways[time % 3] ?? []], {
          kind,
          env,
        });
        const result = run.result();
        let timer: ReturnType<typeof setTimeout> | undefined;
        const late = new Promise((resolve) => timer = setTimeout(resolve, chance.below(length)));
        await Promise.race([result.then(() => length = performance.now() - started), late]);
        clearTimeout(timer);
        try {
          run.kill("SIGKILL");
        } catch (error) {
          if (!(error instanceof TypeError)) throw error;
        }
        await result;
        await given.requireSound();
      }
      await given.requireCollected();
      await given.site.requireCollected();
    }),
});
