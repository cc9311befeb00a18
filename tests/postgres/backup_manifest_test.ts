/** What a manifest tells of its database, and what a role needs to back it up. */
import assert from "assert";
import { hostname } from "node:os";
import { VERSION } from "../../core/version.ts";
import { startServer } from "../../tasks/server.ts";
import { backupProject, filesBelow, restoreByHand } from "../backup_project.ts";
import { SOURCE } from "../backup_source.ts";
import { clientToolsMissing, openDatabase, sharedServer, uniqueName } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("tests of manifests", await clientToolsMissing());

/** Roles of one test, dropped with what they own. */
async function roles(...prefixes: string[]) {
  const maintenance = openDatabase(await sharedServer(), "postgres");
  const names = prefixes.map((prefix) => uniqueName(prefix));
  for (const name of names) {
    await maintenance.query(`CREATE ROLE ${name} LOGIN PASSWORD 'a secret of ${name}'`);
  }
  return {
    names,
    async [Symbol.asyncDispose]() {
      for (const name of names) await maintenance.query(`DROP ROLE ${name}`);
    },
  };
}

Deno.test({
  name: "manifest: tells of the source, the client, and what is in the dump",
  ignore,
  async fn() {
    await using project = await backupProject({
      files: { "migrations/20240101000000_first.sql": "CREATE TABLE first (n int);" },
      sql: SOURCE,
    });
    assert.equal((await project.run(["migrate"])).exit, 0);
    const [facts] = await project.database.query<Record<string, string>>(
      `SELECT system_identifier::text AS id, current_setting('server_version') AS version,
         current_setting('server_version_num')::text AS number,
         (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS oid,
         (SELECT encode(checksum, 'hex') FROM _sqlx_migrations) AS checksum
       FROM pg_control_system()`,
    );
    const before = Date.now();
    const { manifest, stderr } = await project.backup(["--note", "before the\nrelease: 'x'"]);
    const after = Date.now();
    assert.equal(manifest.schema, 1);
    assert.equal(manifest.kind, "full");
    assert.equal(manifest.note, "before the\nrelease: 'x'");
    assert.deepEqual(manifest.tool, { name: "observatory", version: VERSION });
    assert.equal(manifest.host, hostname());
    const { source } = manifest;
    assert.deepEqual(
      [source.system_identifier, source.server_version, String(source.server_version_num)],
      [facts?.["id"], facts?.["version"], facts?.["number"]],
    );
    assert.deepEqual([source.database, String(source.database_oid)], [
      project.database.name,
      facts?.["oid"],
    ]);
    assert.deepEqual([source.encoding, source.owner, source.in_recovery], [
      "UTF8",
      "postgres",
      false,
    ]);
    assert.match(source.lsn ?? "", /^[0-9A-F]+\/[0-9A-F]+$/);
    assert.match(source.snapshot, /^[0-9A-F]+-[0-9A-F]+-\d+$/);
    assert.ok(source.size > 1_000_000);
    assert.ok(manifest.arguments.includes(`--snapshot=${source.snapshot}`));
    assert.match(manifest.client.path, /\/pg_dump$/);
    assert.match(manifest.client.version, /^\d+\.\d+/);
    const [created, finished] = [manifest.created_at, manifest.finished_at].map(Date.parse);
    assert.ok(
      before <= (created ?? 0) && (created ?? 0) <= (finished ?? 0) && (finished ?? 0) <= after,
    );
    assert.equal(manifest.duration_ms, (finished ?? 0) - (created ?? 0));
    // The name tells the time in UTC, wherever this runs.
    const digits = new Date(created ?? 0).toISOString().slice(0, 10).replaceAll("-", "");
    assert.ok(manifest.id.startsWith(`${project.database.name}_backup_${digits}_`), manifest.id);
    assert.deepEqual(manifest.migrations, {
      applied: 1,
      last: { version: "20240101000000", description: "first", checksum: facts?.["checksum"] },
    });
    assert.equal(manifest.large_objects, 3);
    assert.equal(manifest.timescaledb, null);
    assert.deepEqual(manifest.extensions.map(({ name, schema }) => [name, schema]), [
      ["plpgsql", "pg_catalog"],
    ]);
    const sequences = Object.fromEntries(
      manifest.sequences.map(({ schema, name, last_value }) => [`${schema}.${name}`, last_value]),
    );
    assert.equal(sequences["public.counter"], "8");
    assert.equal(sequences["public.unused"], null);
    assert.equal(sequences["public.people_id_seq"], "500");
    assert.deepEqual([manifest.encryption, manifest.plaintext, manifest.globals], [
      null,
      null,
      null,
    ]);
    assert.deepEqual(manifest.warnings, []);
    assert.doesNotMatch(stderr, /WARNING/);
    assert.match(stderr, /\[SUCCESS\] Backup completed successfully\n$/);
  },
});

Deno.test({
  name: "manifest: names the roles that own something or are granted something",
  ignore,
  async fn() {
    await using project = await backupProject();
    await using made = await roles("owner", "reader", "default", "nobody");
    const [owner = "", reader = "", defaults = "", nobody = ""] = made.names;
    await project.database.query(
      `CREATE TABLE t (n int); ALTER TABLE t OWNER TO ${owner}; CREATE SCHEMA s;
       GRANT SELECT ON t TO ${reader}; ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO ${defaults}`,
    );
    try {
      const { manifest } = await project.backup();
      assert.deepEqual(manifest.roles, [owner, reader, defaults, "postgres"].sort());
      assert.equal(manifest.roles.includes(nobody), false);
      const line = manifest.restore_by_hand.find((each) => each.startsWith("# These roles"));
      assert.equal(line, `# These roles have to exist: ${manifest.roles.join(", ")}`);
    } finally {
      await project.database.drop();
    }
  },
});

Deno.test({
  name: "backup --globals: roles without their passwords, beside every format",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t (n int)" });
    await using made = await roles("globals");
    const [role = ""] = made.names;
    for (const format of ["custom", "plain", "directory"]) {
      const { manifest } = await project.backup(["--globals", "--format", format]);
      assert.equal(manifest.globals, `${manifest.id}.globals.sql`);
      const text = await Deno.readTextFile(`${project.backups}/${manifest.globals}`);
      assert.match(text, new RegExp(`^CREATE ROLE ${role};$`, "m"));
      assert.doesNotMatch(text, /secret|PASSWORD|SCRAM/i);
      assert.match(text, /-- PostgreSQL database cluster dump complete\n/);
      assert.deepEqual(
        (await project.files()).filter((name) => name.startsWith(manifest.id)),
        [...manifest.files.map(({ name }) => name), `${manifest.id}.manifest.json`].sort(),
      );
      const verified = await project.run(["backup", "verify", manifest.id]);
      assert.equal(verified.exit, 0, verified.stderr);
      assert.ok(
        manifest.restore_by_hand.some((line) =>
          line === `psql --no-psqlrc --dbname postgres --file ${manifest.globals}`
        ),
      );
    }
    // As an operator restores it on another server: the roles first, and what belongs to them.
    await project.database.query(`ALTER TABLE t OWNER TO ${role}`);
    const last = await project.backup(["--globals"]);
    await using server = await startServer();
    const { code, stderr } = await restoreByHand(last.manifest, {
      directory: project.backups,
      server,
    });
    assert.equal(code, 0, stderr);
    const [row] = await openDatabase(server, project.database.name).query(
      "SELECT tableowner FROM pg_tables WHERE tablename = 't'",
    );
    assert.deepEqual(row, { tableowner: role });
    await project.database.drop();
  },
});

Deno.test({
  name: "backup: a role that may not read everything fails, names the table, and leaves nothing",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql: `CREATE TABLE open (n int); CREATE TABLE closed (n int); INSERT INTO closed VALUES (1);
        CREATE SCHEMA mine; CREATE TABLE mine.own (n int)`,
    });
    await using made = await roles("limited");
    const [role = ""] = made.names;
    await project.database.query(
      `GRANT SELECT ON open TO ${role}; GRANT USAGE ON SCHEMA mine TO ${role};
       GRANT SELECT ON mine.own TO ${role}`,
    );
    const url = new URL(project.database.url);
    url.username = role;
    url.password = "x";
    const env = { DATABASE_URL: url.href };
    try {
      for (const format of ["custom", "plain", "directory"]) {
        for (const fingerprint of ["counts", "none"]) {
          const line = ["backup", "--format", format, "--fingerprint", fingerprint];
          const { exit, stdout, stderr } = await project.run(line, { env });
          assert.deepEqual([exit, stdout], [1, ""], stderr);
          assert.match(stderr, /\[ERROR\] Cannot .*permission denied for table closed/);
          assert.deepEqual(await project.files(), []);
        }
      }
      const allowed = await project.backup(["--tables", "open,mine.*"], { env });
      assert.deepEqual(allowed.manifest.tables.map(({ name }) => name).sort(), ["open", "own"]);
    } finally {
      await project.database.drop();
    }
  },
});

Deno.test({
  name: "backup: rows that a policy hides are no reason for a backup without them",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql:
        `CREATE TABLE notes (owner text, text text); INSERT INTO notes VALUES ('a', 'x'), ('b', 'y');
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON notes USING (owner = 'a')`,
    });
    await using made = await roles("policy");
    const [role = ""] = made.names;
    await project.database.query(`GRANT SELECT ON notes TO ${role}`);
    const url = new URL(project.database.url);
    url.username = role;
    const env = { DATABASE_URL: url.href };
    try {
      for (const fingerprint of ["counts", "none"]) {
        const line = ["backup", "--fingerprint", fingerprint];
        const { exit, stderr } = await project.run(line, { env });
        assert.equal(exit, 1);
        assert.match(stderr, /\[ERROR\] .*row-level security policy for table "notes"/);
        assert.deepEqual(await project.files(), []);
      }
      await project.database.query(`ALTER ROLE ${role} BYPASSRLS`);
      const { manifest } = await project.backup([], { env });
      assert.deepEqual(manifest.tables.map(({ rows }) => rows), [2]);
    } finally {
      await project.database.drop();
    }
  },
});

Deno.test({
  name: "backup: settings of a role that end long statements and idle sessions do not end it",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    await project.database.query(
      ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
        .map((name) => `ALTER DATABASE ${project.database.name} SET ${name} = '40ms'`).join(";"),
    );
    const holder = await project.database.connect();
    await holder.query("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0");
    await holder.query("BEGIN; LOCK TABLE t");
    const run = project.start(["backup"]);
    await new Promise((resolve) => setTimeout(resolve, 700));
    await holder.query("ROLLBACK");
    await holder.end();
    const { exit, stderr } = await run.ended;
    assert.equal(exit, 0, stderr);
  },
});

Deno.test({
  name: "backup: what is in the way of its directory is told, and nothing is changed",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t (n int)" });
    const file = `${project.directory}/a-file`;
    await Deno.writeTextFile(file, "of somebody");
    for (const directory of [file, `${file}/below`]) {
      const { exit, stderr } = await project.run(["backup", "--output-dir", directory]);
      assert.equal(exit, 1);
      assert.match(stderr, /\[ERROR\] Cannot [^\n]*a-file/);
      assert.doesNotMatch(stderr, /os error|Error:/);
    }
    assert.equal(await Deno.readTextFile(file), "of somebody");
    const below = `${project.directory}/not/yet/there`;
    const made = await project.backup(["--output-dir", `${below}/`]);
    assert.equal(made.dump, `${below}/${made.manifest.id}.dump`);
    assert.equal(((await Deno.stat(`${project.directory}/not`)).mode ?? 0) & 0o777, 0o700);
    assert.equal((await filesBelow(below)).length, 2);
  },
});
