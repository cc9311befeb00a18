/** Single tables, with all that belongs to them; rows into tables that are there. */
import assert from "assert";
import { type BackupProject, backupProject } from "../backup_project.ts";
import { clientToolsMissing, freshDatabase, type TestDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("tests of restores of tables", missing);

const SQL = `
  CREATE TYPE mood AS ENUM ('good', 'bad');
  CREATE SCHEMA stats;
  CREATE TABLE projects (id bigserial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood DEFAULT 'good');
  CREATE TABLE traces (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project bigint NOT NULL REFERENCES projects, at timestamptz NOT NULL DEFAULT now(),
    CHECK (id > 0));
  CREATE INDEX traces_at ON traces (at) WHERE project > 1;
  CREATE STATISTICS traces_stats ON project, at FROM traces;
  COMMENT ON TABLE traces IS 'What was asked';
  COMMENT ON COLUMN traces.at IS 'When';
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.at := coalesce(NEW.at, now()); RETURN NEW; END $$;
  CREATE TRIGGER touch BEFORE UPDATE ON traces FOR EACH ROW EXECUTE FUNCTION touch();
  ALTER TABLE traces ENABLE ROW LEVEL SECURITY;
  CREATE POLICY all_of_them ON traces USING (true);
  GRANT SELECT ON traces TO PUBLIC;
  CREATE TABLE stats.daily (day date, n int) PARTITION BY RANGE (day);
  CREATE TABLE stats.daily_1 PARTITION OF stats.daily FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
  CREATE TABLE stats.daily_2 PARTITION OF stats.daily DEFAULT;
  CREATE INDEX ON stats.daily (day);
  CREATE VIEW recent AS SELECT * FROM traces;
  INSERT INTO projects (name) VALUES ('a'), ('b'), ('c');
  INSERT INTO traces (project) SELECT n % 3 + 1 FROM generate_series(1, 100) n;
  INSERT INTO stats.daily SELECT DATE '2024-01-01' + n, n FROM generate_series(0, 59) n;`;

async function restore(
  project: BackupProject,
  { target, args }: { readonly target: TestDatabase; readonly args: readonly string[] },
): Promise<string> {
  const run = await project.run(
    ["restore", "latest", "--database", project.database.name, "--force", ...args],
    { env: { DATABASE_URL: target.url } },
  );
  assert.equal(run.exit, 0, run.stderr);
  return run.stderr;
}

/** Everything that hangs on a table, as the server describes it. */
const BELONGINGS = `
  SELECT 'index ' || pg_get_indexdef(indexrelid) AS it FROM pg_index WHERE indrelid = $1::text::regclass
  UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = $1::text::regclass
  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger
    WHERE tgrelid = $1::text::regclass AND NOT tgisinternal
  UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = $1::text::regclass
  UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxrelid = $1::text::regclass
  UNION ALL SELECT 'comment ' || description FROM pg_description
    WHERE objoid = $1::text::regclass AND classoid = 'pg_class'::regclass
  UNION ALL SELECT 'privileges ' || relacl::text FROM pg_class WHERE oid = $1::text::regclass
  UNION ALL SELECT 'identity ' || pg_get_serial_sequence($1::text, 'id')
  UNION ALL SELECT 'next ' || nextval(pg_get_serial_sequence($1::text, 'id'))
  ORDER BY 1`;

Deno.test({
  name: "restore --tables: a table comes with its indexes, keys, sequence, triggers and privileges",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await project.backup();
    await using target = await freshDatabase();
    const said = await restore(project, { target, args: ["--tables", "traces,projects"] });
    assert.doesNotMatch(said, /left out/);
    for (const table of ["public.traces", "public.projects"]) {
      const found = await target.query(BELONGINGS, [table]);
      assert.ok(found.length > 3, table);
      assert.deepEqual(found, await project.database.query(BELONGINGS, [table]), table);
    }
    const [rows] = await target.query<{ traces: string; others: string | null }>(
      "SELECT (SELECT count(*) FROM traces) AS traces, to_regclass('recent')::text AS others",
    );
    assert.deepEqual(rows, { traces: "100", others: null });
    // What was left out is not there.
    assert.deepEqual(await target.query("SELECT FROM pg_namespace WHERE nspname = 'stats'"), []);
  },
});

Deno.test({
  name:
    "restore --tables: partitions go with their table, and a key to what is not there is left out",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await project.backup();
    await using target = await freshDatabase();
    await restore(project, { target, args: ["--tables", "stats.daily"] });
    const [daily] = await target.query<{ n: string; parts: string; indexes: string }>(
      `SELECT (SELECT count(*) FROM stats.daily) AS n,
        (SELECT count(*) FROM pg_inherits WHERE inhparent = 'stats.daily'::regclass) AS parts,
        (SELECT count(*) FROM pg_indexes WHERE schemaname = 'stats') AS indexes`,
    );
    assert.deepEqual(daily, { n: "60", parts: "2", indexes: "3" });
    const said = await restore(project, { target, args: ["--tables", "traces"] });
    assert.match(
      said,
      /FK CONSTRAINT public\.traces traces_project_fkey is left out: .*public\.projects/,
    );
    const [traces] = await target.query<{ n: string; keys: string }>(
      `SELECT (SELECT count(*) FROM traces) AS n,
        (SELECT count(*) FROM pg_constraint WHERE conrelid = 'traces'::regclass AND contype = 'f') AS keys`,
    );
    assert.deepEqual(traces, { n: "100", keys: "0" });
    // One partition alone is a table of its own.
    await using alone = await freshDatabase();
    const told = await restore(project, { target: alone, args: ["--tables", "stats.daily_1"] });
    assert.match(told, /TABLE ATTACH stats\.daily_1 is left out/);
    assert.deepEqual(await alone.query("SELECT count(*)::int AS n FROM stats.daily_1"), [{
      n: 31,
    }]);
  },
});

Deno.test({
  name: "restore in steps: the schema, then the rows, past keys and triggers",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql: `${SQL}
        CREATE TABLE audit (what text);
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN INSERT INTO audit VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
        CREATE TRIGGER noted AFTER INSERT ON projects FOR EACH ROW EXECUTE FUNCTION noted();
        CREATE TABLE a_circle (id int PRIMARY KEY, other int);
        CREATE TABLE b_circle (id int PRIMARY KEY, other int REFERENCES a_circle);
        INSERT INTO a_circle VALUES (1, 1); INSERT INTO b_circle VALUES (1, 1);
        ALTER TABLE a_circle ADD FOREIGN KEY (other) REFERENCES b_circle`,
    });
    await project.backup();
    await using target = await freshDatabase();
    await restore(project, { target, args: ["--schema-only"] });
    await restore(project, { target, args: ["--data-only"] });
    const [counts] = await target.query(
      `SELECT (SELECT count(*) FROM projects)::int AS projects, (SELECT count(*) FROM traces)::int AS traces,
        (SELECT count(*) FROM audit)::int AS audit, (SELECT count(*) FROM a_circle)::int AS circle,
        nextval('projects_id_seq')::int AS next`,
    );
    assert.deepEqual(counts, { projects: 3, traces: 100, audit: 0, circle: 1, next: 4 });
  },
});

Deno.test({
  name:
    "restore --data-only: as no superuser, in the order of the keys; circles and triggers are refused",
  ignore,
  async fn() {
    const role = `plain_${crypto.randomUUID().slice(0, 8)}`;
    await using project = await backupProject({
      sql: `CREATE TABLE a_child (id int PRIMARY KEY, parent int);
        CREATE TABLE b_parent (id int PRIMARY KEY);
        INSERT INTO b_parent SELECT generate_series(1, 9);
        INSERT INTO a_child SELECT n, n FROM generate_series(1, 9) n;
        ALTER TABLE a_child ADD FOREIGN KEY (parent) REFERENCES b_parent`,
    });
    await project.backup();
    await using target = await freshDatabase();
    await project.database.query(`CREATE ROLE ${role} LOGIN`);
    try {
      await target.query(`GRANT ALL ON SCHEMA public TO ${role}`);
      const url = target.url.replace("//postgres@", `//${role}@`);
      const env = { DATABASE_URL: url };
      const line = ["restore", "latest", "--database", project.database.name, "--force"];
      const schema = await project.run([...line, "--schema-only", "--no-owner"], { env });
      assert.equal(schema.exit, 0, schema.stderr);
      const data = await project.run([...line, "--data-only"], { env });
      assert.equal(data.exit, 0, data.stderr);
      assert.deepEqual(await target.query("SELECT count(*)::int AS n FROM a_child"), [{ n: 9 }]);
      await target.query(`TRUNCATE a_child, b_parent;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT ON a_child FOR EACH ROW EXECUTE FUNCTION f();
        ALTER TABLE b_parent ADD COLUMN other int REFERENCES a_child`);
      const refused = await project.run([...line, "--data-only"], { env });
      assert.equal(refused.exit, 4, refused.stdout);
      assert.match(refused.stderr, /triggers of public\.a_child would fire/);
      assert.match(refused.stderr, /keys of its tables go round in a circle/);
    } finally {
      await target.query(`DROP OWNED BY ${role} CASCADE`);
      await project.database.query(`DROP ROLE ${role}`);
    }
  },
});

Deno.test({
  name: "restore --data-only: into a migrated database the bookkeeping stays as it is",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql: `CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2);
        CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text);
        INSERT INTO _sqlx_migrations VALUES (1, 'one'), (2, 'two');
        CREATE SCHEMA observatory; CREATE TABLE observatory.seeds (path text);
        INSERT INTO observatory.seeds VALUES ('theirs')`,
    });
    await project.backup();
    await using target = await freshDatabase({
      sql: `CREATE TABLE t (n int);
        CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text);
        INSERT INTO _sqlx_migrations VALUES (1, 'one'), (2, 'two'), (3, 'three');
        CREATE SCHEMA observatory; CREATE TABLE observatory.seeds (path text);
        INSERT INTO observatory.seeds VALUES ('own')`,
    });
    await restore(project, { target, args: ["--data-only"] });
    const [row] = await target.query(
      `SELECT (SELECT count(*) FROM t)::int AS t, (SELECT count(*) FROM _sqlx_migrations)::int AS migrations,
        (SELECT string_agg(path, ',') FROM observatory.seeds) AS seeds`,
    );
    assert.deepEqual(row, { t: 2, migrations: 3, seeds: "own" });
  },
});
