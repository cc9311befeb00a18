/** Directories, which pg_dump writes by itself: what is seen of it meanwhile, and what is left of it. */
import assert from "assert";
import { join } from "node:path";
import { type BackupProject, backupProject } from "../backup_project.ts";
import { clientTools, clientToolsMissing } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("tests of directories", await clientToolsMissing());

/** A pg_dump that does something with its directory, and is the real one then. */
async function programs({ directory }: BackupProject, first: string): Promise<string> {
  const path = join(directory, "programs");
  await Deno.mkdir(path);
  const script = [
    "#!/bin/bash",
    `case "$*" in *--version*) exec ${(await clientTools())?.pgDump} "$@" ;; esac`,
    'for word in "$@"; do case "$word" in --file=*) cd "${word#--file=}" ;; esac; done',
    first,
    `exec ${(await clientTools())?.pgDump} "$@"`,
    "",
  ];
  await Deno.writeTextFile(join(path, "pg_dump"), script.join("\n"), { mode: 0o755 });
  return path;
}

Deno.test({
  name: "a directory: while it grows pg_dump is alive, though it says nothing",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    const env = {
      PG_BIN_DIR: await programs(
        project,
        "for i in 1 2 3 4 5 6 7 8 9 10; do echo more >> growing; sleep 0.2; done; rm growing",
      ),
    };
    const line = ["--format", "directory", "--stall-timeout", "0.8"];
    const { manifest } = await project.backup(line, { env });
    assert.equal(manifest.tables[0]?.rows, 1);
  },
});

Deno.test({
  name: "a directory: one that stays as it is, without a word, is given up and removed",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    const env = { PG_BIN_DIR: await programs(project, "echo some > some; sleep 60") };
    const { exit, stderr } = await project.run(
      ["backup", "--format", "directory", "--stall-timeout", "0.8"],
      { env },
    );
    assert.equal(exit, 1);
    assert.match(
      stderr,
      /pg_dump has written and said nothing for 0\.8 s\nHint: .*--stall-timeout/,
    );
    assert.deepEqual(await Array.fromAsync(Deno.readDir(project.backups)), []);
  },
});

Deno.test({
  name: "a directory: removed under pg_dump, the backup fails and nothing of it is left",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    const env = {
      PG_BIN_DIR: await programs(project, 'here=$PWD; cd /; rm -r "$here"; sleep 0.5'),
    };
    const line = ["backup", "--format", "directory", "--stall-timeout", "1"];
    const { exit, stderr } = await project.run(line, { env });
    assert.equal(exit, 1);
    assert.match(stderr, /\[ERROR\] Cannot /);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(project.backups)), []);
  },
});

Deno.test({
  name: "a directory: a file that is missing at the end is told, whatever pg_dump's exit code",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    const { pgDump = "" } = await clientTools() ?? {};
    for (
      const [after, message] of [
        ["rm *.dat.gz", /"\d+\.dat" is missing/],
        ["rm *[0-9].dat.gz; truncate -s -5 toc.dat", /its table of contents cannot be read/],
        ["rm toc.dat", /toc\.dat/],
      ] as const
    ) {
      const first =
        `if [ -z "$AGAIN" ]; then AGAIN=1 ${pgDump} "$@" || exit 1; ${after}; exit 0; fi`;
      const path = await programs(project, first);
      const { exit, stderr } = await project.run(["backup", "--format", "directory"], {
        env: { PG_BIN_DIR: path },
      });
      assert.equal(exit, 1);
      assert.match(stderr, message);
      assert.deepEqual(await Array.fromAsync(Deno.readDir(project.backups)), []);
      await Deno.remove(path, { recursive: true });
    }
  },
});
