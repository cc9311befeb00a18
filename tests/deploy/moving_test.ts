/**
 * docs/MOVING.md, line by line: from what the old container leaves to this program, and back. The
 * lines that are Docker's own are not run.
 */
import assert from "assert";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { findClientBinaries } from "../../tasks/client_binaries.ts";
import { clientToolsMissing, freshDatabase, sharedServer } from "../database.ts";
import { forEachKind } from "../program.ts";
import { type Installation, installation } from "../cli/manual_installation.ts";
import { readProject } from "./validators.ts";
import { wordsOf } from "./command_lines.ts";

/** The lines of a section, each as its words. */
async function linesOf(section: string): Promise<string[][]> {
  const [, text = ""] = (await readProject("docs/MOVING.md")).split(`\n## ${section}\n`);
  const [own = ""] = text.split("\n## ");
  return [...own.matchAll(/^ *docker compose --profile tools run --rm cli (.*)$/gm)]
    .map(([, line = ""]) => wordsOf(line));
}

interface Row {
  readonly version: string;
  readonly description: string;
  readonly success: boolean;
  readonly checksum: string;
}

/** What sqlx keeps of the migrations; by another way than ours. */
function state(manual: Installation): Promise<Row[]> {
  return manual.database.query<Row & Record<string, unknown>>(
    "SELECT version, description, success, encode(checksum, 'hex') AS checksum " +
      "FROM _sqlx_migrations ORDER BY version",
  );
}

/** Does what sqlx-cli 0.7.3 does: every up file, and a row for it. */
async function migrateBySqlx(manual: Installation): Promise<void> {
  const server = await sharedServer();
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: server.url() });
  await client.connect();
  await client.query(`CREATE DATABASE "${manual.name}"`);
  await client.end();
  await manual.database.query(await readProject("tests/fixtures/sqlx/table-0.7.3.sql"));
  const names =
    (await Array.fromAsync(Deno.readDir(join(PROJECT, "migrations")), ({ name }) => name))
      .filter((name) => name.endsWith(".up.sql")).sort();
  for (const name of names) {
    const bytes = await Deno.readFile(join(PROJECT, "migrations", name));
    await manual.database.query(new TextDecoder().decode(bytes));
    const [version = "", ...rest] = name.replace(/\.up\.sql$/, "").split("_");
    await manual.database.query(
      "INSERT INTO public._sqlx_migrations VALUES ($1, $2, now(), true, $3, 1000)",
      [version, rest.join(" "), createHash("sha384").update(bytes).digest()],
    );
  }
}

forEachKind(
  "moving: every line of the page, there and back",
  async (kind) => {
    await using manual = await installation(kind);
    const major = (await sharedServer()).version;
    const { directory } = await findClientBinaries(major) ?? { directory: "/usr/bin" };
    await migrateBySqlx(manual);
    await manual.database.query("INSERT INTO projects (slug, name) VALUES ('kept', 'Kept')");
    const before = await state(manual);
    assert.ok(before.length > 3);
    const dump = join(manual.directory, "backups/llm_observatory_backup_20240101_120000.dump");
    const dumped = await new Deno.Command(join(directory, "pg_dump"), {
      args: ["--format=custom", `--file=${dump}`, manual.database.url],
    }).output();
    assert.ok(dumped.success, new TextDecoder().decode(dumped.stderr));

    const there = await linesOf("There");
    assert.deepEqual(there.map(([command]) => command), [
      ...["config", "verify", "migrate-status", "migrate"],
      ...["backup", "backup", "restore", "exec", "restore", "exec", "seed"],
    ]);
    // A database of this name may be another test's.
    const check = `${manual.name}_check`;
    for (const line of there) {
      const words = line.map((word) =>
        word.replace("/app/backups/OLD.dump", dump).replace("moving_check", check)
      );
      const { stdout, stderr } = await manual.works(words);
      if (words[0] === "migrate-status") {
        for (const { version } of before) {
          assert.match(stdout, new RegExp(`^${version}  applied `, "m"));
        }
      }
      if (words.includes(dump)) assert.match(stderr, /manifest/);
      if (words[0] !== "restore") continue;
      const server = await sharedServer();
      const copy = server.url(check);
      const { default: pg } = await import("pg");
      const client = new pg.Client({ connectionString: copy });
      await client.connect();
      const { rows } = await client.query("SELECT name FROM projects WHERE slug = 'kept'");
      await client.end();
      assert.deepEqual(rows, [{ name: "Kept" }]);
    }
    assert.deepEqual(await state(manual), before);

    const back = await linesOf("Back");
    assert.deepEqual(back, [["backup", "--compression", "gzip"], ["migrate-status"], ["migrate"]]);
    const { stdout } = await manual.works([...back[0] ?? [], "--json"]);
    const files: { name: string }[] = JSON.parse(stdout).data.manifest.files;
    const last = files.find(({ name }) => name.endsWith(".dump"))?.name ?? "";
    // The old tools read it, and sqlx finds its table as it has left it.
    await using restored = await freshDatabase();
    const old = await new Deno.Command(join(directory, "pg_restore"), {
      args: ["--no-owner", "--dbname", restored.url, join(manual.directory, "backups", last)],
    }).output();
    assert.ok(old.success, new TextDecoder().decode(old.stderr));
    assert.deepEqual(
      await restored.query(
        "SELECT version, description, success, encode(checksum, 'hex') AS checksum " +
          "FROM _sqlx_migrations ORDER BY version",
      ),
      before,
    );
    assert.deepEqual(await state(manual), before);
  },
  { missing: await clientToolsMissing() },
);
