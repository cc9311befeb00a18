/** Backups of one major restored to servers of the same and of newer ones, and refused by older ones. */
import assert from "assert";
import { join } from "node:path";
import type { Server } from "../../tasks/server.ts";
import { requireDumpsAlike } from "../alike.ts";
import { contentsOf } from "../backup_project.ts";
import { clientMajors, runClient } from "../client_majors.ts";
import { freshDatabase, serverVersions } from "../database.ts";
import { databasesBeside, restoreSite } from "../restore_site.ts";
import { skipWhenMissing } from "../skip.ts";
import { tortureDatabase, tortureRoles } from "../torture.ts";

const servers = await serverVersions();
const clients = await clientMajors();

/** From which to which. */
const UPWARDS: readonly (readonly [from: number, to: number])[] = [
  [15, 15],
  [15, 16],
  [15, 18],
  [16, 16],
  [16, 18],
  [18, 18],
];
const DOWNWARDS: readonly (readonly [from: number, to: number])[] = [[18, 15], [18, 16], [16, 15]];

const FORMS = [["--format=custom"], ["--format=plain"], ["--format=directory"]];

function missing(majors: readonly number[]): string | undefined {
  return majors.flatMap((major) => [
    servers.find(({ version }) => version === major)?.missing,
    clients.find(({ version }) => version === major)?.missing,
  ]).find((reason) => reason !== undefined);
}

function programs(major: number): string {
  return clients.find(({ version }) => version === major)?.directory ?? "";
}

async function start(major: number): Promise<Server> {
  const server = servers.find(({ version }) => version === major);
  if (server === undefined) throw new Error(`There is no server of PostgreSQL ${major}`);
  return await server.start();
}

for (const [from, to] of UPWARDS) {
  const title = `restore: of PostgreSQL ${from} to ${to}, in every format`;
  Deno.test({
    name: title,
    ignore: skipWhenMissing(title, missing([from, to])),
    async fn() {
      await using old = await start(from);
      await using other = from === to ? undefined : await start(to);
      const server = other ?? old;
      const source = await tortureDatabase({ server: old });
      await using site = await restoreSite(source);
      await using _ = other === undefined
        ? undefined
        : await tortureRoles({ server: other, names: source.roles });
      const contents = await contentsOf(source);
      // What pg_dump tells of an older server is worded otherwise than of its own.
      await using reference = from === to ? undefined : await freshDatabase({ server });
      const byHand = reference ?? source;
      for (const form of FORMS) {
        const { id, warnings } = await site.backup(form, { env: { PG_BIN_DIR: programs(from) } });
        assert.deepEqual(warnings, []);
        if (reference !== undefined && form[0] === "--format=custom") {
          const { code, stderr } = await runClient(join(programs(to), "pg_restore"), {
            args: [
              ...["--exit-on-error", `--dbname=${reference.url}`],
              join(site.backups, `${id}.dump`),
            ],
          });
          assert.equal(code, 0, stderr);
        }
        // A directory by several jobs, the others as they flow.
        const jobs = form[0] === "--format=directory" ? ["--jobs=2"] : [];
        await using target = await site.absent(server);
        const done = await site.restore(target, [id, "--create", ...jobs], {
          env: { PG_BIN_DIR: programs(to) },
        });
        assert.match(done.stderr, /SUCCESS\] Database restored/);
        const what = `${from} to ${to}, ${form}`;
        await requireDumpsAlike(target, byHand, { pgDump: join(programs(to), "pg_dump"), what });
        assert.deepEqual(await contentsOf(target), contents, what);
      }
    },
  });
}

for (const [from, to] of DOWNWARDS) {
  const title = `restore: of PostgreSQL ${from} to ${to} is refused`;
  Deno.test({
    name: title,
    ignore: skipWhenMissing(title, missing([from, to])),
    async fn() {
      await using newer = await start(from);
      await using older = await start(to);
      await using site = await restoreSite(
        await freshDatabase({ server: newer, sql: "CREATE TABLE t AS SELECT 1 AS n" }),
      );
      for (const form of FORMS) {
        const { id } = await site.backup(form, { env: { PG_BIN_DIR: programs(from) } });
        for (const args of [["--create"], ["--create", "--schema-only"]]) {
          if (form[0] === "--format=plain" && args.length > 1) continue;
          const target = await site.absent(older);
          const { exit, stdout, stderr } = await site.run(
            target,
            ["restore", id, "--force", ...args],
            { env: { PG_BIN_DIR: programs(from) } },
          );
          assert.deepEqual([exit, stdout], [4, ""], stderr);
          assert.match(
            stderr,
            new RegExp(
              `^\\[ERROR\\] Refused: .* the backup is of PostgreSQL ${from}\\..*, and the server is an older one \\(${to}\\); nothing was changed$`,
              "m",
            ),
          );
          assert.match(stderr, new RegExp(`Hint: .*${from} or newer`));
          assert.deepEqual(await databasesBeside(older, target), []);
        }
      }
    },
  });
}
