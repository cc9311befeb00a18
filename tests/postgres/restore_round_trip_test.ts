/** Whatever a backup is written as and wherever it is taken from: what is restored equals the source. */
import assert from "assert";
import { type Likeness, likenessOf, requireLikeness } from "../alike.ts";
import { clientMajors } from "../client_majors.ts";
import {
  clientToolsMissing,
  freshDatabase,
  openDatabase,
  sharedServer,
  type TestDatabase,
} from "../database.ts";
import { databasesBeside, type RestoreSite, restoreSite } from "../restore_site.ts";
import { skipWhenMissing } from "../skip.ts";
import { big, many, tortureDatabase } from "../torture.ts";

const ignore = skipWhenMissing("round trips of restores", await clientToolsMissing());

/** Where a restore goes. */
type Way = "in place" | "create" | "into" | "swap";

/** Restores of one backup. */
interface Form {
  readonly name: string;
  readonly backup: readonly string[];
  readonly encrypted?: boolean;
  /** Kept in the bucket alone. */
  readonly s3?: boolean;
  readonly ways: readonly (readonly [Way, ...args: string[]])[];
}

const FORMS: readonly Form[] = [
  {
    name: "custom",
    backup: [],
    ways: [["in place"], ["create", "--jobs=3"], ["into", "--jobs=1"], ["swap"]],
  },
  {
    name: "custom, not compressed",
    backup: ["--compression=none"],
    ways: [["in place"], ["swap", "--jobs=2"]],
  },
  {
    name: "custom, gzip:9, encrypted",
    backup: ["--compression=gzip:9"],
    encrypted: true,
    ways: [["in place"], ["create"], ["swap"]],
  },
  { name: "plain", backup: ["--format=plain"], ways: [["in place"], ["create"], ["swap"]] },
  {
    name: "plain, gzip",
    backup: ["--format=plain", "--compress"],
    ways: [["in place"], ["into"]],
  },
  {
    name: "plain, gzip, encrypted",
    backup: ["--format=plain", "--compress"],
    encrypted: true,
    ways: [["in place"], ["swap"]],
  },
  {
    name: "directory",
    backup: ["--format=directory", "--jobs=2"],
    ways: [["in place"], ["in place", "--jobs=8"], ["into", "--jobs=1"], ["swap"]],
  },
  {
    name: "directory, not compressed",
    backup: ["--format=directory", "--compression=none"],
    ways: [["create"]],
  },
  {
    name: "custom, in S3",
    backup: ["--s3-only"],
    s3: true,
    ways: [["in place"], ["create", "--jobs=2"], ["swap"]],
  },
  {
    name: "custom, in S3, encrypted",
    backup: ["--s3-only"],
    s3: true,
    encrypted: true,
    ways: [["into"]],
  },
  {
    name: "plain, gzip, in S3",
    backup: ["--format=plain", "--compress", "--s3-only"],
    s3: true,
    ways: [["create"]],
  },
  {
    name: "directory, in S3",
    backup: ["--format=directory", "--s3-only"],
    s3: true,
    ways: [["in place"], ["swap", "--jobs=4"]],
  },
];

for (const form of FORMS) {
  Deno.test({
    name: `restore: ${form.name}: equals the source`,
    ignore,
    async fn() {
      await using site = await restoreSite(await tortureDatabase());
      await roundTrip(site, form);
    },
  });
}

const [modern] = (await clientMajors()).filter(({ version }) => version === 17);
for (const method of ["zstd", "lz4"]) {
  const title = `restore: by ${method}: equals the source`;
  Deno.test({
    name: title,
    ignore: ignore || skipWhenMissing(title, modern?.missing ?? (modern ? undefined : "no 17")),
    async fn() {
      await using site = await restoreSite(await tortureDatabase());
      const env = { PG_BIN_DIR: modern?.directory ?? "" };
      const compression = `--compression=${method}`;
      for (
        const form of [
          { backup: [compression], ways: [["in place"], ["swap"]] },
          { backup: [compression, "--format=plain"], ways: [["in place"]] },
          { backup: [compression, "--format=directory"], ways: [["into"]] },
          { backup: [compression, "--format=plain"], encrypted: true, ways: [["create"]] },
        ] satisfies Omit<Form, "name">[]
      ) {
        // A plain dump by lz4 could not be checked, so there is none.
        if (method === "lz4" && form.backup.includes("--format=plain")) continue;
        await roundTrip(site, { name: form.backup.join(" "), ...form }, env);
      }
    },
  });
}

/** Backs the source up in a form, and restores it in each of its ways. */
async function roundTrip(
  site: RestoreSite,
  form: Form,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const expected = await likenessOf(site.source);
  const { id } = await site.backup([
    ...form.backup,
    "--fingerprint=full",
    ...form.encrypted === true ? [`--encrypt=${site.recipient}`] : [],
  ], { env });
  const args = [
    id,
    ...form.s3 === true ? ["--s3-download"] : [],
    ...form.encrypted === true ? [`--identity=${site.identity}`] : [],
  ];
  for (const [way, ...more] of form.ways) {
    const what = `${form.name}, ${way} ${more.join(" ")}`;
    await restoreBy(way, site, { args: [...args, ...more], env, expected, what });
  }
}

async function restoreBy(
  way: Way,
  site: RestoreSite,
  { args, env, expected, what }: {
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
    readonly expected: Likeness;
    readonly what: string;
  },
): Promise<void> {
  await using target = await site.absent();
  const server = await sharedServer();
  const admin = openDatabase(server, "postgres");
  const make = (database: TestDatabase) =>
    admin.query(`CREATE DATABASE "${database.name}" TEMPLATE template0 STRATEGY file_copy`);
  switch (way) {
    case "in place":
      await make(target);
      await site.restore(target, args, { env });
      break;
    case "create":
      await site.restore(target, [...args, "--create"], { env });
      break;
    case "into":
      await site.restore(site.source, [...args, "--into", target.name], { env });
      break;
    case "swap":
      await make(target);
      await target.query("CREATE TABLE before AS SELECT 42 AS n");
      await site.restore(target, [...args, "--swap"], { env });
      break;
  }
  await requireLikeness(target, expected, { what });
  const beside = (await databasesBeside(server, target)).filter((name) => name !== target.name);
  assert.equal(beside.length, way === "swap" ? 1 : 0, `${what}: ${beside}`);
  if (way !== "swap") return;
  const [kept = ""] = beside;
  assert.match(kept.slice(target.name.length), /^_before_/, what);
  const undone = await site.run(target, ["restore", "--undo", "--force"], { env });
  assert.equal(undone.exit, 0, `${what}: ${undone.stderr}`);
  const [row] = await target.query("SELECT n FROM before");
  assert.deepEqual(row, { n: 42 });
}

Deno.test({
  name: "restore: a thousand tables",
  ignore,
  async fn() {
    await using site = await restoreSite(await freshDatabase({ sql: many(1000) }));
    const expected = await likenessOf(site.source);
    const forms: readonly (readonly [readonly string[], Way, ...string[]])[] = [
      [[], "in place"],
      [["--format=directory"], "swap", "--jobs=2"],
      [["--format=plain"], "create"],
    ];
    for (const [backup, way, ...more] of forms) {
      const { id } = await site.backup(backup);
      const what = `${way} ${more.join(" ")}`;
      await restoreBy(way, site, { args: [id, ...more], env: {}, expected, what });
    }
  },
});

/** Bytes of the largest table; by hand more. */
const BIG = Number(Deno.env.get("OBSERVATORY_BIG_TABLE") ?? 100 * 1024 * 1024);

Deno.test({
  name: "restore: one large table",
  ignore,
  async fn() {
    await using site = await restoreSite(await freshDatabase({ sql: big(BIG) }));
    const expected = await likenessOf(site.source);
    const forms: readonly (readonly [readonly string[], Way, ...string[]])[] = [
      [["--compression=none", "--s3-only"], "create", "--s3-download"],
      [[], "swap", "--jobs=2"],
    ];
    for (const [backup, way, ...more] of forms) {
      const { id } = await site.backup(backup);
      await restoreBy(way, site, {
        args: [id, ...more],
        env: {},
        expected,
        what: backup.join(" "),
      });
    }
  },
});
