/** Disks that are full: the server's, and the one that a backup is downloaded to. */
import assert from "assert";
import { join } from "node:path";
import { startServer } from "../../tasks/server.ts";
import { clientToolsMissing, openDatabase } from "../database.ts";
import { freshBucket } from "../s3.ts";
import { skipWhenMissing } from "../skip.ts";
import { disksMissing, mountDisk } from "./disk.ts";
import { makeRestoreFaults } from "./restore_site.ts";
import { FORMS } from "./restore_steps.ts";
import { holdHere, makeShim } from "./shim.ts";

const ignore = skipWhenMissing(
  "restores to full disks",
  await clientToolsMissing() ?? await disksMissing(),
);

/** About 12 MB in the database. */
const LARGE = `
  CREATE TABLE item AS SELECT n AS id, repeat(md5(n::text), 4) AS token FROM generate_series(1, 60000) n;
  ALTER TABLE item ADD PRIMARY KEY (id);
  CREATE TABLE event (item int REFERENCES item);
`;

Deno.test({
  name: "restore, disk: the server's is full",
  ignore,
  async fn() {
    await using server = await startServer();
    await using disk = await mountDisk("size=64m,mode=777");
    await using shim = await makeShim();
    const admin = openDatabase(server, "postgres");
    const [row] = await admin.query<{ directory: string }>(
      "SELECT current_setting('data_directory') AS directory",
    );
    const { uid, gid } = await Deno.stat(row?.directory ?? "");
    const space = join(disk.path, "space");
    await Deno.mkdir(space);
    await Deno.chown(space, uid, gid);
    // The server's user has to get there.
    await Deno.chmod(disk.path, 0o777);
    await admin.query(`CREATE TABLESPACE small LOCATION '${space}'`);
    await using faults = await makeRestoreFaults({ server, sql: LARGE });
    const ids = {
      custom: await faults.site.good(FORMS.custom),
      plain: await faults.site.good(FORMS.plain),
      directory: await faults.site.good(FORMS.directory),
    };
    const onDisk = async (mode: "empty" | "swap") => {
      await faults.reset(mode);
      await admin.query(`ALTER DATABASE "${faults.target.name}" SET TABLESPACE small`);
    };
    for (
      const [mode, id, ...args] of [
        ["empty", ids.custom],
        ["empty", ids.plain],
        ["swap", ids.custom],
        ["swap", ids.plain],
        ["swap", ids.directory, "--jobs=2"],
      ] as const
    ) {
      const what = `${mode} ${id} ${args.join(" ")}`;
      if (mode === "empty") await faults.learn(mode, [id]);
      else await faults.learn("swap", [id, ...args]);
      await disk.leave(60 * 1024 * 1024);
      await onDisk(mode);
      const variable = id === ids.plain ? "FAULT_PSQL" : "FAULT_RESTORE";
      const hold = shim.holdAt((flag) => ({
        PG_BIN_DIR: shim.directory,
        [variable]: `${holdHere(flag)}; whole`,
      }));
      const running = faults.inside(mode, [id, ...args], { env: hold.env });
      await hold.reached();
      // Others fill it after the room was looked at.
      await disk.leave(4 * 1024 * 1024);
      await hold.release();
      const { code, stdout, stderr } = await running;
      assert.deepEqual([code, stdout], [1, ""], `${what}: ${stderr}`);
      assert.match(stderr, /^\[ERROR\] Cannot restore .*No space left on device/m, what);
      assert.deepEqual(await faults.beside(), [], what);
      await faults.requireOldOrNew(mode, { code, what });
      await disk.leave(60 * 1024 * 1024);
      await faults.requireRecovered(mode, [id, ...args], what);
      await faults.reset("create");
    }
    await admin.query("SELECT 1");
    await faults[Symbol.asyncDispose]();
    await admin.query("DROP TABLESPACE small");
  },
});

Deno.test({
  name: "restore, disk: the one that is downloaded to is full",
  ignore,
  async fn() {
    await using bucket = await freshBucket();
    await using disk = await mountDisk("size=200m");
    await using faults = await makeRestoreFaults({
      sql: LARGE,
      backups: join(disk.path, "backups"),
    });
    for (const [form, ...args] of [["custom", "--jobs=2"], ["directory"]] as const) {
      await disk.leave(100 * 1024 * 1024);
      const made = await faults.site.inside([
        ...["backup", "--json", "--no-prune", "--s3-only", "--compression=none"],
        ...FORMS[form],
      ], { env: bucket.env });
      assert.equal(made.code, 0, made.stderr);
      const { manifest: { id } } = JSON.parse(made.stdout).data;
      const options = { env: { ...bucket.env, TMPDIR: disk.path } };
      for (const mode of ["clean", "swap"] as const) {
        await disk.leave(100 * 1024 * 1024);
        await faults.reset(mode);
        const before = await faults.site.files();
        await disk.leave(1024 * 1024);
        const { code, stdout, stderr } = await faults.inside(
          mode,
          [id, "--s3-download", ...args],
          options,
        );
        const what = `${form}, ${mode}: ${stderr}`;
        assert([1, 4].includes(code), what);
        assert.equal(stdout, "", what);
        assert.match(stderr, /^\[ERROR\] .*(room|space|free)/m, what);
        assert.deepEqual(await faults.beside(), [], what);
        assert.deepEqual(await faults.site.files(), before, what);
        const names = await Array.fromAsync(Deno.readDir(disk.path), ({ name }) => name);
        assert.deepEqual(names.sort(), ["backups", "ballast"], what);
        assert.doesNotMatch(stderr, /holds a part/, what);
        await disk.leave(100 * 1024 * 1024);
        const next = await faults.inside(mode, [id, "--s3-download", ...args], options);
        assert.equal(next.code, 0, `${what}: ${next.stderr}`);
        assert.deepEqual(await faults.site.files(), before, what);
      }
    }
  },
});
