/**
 * The manual of the system that is replaced, line by line: each of its code blocks that this
 * program answers (restore is not among them yet), with its flags, variables and
 * output, against the migrations and seeds that are shipped.
 */
import assert from "assert";
import { join } from "node:path";
import { clientToolsMissing } from "../database.ts";
import { forEachKind, kinds, terminalMissing } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { installation } from "./manual_installation.ts";

const noTerminal = skipWhenMissing("the manual on a terminal", await terminalMissing());
const missing = await clientToolsMissing();

forEachKind(
  "manual, Initial Setup: migrate, seed, verify",
  async (kind) => {
    await using manual = await installation(kind);
    const migrate = await manual.works(["migrate"]);
    const lines = [
      "[INFO] Waiting for database to be ready...",
      "[SUCCESS] Database is ready",
      "[INFO] Running database migrations...",
      "[SUCCESS] Migrations completed successfully",
    ];
    let from = 0;
    for (const line of lines) {
      const at = migrate.stderr.indexOf(`${line}\n`, from);
      assert.ok(at >= from, `"${line}" is not where it should be in ${migrate.stderr}`);
      from = at + line.length;
    }
    await manual.works(["seed"]);
    for (const table of ["projects", "api_keys", "models", "configurations", "traces"]) {
      assert.notEqual(await manual.value(`SELECT count(*) FROM ${table}`), "0", table);
    }
    const { stdout } = await manual.works(["verify"]);
    for (const check of ["PostgreSQL", "TimescaleDB", "query"]) {
      assert.ok(stdout.includes(check), `${check} is not in ${stdout}`);
    }
  },
);

forEachKind(
  "manual, migrate-status and migrate-rollback: applied, pending, checksums and the last date",
  async (kind) => {
    await using manual = await installation(kind);
    await manual.works(["migrate"]);
    const applied = await manual.works(["migrate-status"]);
    assert.match(applied.stdout, /\d{14} +\S/);
    assert.match(applied.stdout, /[0-9a-f]{12}/);
    assert.match(applied.stdout, /20\d\d-\d\d-\d\d/);
    const before = await manual.value("SELECT count(*) FROM _sqlx_migrations");
    await manual.works(["migrate-rollback"]);
    assert.equal(
      await manual.value("SELECT count(*) FROM _sqlx_migrations"),
      String(Number(before) - 1),
    );
    const pending = await manual.works(["migrate-status"]);
    assert.match(pending.stdout, /pending/);
  },
);

forEachKind(
  "manual, seed: production gets no test data and no keys, development gets both",
  async (kind) => {
    await using manual = await installation(kind);
    await manual.works(["migrate"]);
    await manual.works(["seed", "--env", "production"]);
    for (const table of ["projects", "api_keys", "traces", "metrics", "logs"]) {
      assert.equal(await manual.value(`SELECT count(*) FROM ${table}`), "0", table);
    }
    for (const family of ["gpt-4", "claude", "gemini"]) {
      const sql = `SELECT count(*) > 0 FROM models WHERE name ILIKE '${family}%'`;
      assert.equal(await manual.value(sql), true, family);
    }
    const { stdout } = await manual.works(["seed", "--env", "development"]);
    assert.notEqual(await manual.value("SELECT count(*) FROM traces"), "0");
    // The keys are shown this once; the database has no more than their hashes.
    const keys = Number(await manual.value("SELECT count(*) FROM api_keys"));
    assert.ok(keys > 0, stdout);
    const again = await manual.works(["seed", "--env", "development"]);
    assert.notEqual(again.stdout, stdout);
    assert.equal(Number(await manual.value("SELECT count(*) FROM api_keys")), keys);
  },
);

forEachKind(
  "manual, exec: the lines as they stand",
  async (kind) => {
    await using manual = await installation(kind);
    await manual.works(["migrate"]);
    await manual.works(["seed"]);
    const projects = await manual.value("SELECT count(*) FROM projects");
    const count = await manual.works(["exec", "SELECT COUNT(*) FROM projects;"]);
    assert.match(count.stdout, new RegExp(`count[\\s\\S]*\\b${projects}\\b`));
    const update = await manual.works([
      "exec",
      "UPDATE configurations SET value = true WHERE key = 'enable_caching';",
    ]);
    assert.match(update.stdout, /UPDATE [1-9]/);
    const value = "SELECT value::text FROM configurations WHERE key = 'enable_caching'";
    assert.equal(await manual.value(value), "true");
    const version = await manual.works(["exec", "SELECT version();"]);
    assert.match(version.stdout, /PostgreSQL \d+/);
    const users = await manual.works(["exec", "SELECT current_user, session_user;"]);
    assert.match(users.stdout, /current_user[\s\S]*session_user[\s\S]*postgres/);
  },
);

forEachKind(
  "manual, sql: a file by its path, and by its name in DATA_DIR",
  async (kind) => {
    await using manual = await installation(kind);
    await manual.works(["migrate"]);
    const path = join(manual.directory, "data/custom-query.sql");
    for (const file of [path, "custom-query.sql"]) {
      const { stdout } = await manual.works(["sql", file]);
      assert.match(stdout, /projects/, file);
    }
  },
  { missing },
);

forEachKind(
  "manual, Custom Scripts: shell -c runs the script with DATABASE_URL",
  async (kind) => {
    await using manual = await installation(kind);
    await manual.works(["migrate"]);
    const script = join(manual.directory, "scripts/my-custom-script.sh");
    const refused = await manual.cli(["shell", "-c", script]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /chmod \+x/);
    await Deno.chmod(script, 0o755);
    const { stdout } = await manual.works(["shell", "-c", script]);
    assert.match(stdout, /count[\s\S]*0[\s\S]*\(1 row\)/);
  },
  { missing },
);

for (const kind of kinds) {
  Deno.test({
    name: `manual, shell: the lines typed into it (${kind})`,
    ignore: noTerminal || missing !== undefined,
    async fn() {
      await using manual = await installation(kind);
      await manual.works(["migrate"]);
      await manual.works(["seed", "--env", "production"]);
      const env = {
        PSQL_HISTORY: "/dev/null",
        PSQLRC: "/dev/null",
        PAGER: "cat",
        PSQL_PAGER: "cat",
        TERM: "dumb",
      };
      const shell = await manual.start(["shell"], { terminal: true, env });
      const prompt = new RegExp(`${manual.name}=[#>] $`);
      const lines: readonly (readonly [typed: string, shown: RegExp])[] = [
        ["\\dt", /configurations[\s\S]*\|[\s\S]*table/],
        ["\\d+ projects", /Table "public.projects"/],
        ["SELECT * FROM models WHERE provider = 'openai';", /openai[\s\S]*rows\)/],
        ["\\du", /postgres[\s\S]*Superuser/],
      ];
      await shell.until(prompt);
      for (const [typed, shown] of lines) {
        await shell.write(`${typed}\n`);
        await shell.until(shown);
        await shell.until(prompt);
      }
      await shell.write("\\q\n");
      const { code } = await shell.result();
      assert.equal(code, 0);
    },
  });
  Deno.test({
    name: `manual, reset: interactive, it asks for the database's name (${kind})`,
    ignore: noTerminal,
    async fn() {
      await using manual = await installation(kind);
      await manual.works(["migrate"]);
      await manual.works(["exec", "INSERT INTO projects (name, slug) VALUES ('mine', 'mine')"]);
      const asked = await manual.start(["reset"], { terminal: true });
      await asked.until(/Type the database's name to go on: $/);
      await asked.write("yes\n");
      const refused = await asked.result();
      assert.equal(refused.code, 4);
      assert.equal(await manual.value("SELECT count(*) FROM projects"), "1");
      const again = await manual.start(["reset", "--no-seed"], { terminal: true });
      await again.until(/Type the database's name to go on: $/);
      await again.write(`${manual.name}\n`);
      const passed = await again.result();
      assert.equal(passed.code, 0, passed.stdout);
      assert.equal(await manual.value("SELECT count(*) FROM projects"), "0");
    },
  });
}

forEachKind(
  "manual, reset: --force does not ask; --no-seed leaves the tables empty",
  async (kind) => {
    await using manual = await installation(kind);
    await manual.works(["migrate"]);
    const { stderr } = await manual.works(["reset", "--force"]);
    for (const step of ["Terminat", "Dropping", "Creat", "Running database migrations", "eed"]) {
      assert.ok(stderr.includes(step), `${step} is not in ${stderr}`);
    }
    assert.notEqual(await manual.value("SELECT count(*) FROM models"), "0");
    await manual.works(["reset", "--force", "--no-seed"]);
    assert.equal(await manual.value("SELECT count(*) FROM models"), "0");
  },
);

forEachKind(
  "manual, Development Workflow: a new migration there, back, and there again",
  async (kind) => {
    await using manual = await installation(kind);
    await manual.works(["migrate"]);
    const added = await manual.works(["migrate", "add", "-r", "my_new_feature"]);
    const [, up = ""] = /(\S+_my_new_feature\.up\.sql)/.exec(added.stdout) ?? [];
    assert.notEqual(up, "", added.stdout);
    const path = join(manual.directory, up);
    await Deno.writeTextFile(path, "BEGIN;\nCREATE TABLE my_new_feature (id int);\nCOMMIT;\n");
    await Deno.writeTextFile(
      path.replace(/up\.sql$/, "down.sql"),
      "BEGIN;\nDROP TABLE my_new_feature;\nCOMMIT;\n",
    );
    const there = "SELECT to_regclass('my_new_feature') IS NOT NULL";
    await manual.works(["migrate"]);
    assert.equal(await manual.value(there), true);
    await manual.works(["migrate-rollback"]);
    assert.equal(await manual.value(there), false);
    await manual.works(["migrate"]);
    assert.equal(await manual.value(there), true);
    await manual.works(["reset", "--force"]);
    assert.equal(await manual.value(there), true);
  },
);

forEachKind(
  "manual, Migration Failures: the status tells, the file is mended, the retry works",
  async (kind) => {
    await using manual = await installation(kind);
    const broken = join(manual.directory, "migrations/20300101000000_failed_migration.sql");
    await Deno.writeTextFile(broken, "CREATE TABLE mended (id int);\nSELECT wrong;\n");
    const failed = await manual.cli(["migrate"]);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /20300101000000_failed_migration\.sql:2:8/);
    const status = await manual.works(["migrate-status"]);
    assert.match(status.stdout, /20300101000000.*pending|pending.*20300101000000/i);
    await Deno.writeTextFile(broken, "CREATE TABLE mended (id int);\n");
    await manual.works(["migrate"]);
    assert.equal(await manual.value("SELECT to_regclass('mended') IS NOT NULL"), true);
  },
);

forEachKind("manual, help: every command of the manual is listed", async (kind) => {
  await using manual = await installation(kind);
  const { stdout } = await manual.works(["help"]);
  const commands = [
    "migrate",
    "migrate status",
    "migrate rollback",
    "seed",
    "reset",
    "sql",
    "exec",
  ];
  for (const command of [...commands, "shell", "verify"]) {
    assert.match(stdout, new RegExp(`^ +${command}\\b`, "m"), command);
  }
});
