/** Sources of restores in a bucket: streamed, downloaded in ranges, over whatever breaks off. */
import assert from "assert";
import { join } from "node:path";
import { OperationError } from "../../core/plugin.ts";
import { withSource } from "../../plugins/restore/source.ts";
import { type BackupProject, backupProject, filesBelow } from "../backup_project.ts";
import { withContext } from "../context.ts";
import { clientToolsMissing } from "../database.ts";
import { faultyS3, type Rule } from "../fault_s3.ts";
import { bytesOf, failsDamaged, isDamaged, opened, type Opening } from "../restore_source.ts";
import { freshBucket, sharedS3, type TestBucket } from "../s3.ts";
import { skipWhenMissing } from "../skip.ts";
import { sha256 } from "./parts.ts";

const ignore = skipWhenMissing("tests of sources in a bucket", await clientToolsMissing());

/** Rows that no method makes small, so that a dump has several ranges. */
const LARGE =
  `CREATE TABLE large AS SELECT g, sha512(g::text::bytea) || sha512((-g)::text::bytea) AS b
  FROM generate_series(1, 160000) g`;

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore, fn });
}

interface Given extends AsyncDisposable {
  readonly project: BackupProject;
  readonly bucket: TestBucket;
  /** What a run that restores is given; its backups are in the bucket alone. */
  readonly opening: Opening;
  readonly id: string;
  /** The names of the backup's files. */
  readonly names: readonly string[];
  readonly here: string;
}

/** A backup in a bucket alone. */
async function stored(args: readonly string[] = [], sql = "CREATE TABLE a ()"): Promise<Given> {
  const project = await backupProject({ sql });
  const bucket = await freshBucket();
  const { manifest } = await project.backup(["--s3-only", ...args], { env: bucket.env });
  const here = join(project.directory, "downloads");
  return {
    project,
    bucket,
    id: manifest.id,
    names: manifest.files.map(({ name }) => name),
    here,
    opening: {
      name: manifest.id,
      env: { ...bucket.env, BACKUPS_DIR: here },
      database: project.database.name,
    },
    async [Symbol.asyncDispose]() {
      await bucket[Symbol.asyncDispose]();
      await project[Symbol.asyncDispose]();
    },
  };
}

test("source in a bucket: by whatever it is called", async () => {
  await using given = await stored(["--format", "directory"]);
  const { opening, id, bucket } = given;
  const title = `s3://${bucket.name}/backups`;
  const names = [id, "latest", `${id}.dir`, `${id}.dir/toc.dat`, `${id}.manifest.json`];
  const keys = names.filter((name) => name !== "latest");
  const wanted: Partial<Opening>[] = [
    ...names.map((name) => ({ name })),
    ...names.map((name) => ({ name, where: "s3" as const })),
    ...keys.map((key) => ({ name: `backups/${key}`, where: "s3" as const })),
    ...keys.map((key) => ({ name: `${title}/${key}` })),
  ];
  for (const each of wanted) {
    await opened({ ...opening, ...each }, (source) => {
      assert.deepEqual([source.title, source.location, source.kind], [id, title, "s3"]);
      assert.equal(source.contents.format, "directory");
      assert.ok(source.downloads);
      return Promise.resolve();
    });
  }
  await assert.rejects(
    opened({ ...opening, name: `s3://other/${id}.dir` }, () => Promise.resolve()),
    { kind: "usage", code: "other_bucket" },
  );
  await assert.rejects(opened({ ...opening, where: "local" }, () => Promise.resolve()), {
    code: "backup_not_found",
  });
});

test("source in a bucket: a whole local copy goes first", async () => {
  await using project = await backupProject({ sql: "CREATE TABLE a ()" });
  await using bucket = await freshBucket();
  const { manifest, dump } = await project.backup(["--s3-upload"], { env: bucket.env });
  const env = { ...bucket.env, BACKUPS_DIR: project.backups };
  const kind = () => opened({ name: manifest.id, env }, ({ kind }) => Promise.resolve(kind));
  assert.equal(await kind(), "local");
  await Deno.truncate(dump, 100);
  assert.equal(await kind(), "s3");
  await Deno.remove(dump);
  assert.equal(await kind(), "s3");
  await bucket.delete(`backups/${manifest.files[0]?.name}`);
  await assert.rejects(kind(), isDamaged);
});

test("source in a bucket: read over connections that break off, in one stream or in ranges", async () => {
  await using given = await stored([], LARGE);
  const { opening, bucket, names: [name = ""], here } = given;
  const key = `backups/${name}`;
  const { bytes } = await bucket.read(key);
  assert.ok(bytes.length > 2 ** 24, `${bytes.length}`);
  const drops: Rule = {
    on: "GetObject",
    key: /\.dump$/,
    times: 7,
    fault: { drop: "answer", after: 1_000_000 },
  };
  await using proxy = await faultyS3(await sharedS3(), []);
  const env = { ...opening.env, AWS_ENDPOINT_URL_S3: proxy.endpoint };
  await opened({ ...opening, env }, async (source) => {
    proxy.add(drops);
    let took = 0;
    const stream = await source.stream({ took: (size) => took += size });
    assert.equal(sha256(await bytesOf(stream)), sha256(bytes));
    assert.equal(took, bytes.length);
  });
  await opened({ ...opening, env }, async (source) => {
    proxy.clear();
    proxy.add(drops);
    const before = proxy.seen.length;
    const path = await source.path();
    assert.equal(sha256(await Deno.readFile(path)), sha256(bytes));
    assert.equal(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
    assert.equal(((await Deno.stat(here)).mode ?? 0) & 0o777, 0o700);
    const asked = proxy.seen.slice(before).map(({ headers }) => headers);
    assert.ok(asked.every((headers) => /^bytes=\d+-\d+$/.test(headers["range"] ?? "")));
    assert.ok(proxy.busiest > 1 && proxy.busiest <= 4, `${proxy.busiest} at once`);
    // Once it is here, it is not read again.
    const seen = proxy.seen.length;
    assert.equal(await source.path(), path);
    assert.equal(proxy.seen.length, seen);
  });
  assert.deepEqual(await filesBelow(here), []);
});

test("source in a bucket: bytes that are changed on the way are no clean end", async () => {
  await using given = await stored([], LARGE);
  const { opening, here } = given;
  const flip: Rule["fault"] = {
    change(answer) {
      const body = answer.body.slice();
      const at = body.length - 1000;
      body[at] = (body[at] ?? 0) ^ 4;
      return { ...answer, body };
    },
  };
  await using proxy = await faultyS3(await sharedS3(), []);
  const env = { ...opening.env, AWS_ENDPOINT_URL_S3: proxy.endpoint };
  await opened({ ...opening, env }, async (source) => {
    proxy.add({ on: "GetObject", key: /\.dump$/, fault: flip });
    assert.ok(await failsDamaged(source) < source.size);
    await assert.rejects(source.path(), isDamaged);
    await assert.rejects(source.verify(), isDamaged);
    assert.deepEqual(await filesBelow(here), []);
  });
});

test("source in a bucket: an object that is replaced meanwhile is told", async () => {
  await using given = await stored([], LARGE);
  const { opening, bucket, names: [name = ""], here } = given;
  const key = `backups/${name}`;
  const { bytes } = await bucket.read(key);
  const other = bytes.slice();
  other[bytes.length - 1] = 9;
  await bucket.put("backups/by-hand.dump", bytes);
  const byHand = { ...opening, name: "by-hand.dump", where: "s3" as const };
  await opened(byHand, async (source) => {
    assert.equal(source.title, `s3://${bucket.name}/backups/by-hand.dump`);
    assert.match(source.warnings.join(), /There is no manifest of s3:/);
    assert.equal(sha256(await bytesOf(await source.stream())), sha256(bytes));
    assert.equal(sha256(await Deno.readFile(await source.path())), sha256(bytes));
  });
  await opened(byHand, async (source) => {
    await bucket.put("backups/by-hand.dump", other);
    for (const read of [() => source.stream(), () => source.path(), () => source.verify()]) {
      await assert.rejects(read(), { code: "changed_while_read" });
    }
  });
  await opened(opening, async (source) => {
    await bucket.put(key, other);
    assert.ok(await failsDamaged(source) < bytes.length);
    await assert.rejects(source.path(), isDamaged);
  });
  assert.deepEqual(await filesBelow(here), []);
});

test("source in a bucket: a directory is downloaded, and what is missing of it is told", async () => {
  await using given = await stored(["--format", "directory", "--globals"], LARGE);
  const { opening, bucket, names, here, id } = given;
  await opened(opening, async (source) => {
    const path = await source.path();
    assert.match(path, new RegExp(`/${id}\\.restore-[0-9a-f]{8}\\.dir\\.partial$`));
    const members = names.filter((name) => name.includes("/"));
    assert.deepEqual(
      await filesBelow(path),
      members.map((name) => name.replace(/^.*\//, "")).sort(),
    );
    for (const name of members) {
      assert.deepEqual(
        new Uint8Array(await Deno.readFile(join(path, name.replace(/^.*\//, "")))),
        (await bucket.read(`backups/${name}`)).bytes,
      );
    }
    await source.verify();
  });
  assert.deepEqual(await filesBelow(here), []);
  await opened(opening, async (source) => {
    const member = names.find((name) => /\d+\.dat/.test(name)) ?? "";
    await bucket.delete(`backups/${member}`);
    await assert.rejects(source.path(), isDamaged);
    await assert.rejects(source.verify(), isDamaged);
  });
  assert.deepEqual(await filesBelow(here), []);
});

test("source in a bucket: a disk without room is told before anything is read", async () => {
  await using given = await stored();
  const { opening: { name, database = "", ...opening }, here, project } = given;
  const env = { PATH: Deno.env.get("PATH") ?? "", ...opening.env };
  await withContext({ env, database: project.database }, async (ctx) => {
    const inspect = async (path: string) => {
      const facts = await ctx.files.inspect(path);
      return facts && { ...facts, disk: { total: 1e9, free: 1e6 } };
    };
    const full = { ...ctx, files: { ...ctx.files, inspect } };
    await withSource(full, { name, database }, async (source) => {
      await assert.rejects(source.path(), (error) => {
        assert.ok(error instanceof OperationError);
        assert.deepEqual([error.kind, error.code], ["refused", "no_space"]);
        assert.match(
          error.message,
          /^Cannot download .*: it has .* KiB, and .* has 976.6 KiB free$/,
        );
        return true;
      });
    });
  });
  assert.deepEqual(await filesBelow(here), []);
});

test("source in a bucket: what a killed run has downloaded is collected by gc", async () => {
  await using given = await stored(["--format", "directory"]);
  const { project, here, id, opening } = given;
  const left = [
    `${id}.restore-0123abcd.partial`,
    `${id}.restore-0123abcd.partial.partial`,
    `${id}.restore-4567abcd.dir.partial/toc.dat`,
    "mine_backup_20240101_120000.restore-89abcdef.partial",
  ];
  await Deno.mkdir(join(here, `${id}.restore-4567abcd.dir.partial`), { recursive: true });
  for (const name of left) {
    await Deno.writeTextFile(join(here, name), "PGDMP");
    await Deno.utime(join(here, name), 1_700_000_000, 1_700_000_000);
  }
  const { exit, stdout, stderr } = await project.run(["backup", "gc", "--where", "local"], {
    env: opening.env,
  });
  assert.equal(exit, 0, stdout + stderr);
  assert.deepEqual(await Array.fromAsync(Deno.readDir(here), ({ name }) => name), []);
});
