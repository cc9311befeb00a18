/** A site with a bucket behind a proxy that injects faults, and what must hold in the bucket. */
import assert from "assert";
import { dirname, join } from "node:path";
import type { Manifest } from "../../plugins/repository/manifest.ts";
import { DAY } from "../../plugins/repository/times.ts";
import { type FaultyS3, faultyS3 } from "../fault_s3.ts";
import { freshBucket, type S3Address, sharedS3, type TestBucket } from "../s3.ts";
import { type Left, makeSite, requireRestored, type Site, type SiteOptions } from "./site.ts";

/** A site with a bucket. */
export interface BucketSite extends AsyncDisposable {
  readonly site: Site;
  readonly bucket: TestBucket;
  /** Rules are added to it; what requires something of the bucket goes past it. */
  readonly s3: FaultyS3;
  /** What leads a run to the bucket by way of the faults. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs a command in this process, by way of the faults. */
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Left>;
  /** What `backup list` tells of the bucket alone. */
  listed(): Promise<string[]>;
  /**
   * Requires that every backup that is listed in the bucket can be read there to its end, and that
   * none of those is gone.
   */
  requireSound(): Promise<string[]>;
  /**
   * Requires the same, that the newest can be restored from there, and that days later `backup gc`
   * leaves nothing beside them.
   */
  requireCollected(): Promise<string[]>;
}

/** Makes a site with a bucket, on the server that all tests share unless another one is given. */
export async function makeBucketSite(
  { server, ...options }: SiteOptions & { readonly server?: S3Address } = {},
): Promise<BucketSite> {
  await using stack = new AsyncDisposableStack();
  const address = server ?? await sharedS3();
  const bucket = stack.use(await freshBucket({ server: address }));
  const s3 = stack.use(await faultyS3(address));
  const site = stack.use(await makeSite(options));
  const env = { ...bucket.env, AWS_ENDPOINT_URL_S3: s3.endpoint };
  const proven = new Set<string>();
  const restored = new Set<string>();
  const calm = (args: readonly string[], now?: () => number) =>
    site.inside(args, { env: bucket.env, ...(now === undefined ? {} : { now }) });

  async function listed(): Promise<string[]> {
    const { code, stdout, stderr } = await calm(["backup", "list", "--where=s3", "--json"]);
    assert.equal(code, 0, `${stderr}${stdout}`);
    return JSON.parse(stdout).data.backups.map(({ id }: { id: string }) => id);
  }

  async function requireSound(): Promise<string[]> {
    const ids = await listed();
    const missing = [...proven].filter((id) => !ids.includes(id));
    assert.deepEqual(missing, [], "good backups have vanished from the bucket");
    for (const id of ids.filter((id) => !proven.has(id))) {
      const { code, stderr } = await calm(["backup", "verify", id, "--where=s3"]);
      assert.equal(code, 0, stderr);
      proven.add(id);
    }
    return ids;
  }

  const owner = stack.move();
  return {
    site,
    bucket,
    s3,
    env,
    run: (args, more = {}) => site.inside(args, { env: { ...env, ...more } }),
    listed,
    requireSound,
    async requireCollected() {
      const ids = await requireSound();
      const [newest] = ids;
      if (newest !== undefined && !restored.has(newest)) {
        await restore(bucket, newest);
        restored.add(newest);
      }
      const { code, stderr } = await calm(["backup", "gc"], () => Date.now() + 2 * DAY);
      assert.equal(code, 0, stderr);
      assert.deepEqual(await listed(), ids);
      assert.deepEqual(await bucket.uploads(), []);
      const told = await Promise.all(ids.map(async (id) => {
        const { files } = await manifestIn(bucket, id);
        return [`${id}.manifest.json`, ...files.map(({ name }) => name)];
      }));
      const keys = (await bucket.objects()).map(({ key }) => key.replace(/^backups\//, ""))
        .filter((name) => !name.includes(".verify-"));
      assert.deepEqual(keys.sort(), told.flat().sort());
      return ids;
    },
    [Symbol.asyncDispose]: () => owner.disposeAsync(),
  };
}

async function manifestIn(bucket: TestBucket, id: string): Promise<Manifest> {
  const { bytes } = await bucket.read(`backups/${id}.manifest.json`);
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** Fetches a backup as somebody would who has none of our programs, and restores it. */
async function restore(bucket: TestBucket, id: string): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-fetched-" });
  try {
    const manifest = await manifestIn(bucket, id);
    for (const { name } of manifest.files) {
      await Deno.mkdir(dirname(join(directory, name)), { recursive: true });
      await Deno.writeFile(join(directory, name), (await bucket.read(`backups/${name}`)).bytes);
    }
    await requireRestored(directory, manifest);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
