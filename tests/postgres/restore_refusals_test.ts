/** What stands against a restore is told beforehand, with the way out, and nothing is changed. */
import assert from "assert";
import { type BackupProject, backupProject, contentsOf } from "../backup_project.ts";
import { clientToolsMissing, freshDatabase, type TestDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("tests of restores", missing);

const SQL = `
  CREATE TABLE parent (id int PRIMARY KEY, name text);
  CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
  INSERT INTO parent SELECT n, 'p' || n FROM generate_series(1, 50) n;
  INSERT INTO child SELECT n, n % 50 + 1 FROM generate_series(1, 80) n;
  CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
  CREATE TRIGGER loud BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION shout();
  SELECT lo_create(4711);`;

interface Refused {
  readonly exit: number;
  readonly message: string;
  readonly hint: string;
  readonly details: Record<string, unknown>;
}

/** Restores into a database, which must be refused, and leave it as it was. */
async function refused(
  project: BackupProject,
  args: readonly string[],
  target: TestDatabase,
): Promise<Refused> {
  const before = await contentsOf(target);
  const run = await project.run(["restore", "--json", ...args], {
    env: { DATABASE_URL: target.url },
  });
  assert.notEqual(run.exit, 0, run.stdout);
  assert.deepEqual(await contentsOf(target), before);
  const { error } = JSON.parse(run.stdout);
  return { exit: run.exit, message: error.message, hint: error.hint ?? "", details: error.details };
}

function named(project: BackupProject): string[] {
  return ["latest", "--database", project.database.name];
}

Deno.test({
  name: "restore refuses: objects that are there, naming --clean and --swap",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await project.backup();
    await using target = await freshDatabase({
      sql:
        "CREATE VIEW parent AS SELECT 1 AS n; CREATE TABLE other (n int); SELECT lo_create(4711)",
    });
    const { exit, message, hint, details } = await refused(project, named(project), target);
    assert.equal(exit, 4);
    assert.match(message, /2 of its objects are there already: TABLE public\.parent/);
    assert.match(hint, /--clean drops them first; --swap/);
    assert.deepEqual(details["collisions"], ["TABLE public.parent", "LARGE OBJECT 4711"]);
  },
});

Deno.test({
  name: "restore refuses: rows that would be there twice, and rows without their tables",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await project.backup();
    const data = [...named(project), "--data-only"];
    await using filled = await freshDatabase({
      sql: `CREATE TABLE parent (id int, name text); INSERT INTO parent VALUES (1, 'x');
        CREATE TABLE child (id int, parent int)`,
    });
    const twice = await refused(project, data, filled);
    assert.equal(twice.exit, 4);
    assert.deepEqual(twice.details["filled_tables"], ["public.parent"]);
    assert.match(twice.hint, /TRUNCATE/);
    await using empty = await freshDatabase();
    const without = await refused(project, data, empty);
    assert.equal(without.exit, 4);
    assert.deepEqual(without.details["missing_tables"], ["public.child", "public.parent"]);
    assert.match(without.hint, /--schema-only/);
  },
});

Deno.test({
  name: "restore refuses: roles and extensions that the server lacks, with what makes them",
  ignore,
  async fn() {
    const role = `owner_${crypto.randomUUID().slice(0, 8)}`;
    const reader = `reader-${crypto.randomUUID().slice(0, 8)}`;
    await using project = await backupProject({ sql: SQL });
    await project.database.query(
      `CREATE ROLE ${role}; CREATE ROLE "${reader}"; ALTER TABLE child OWNER TO ${role};
       GRANT SELECT ON parent TO "${reader}"`,
    );
    await project.backup();
    await using target = await freshDatabase();
    await project.database.query(
      `ALTER TABLE child OWNER TO postgres; DROP OWNED BY "${reader}"; DROP OWNED BY ${role};
       DROP ROLE ${role}; DROP ROLE "${reader}"`,
    );
    const { exit, hint, details } = await refused(project, named(project), target);
    assert.equal(exit, 4);
    assert.deepEqual(details["missing_roles"], [role, reader].sort());
    assert.match(hint, new RegExp(`CREATE ROLE "${role}";`));
    assert.match(hint, new RegExp(`CREATE ROLE "${reader}";`));
    const run = await project.run(
      ["restore", ...named(project), "--no-owner", "--no-privileges"],
      { env: { DATABASE_URL: target.url } },
    );
    assert.equal(run.exit, 0, run.stderr);
    const [row] = await target.query<{ count: string }>("SELECT count(*) FROM child");
    assert.equal(row?.count, "80");
  },
});

Deno.test({
  name: "restore refuses: what the backup does not hold, or a plain one cannot give",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await using target = await freshDatabase();
    const { manifest: schema } = await project.backup(["--schema-only"]);
    const rows = await refused(project, [schema.id, "--data-only"], target);
    assert.deepEqual([rows.exit, /holds definitions, and no rows/.test(rows.message)], [2, true]);
    const { manifest: plain } = await project.backup(["--format", "plain"]);
    const chosen = await refused(project, [plain.id, "--tables", "child", "--clean"], target);
    assert.equal(chosen.exit, 2);
    assert.match(chosen.message, /--tables, --clean cannot be done with it/);
    const { manifest: full } = await project.backup();
    const nothing = await refused(project, [full.id, "--tables", "child,nope"], target);
    assert.deepEqual([nothing.exit, nothing.details["patterns"]], [2, ["nope"]]);
  },
});

Deno.test({
  name: "restore refuses: a database that is absent, unless it is to be created",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await project.backup();
    const absent = `absent_${crypto.randomUUID().slice(0, 8)}`;
    const url = project.database.url.replace(/[^/]+$/, absent);
    const env = { DATABASE_URL: url };
    const without = await project.run(["restore", ...named(project)], { env });
    assert.equal(without.exit, 4);
    assert.match(
      without.stderr,
      /there is no such database; nothing was changed\nHint: Create it with --create/,
    );
    const plan = await project.run(["restore", ...named(project), "--create", "--plan"], { env });
    assert.equal(plan.exit, 0, plan.stderr);
    assert.match(plan.stdout, new RegExp(`into database "${absent}".*which does not exist:`));
    const [row] = await project.database.query<{ count: string }>(
      "SELECT count(*) FROM pg_database WHERE datname LIKE $1",
      [`${absent}%`],
    );
    assert.equal(row?.count, "0");
  },
});

Deno.test({
  name: "restore is confirmed where something is lost, and in production by name alone",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await project.backup();
    await using target = await freshDatabase({ sql: "CREATE TABLE theirs (n int)" });
    const env = { DATABASE_URL: target.url };
    const line = ["restore", ...named(project)];
    const asked = await project.run(line, { env });
    assert.equal(asked.exit, 4);
    assert.match(
      asked.stderr,
      new RegExp(`To go on: observatory restore .* --confirm ${target.name}`),
    );
    const production = { ...env, ENVIRONMENT: "production" };
    const forced = await project.run([...line, "--force"], { env: production });
    assert.equal(forced.exit, 4);
    await using empty = await freshDatabase();
    const created = await project.run([...line, "--force"], {
      env: { ...production, DATABASE_URL: empty.url },
    });
    assert.equal(created.exit, 4);
    const confirmed = await project.run([...line, "--confirm", target.name], { env: production });
    assert.equal(confirmed.exit, 0, confirmed.stderr);
    assert.deepEqual(
      (await target.query("SELECT count(*)::int AS n FROM theirs, parent")).length,
      1,
    );
  },
});

Deno.test({
  name: "restore --swap refuses beforehand what would stop it at its end",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await project.backup();
    await using target = await freshDatabase({ sql: "CREATE TABLE theirs (n int)" });
    await target.query(
      `CREATE SUBSCRIPTION held CONNECTION 'host=/nowhere dbname=none' PUBLICATION p
      WITH (connect = false)`,
    );
    try {
      const { exit, message } = await refused(project, [...named(project), "--swap"], target);
      assert.equal(exit, 4);
      assert.match(message, /: it holds subscription "held"; nothing was changed$/);
    } finally {
      await target.query("ALTER SUBSCRIPTION held SET (slot_name = NONE); DROP SUBSCRIPTION held");
    }
  },
});
