import assert from "assert";
import { DatabaseError, type QueryResult } from "../../core/plugin.ts";
import { makeStateTable } from "../../core/state_table.ts";
import { freshDatabase, openDatabase, sharedServer, uniqueName } from "../database.ts";
import { runDatabase } from "./run_database.ts";

const TABLE = { name: "things", columns: { name: "text PRIMARY KEY", size: "bigint NOT NULL" } };

const COLUMNS = `SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_attribute a WHERE a.attrelid = to_regclass('observatory.things') AND a.attnum > 0 ORDER BY a.attnum`;

Deno.test("stateTable: makes the schema and the table once, and adds columns that come later", async () => {
  const database = await freshDatabase();
  try {
    await using run = runDatabase(database);
    assert.equal(await run.stateTable(TABLE), "observatory.things");
    assert.equal(await run.stateTable(TABLE), "observatory.things");
    await run.query("INSERT INTO observatory.things VALUES ('a', 1)");
    const later = {
      ...TABLE,
      columns: { ...TABLE.columns, note: "text", at: "timestamptz DEFAULT now()" },
    };
    assert.equal(await run.stateTable(later), "observatory.things");
    assert.deepEqual(await database.query(COLUMNS), [
      { name: "name", type: "text" },
      { name: "size", type: "bigint" },
      { name: "note", type: "text" },
      { name: "at", type: "timestamp with time zone" },
    ]);
    // An older program finds all that it needs.
    assert.equal(await run.stateTable(TABLE), "observatory.things");
    assert.deepEqual(run.lines.filter((line) => line.startsWith("[WARNING]")), []);
  } finally {
    await database.drop();
  }
});

Deno.test("stateTable: a read-only run makes nothing, and finds what is there", async () => {
  const database = await freshDatabase();
  try {
    await using reading = runDatabase({ ...database, readOnly: true });
    assert.equal(await reading.stateTable(TABLE), undefined);
    assert.deepEqual(await database.query(COLUMNS), []);
    await using writing = runDatabase(database);
    await writing.stateTable(TABLE);
    assert.equal(await reading.stateTable(TABLE), "observatory.things");
    assert.deepEqual(reading.lines.filter((line) => line.startsWith("[WARNING]")), []);
  } finally {
    await database.drop();
  }
});

Deno.test("stateTable: a role that may not make or use it goes on with one warning", async () => {
  const role = uniqueName("role");
  const server = openDatabase(await sharedServer(), "postgres");
  await server.query(`CREATE ROLE ${role} LOGIN`);
  const database = await freshDatabase();
  try {
    await using limited = runDatabase({ ...database, parameters: { user: role } });
    assert.equal(await limited.stateTable(TABLE), undefined);
    const warnings = limited.lines.filter((line) => line.startsWith("[WARNING]"));
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? "",
      /^\[WARNING\] Cannot keep state in observatory\.things: permission denied/,
    );
    await using owner = runDatabase(database);
    await owner.stateTable(TABLE);
    assert.equal(await limited.stateTable(TABLE), undefined);
    assert.match(limited.lines.at(-1) ?? "", /the role may not use the table/);
    await database.query(
      `GRANT USAGE ON SCHEMA observatory TO ${role};
       GRANT SELECT, INSERT, UPDATE, DELETE ON observatory.things TO ${role}`,
    );
    assert.equal(await limited.stateTable(TABLE), "observatory.things");
  } finally {
    await database.drop();
    await server.query(`DROP ROLE ${role}`);
  }
});

Deno.test("stateTable: many runs at once make one table", async () => {
  const database = await freshDatabase();
  try {
    const runs = Array.from({ length: 8 }, () => runDatabase(database));
    try {
      const names = await Promise.all(runs.map((run) => run.stateTable(TABLE)));
      assert.deepEqual(new Set(names), new Set(["observatory.things"]));
    } finally {
      await Promise.all(runs.map((run) => run.close()));
    }
    assert.equal((await database.query(COLUMNS)).length, 2);
  } finally {
    await database.drop();
  }
});

Deno.test("stateTable: another failure of the server is not swallowed, and names are checked", async () => {
  const failing = {
    query: (): Promise<QueryResult<never>> =>
      Promise.reject(
        new DatabaseError({ severity: "ERROR", sqlstate: "53100", message: "disk full" }),
      ),
    readOnly: false,
    warn: (message: string) => assert.fail(message),
  };
  await assert.rejects(makeStateTable(TABLE, failing), { message: "disk full" });
  await assert.rejects(makeStateTable({ ...TABLE, name: 'x"; DROP' }, failing), /is no name/);
});
