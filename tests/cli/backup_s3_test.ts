/** The commands on backups that exist from outside, with a bucket beside the directory. */
import assert from "assert";
import { MARK } from "../../plugins/repository/s3_place.ts";
import { type BackupFiles, type BackupSpec, FIRST } from "../backup_files.ts";
import { forEachKind, type Kind } from "../program.ts";
import { freshBucket, type TestBucket } from "../s3.ts";
import { place } from "./backup_place.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Backups in a directory, and a bucket of its own for every run. */
async function both(kind: Kind, specs: readonly BackupSpec[]) {
  await using stack = new AsyncDisposableStack();
  const bucket = stack.use(await freshBucket());
  const local = stack.use(await place(kind, specs));
  const owner = stack.move();
  return {
    bucket,
    local,
    run: (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
      local.run(args, { env: { ...bucket.env, ...env } }),
    [Symbol.asyncDispose]: () => owner.disposeAsync(),
  };
}

async function upload(bucket: TestBucket, { id, files }: BackupFiles): Promise<void> {
  for (const [name, contents] of Object.entries(files)) {
    const marked = !name.endsWith(".json");
    await bucket.put(`backups/${name}`, contents, marked ? { [MARK]: id } : {});
  }
}

forEachKind(
  "backup list: a backup in the directory and in the bucket is one line",
  async (kind) => {
    await using given = await both(kind, [{}, { time: FIRST + DAY }, { time: FIRST + 2 * DAY }]);
    const { bucket, local: { backups: [first, second, third] } } = given;
    assert(first && second && third);
    await upload(bucket, first);
    // Of the second one the bucket holds a part, and of the third one nothing.
    await bucket.put(
      `backups/${second.id}.manifest.json`,
      second.files[`${second.id}.manifest.json`] ?? "",
    );
    await bucket.put("backups/by-hand.sql.gz", "123");
    const { code, stdout, stderr } = await given.run(["list"]);
    assert.equal(code, 3, stderr);
    const rows = stdout.split("\n").slice(1, 4).map((row) => row.split(/ {2,}/).slice(-2));
    assert.deepEqual(rows, [["local", third.id], ["local", second.id], ["local+s3", first.id]]);
    const title = `s3://${bucket.name}/backups`;
    assert(stdout.includes(`\n\n3 backups in ./backups and ${title}\n`), stdout);
    assert(
      stdout.includes(
        `\n1 dump without a manifest in ${title} (3 B): not managed, never removed\n`,
      ),
    );
    assert.equal(
      stderr,
      `[WARNING] Backup "${second.id}" in ${title} is broken: ${second.id}.dump is missing\n`,
    );
    const only = await given.run(["list", "--where", "s3", "--json"]);
    const { data } = JSON.parse(only.stdout);
    assert.deepEqual(data.backups.map(({ id }: { id: string }) => id), [first.id]);
    assert.deepEqual(data.backups[0].copies.map(({ where }: { where: string }) => where), ["s3"]);
    assert.equal((await given.run(["list", "--where", "local"])).code, 0);
  },
);

forEachKind("backup show, status: look in the bucket too", async (kind) => {
  const now = Date.now();
  await using given = await both(kind, [{ time: now - 30 * HOUR }, { time: now - 2 * HOUR }]);
  const { bucket, local: { backups: [old, young], path } } = given;
  assert(old && young);
  await upload(bucket, young);
  for (const name of Object.keys(young.files)) await Deno.remove(`${path}/${name}`);
  const title = `s3://${bucket.name}/backups`;
  for (const wanted of ["latest", young.id, `${title}/${young.id}.dump`]) {
    const { code, stdout, stderr } = await given.run(["show", wanted]);
    assert.deepEqual([code, stderr], [0, ""], wanted);
    assert.match(stdout, new RegExp(`^ {2}s3: +${title}: whole, not verified$`, "m"));
  }
  const elsewhere = await given.run(["show", `s3://other/${young.id}`]);
  assert.equal(elsewhere.code, 2);
  assert.equal(
    elsewhere.stderr.split("\n")[0],
    `[ERROR] Cannot look in s3://other: backups are kept in ${title}`,
  );
  assert.equal((await given.run(["status", "--max-age", "26h"])).code, 0);
  assert.equal((await given.run(["status", "--max-age", "26h", "--where", "s3"])).code, 0);
  assert.equal((await given.run(["status", "--max-age", "26h", "--where", "local"])).code, 3);
});

forEachKind(
  "backup prune: the bucket has a policy of its own, and is left alone without one",
  async (kind) => {
    await using given = await both(
      kind,
      [0, 1, 2, 3, 4].map((day) => ({ time: FIRST + day * DAY })),
    );
    const { bucket, local: { backups } } = given;
    for (const each of backups) await upload(bucket, each);
    const all = (await bucket.objects()).length;
    const refused = await given.run(["prune", "--where", "s3"]);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /or set S3_BACKUP_KEEP_… or S3_BACKUP_RETENTION_DAYS$/m);
    const local = await given.run(["prune", "--keep-last", "3"]);
    assert.match(local.stdout, /^2 backups removed .* in \.\/backups; /m);
    assert.equal((await bucket.objects()).length, all);

    const settings = { S3_BACKUP_RETENTION_DAYS: "1", S3_BACKUP_MIN_KEEP: "1" };
    const dry = await given.run(["prune", "--where", "s3", "--dry-run"], settings);
    assert.match(dry.stdout, /^3 backups would be removed/m);
    assert.equal((await bucket.objects()).length, all);
    const { code, stdout, stderr } = await given.run(["prune", "--where", "s3"], settings);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^3 backups removed .* 2 kept in s3:\/\/\S+; policy: within 1 day$/m);
    assert.deepEqual(
      (await bucket.objects()).map(({ key }) => key).sort(),
      backups.slice(3).flatMap(({ files }) => Object.keys(files)).map((name) => `backups/${name}`)
        .sort(),
    );
  },
);

forEachKind(
  "backup gc: leaves in the bucket what was written within the last day, and what is not ours",
  async (kind) => {
    await using given = await both(kind, []);
    const { bucket } = given;
    const id = "llm_observatory_backup_20240101_120000";
    await bucket.put(`backups/${id}.dump`, "of a run that goes on", { [MARK]: id });
    await bucket.put("backups/app_backup_20240101_120000.dump", "by hand");
    const { code, stdout } = await given.run(["gc"]);
    assert.equal(code, 0);
    assert.match(stdout, /^Nothing is left over in \.\/backups\n/);
    assert.match(stdout, new RegExp(`^keep .* 1 +${id} +written within the last day$`, "m"));
    assert.equal((await bucket.objects()).length, 2);
  },
);

forEachKind(
  "backup list: a bucket that cannot be reached is told as such, and not as empty",
  async (kind) => {
    await using given = await both(kind, [{}]);
    const refused = await given.run(["list"], { AWS_ENDPOINT_URL_S3: "http://127.0.0.1:1" });
    assert.notEqual(refused.code, 0);
    assert.equal(refused.stdout, "");
    assert.match(refused.stderr, /^\[ERROR\] Cannot list s3:\/\//m);
    const flag = ["list", "--endpoint-url", given.bucket.env["AWS_ENDPOINT_URL_S3"] ?? ""];
    const { code } = await given.run(flag, { AWS_ENDPOINT_URL_S3: "http://127.0.0.1:1" });
    assert.equal(code, 0);
  },
);
