/** Backups that go to a bucket, from outside. */
import assert from "assert";
import { join } from "node:path";
import { project } from "../cli/project.ts";
import { clientToolsMissing } from "../database.ts";
import { faultyS3 } from "../fault_s3.ts";
import { forEachKind } from "../program.ts";
import { freshBucket, sharedS3 } from "../s3.ts";

const missing = await clientToolsMissing();

/** Rows that no method makes small, so that a dump has several parts. */
const LARGE =
  `CREATE TABLE large AS SELECT g, sha512(g::text::bytea) || sha512((-g)::text::bytea) AS b
  FROM generate_series(1, 75000) g`;

async function filesIn(directory: string): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(directory), ({ name }) => name)
    .catch(() => []);
  return names.sort();
}

forEachKind("backup --s3-upload: here and in the bucket, of the same bytes", async (kind) => {
  await using given = await project(kind, {});
  await given.database.query(LARGE);
  await using bucket = await freshBucket();
  const env = { ...bucket.env };
  const { code, stdout, stderr } = await given.run(["backup", "--s3-upload", "--json"], { env });
  assert.equal(code, 0, stdout + stderr);
  const { data } = JSON.parse(stdout);
  const { id } = data.manifest ?? data;
  const names = await filesIn(join(given.directory, "backups"));
  assert.deepEqual(
    (await bucket.objects()).map(({ key }) => key.replace("backups/", "")).sort(),
    names,
  );
  for (const name of names) {
    const here = await Deno.readFile(join(given.directory, "backups", name));
    assert.deepEqual((await bucket.read(`backups/${name}`)).bytes, here, name);
  }
  const dump = names.find((name) => name.endsWith(".dump")) ?? "";
  const { bytes, metadata } = await bucket.read(`backups/${dump}`);
  assert.ok(bytes.length > 8 * 2 ** 20, "it has one part only");
  assert.deepEqual(metadata, { observatory: encodeURIComponent(id) });

  const listed = await given.run(["backup", "list"], { env });
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, new RegExp(id));
  const verified = await given.run(["backup", "verify", "latest", "--where", "s3"], { env });
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  const shown = await given.run(["backup", "show", "latest", "--where", "s3"], { env });
  assert.equal(shown.code, 0, shown.stdout + shown.stderr);
  assert.deepEqual(await bucket.uploads(), []);
}, { missing });

forEachKind("backup --s3-only: nothing stays on this machine", async (kind) => {
  await using given = await project(kind, {});
  await given.database.query(LARGE);
  await using bucket = await freshBucket();
  const env = { ...bucket.env };
  const { code, stdout, stderr } = await given.run(["backup", "--s3-only"], { env });
  assert.equal(code, 0, stdout + stderr);
  assert.deepEqual(await filesIn(join(given.directory, "backups")), []);
  const keys = (await bucket.objects()).map(({ key }) => key);
  assert.equal(keys.filter((key) => key.endsWith(".manifest.json")).length, 1);
  const verified = await given.run(["backup", "verify", "latest", "--where", "s3"], { env });
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
}, { missing });

forEachKind(
  "backup --s3-only: an upload that fails leaves no backup, and nothing else",
  async (kind) => {
    const server = await sharedS3();
    await using given = await project(kind, {});
    await given.database.query(LARGE);
    await using bucket = await freshBucket({ server });
    await using proxy = await faultyS3(server, [
      { on: "UploadPart", part: 2, fault: { answer: { status: 403, code: "AccessDenied" } } },
    ]);
    const env = { ...bucket.env, AWS_ENDPOINT_URL_S3: proxy.endpoint };
    const { code, stderr } = await given.run(["backup", "--s3-only"], { env });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^\[ERROR\] .*the service does not allow it to these credentials$/m);
    assert.deepEqual([await bucket.objects(), await bucket.uploads()], [[], []]);
    const listed = await given.run(["backup", "list", "--where", "s3"], { env: bucket.env });
    assert.equal(listed.code, 0, listed.stderr);
  },
  { missing },
);
