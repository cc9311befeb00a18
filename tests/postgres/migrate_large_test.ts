import assert from "assert";
import { createHash } from "node:crypto";
import type { Host } from "../../core/host.ts";
import { migrationProject } from "../migration_project.ts";

/** A file of more than 1 MiB with one row in each of its statements, which are on lines 3, 4, 5 … */
function largeFile(rows: number, last = ""): string {
  const lines = ["-- ä", "CREATE TABLE large (n int, filling text);"];
  for (let n = 1; n <= rows; n++) {
    lines.push(`INSERT INTO large VALUES (${n}, '${"x".repeat(200)}');`);
  }
  return `${lines.join("\n")}\n${last}`;
}

const ROWS = 12_000;
const STATE = `SELECT version, encode(checksum, 'hex') AS checksum, success FROM _sqlx_migrations`;

Deno.test("migrate: applies a large file in pieces, whether it comes first or later", async () => {
  const text = largeFile(ROWS);
  const checksum = createHash("sha384").update(text).digest("hex");
  for (const before of [{}, { "migrations/1_small.sql": "SELECT 1;" }]) {
    await using project = await migrationProject({
      files: { ...before, "migrations/2_large.sql": text },
    });
    const { exit, stderr } = await project.run(["migrate"]);
    assert.equal(exit, 0, stderr);
    assert.deepEqual(await project.database.query("SELECT count(*)::int FROM large"), [
      { count: ROWS },
    ]);
    assert.deepEqual(await project.database.query(`${STATE} WHERE version = 2`), [
      { version: "2", checksum, success: true },
    ]);
    assert.equal((await project.run(["migrate"])).exit, 0);
  }
});

Deno.test("migrate: points into a large file, and keeps nothing of it", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_large.sql": largeFile(
        ROWS,
        "INSERT INTO large VALUES (1);  SELECT 1 / 0;\nSELECT 1;\n",
      ),
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.ok(stderr.includes(`1_large.sql:${ROWS + 3}:32: division by zero`), stderr);
  assert.deepEqual(
    await project.database.query(
      "SELECT to_regclass('large') AS large, count(*)::int FROM _sqlx_migrations",
    ),
    [{ large: null, count: 0 }],
  );
});

Deno.test("migrate: rolls back a large file that is found unfit while it is sent", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_large.sql": `BEGIN;\n${largeFile(ROWS, "COMMIT;\nSELECT 1;\n")}` },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 4);
  assert.ok(stderr.includes(`1_large.sql:${ROWS + 5}:1: this comes after the COMMIT`), stderr);
  assert.deepEqual(
    await project.database.query(
      "SELECT to_regclass('large') AS large, count(*)::int FROM _sqlx_migrations",
    ),
    [{ large: null, count: 0 }],
  );
});

Deno.test("migrate: keeps the options of a large file's own transaction", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_large.sql": `BEGIN ISOLATION LEVEL REPEATABLE READ;\n${
        largeFile(
          ROWS,
          "CREATE TABLE level AS SELECT current_setting('transaction_isolation') AS l;\nCOMMIT;\n",
        )
      }`,
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  assert.deepEqual(await project.database.query("SELECT l FROM level"), [{ l: "repeatable read" }]);
});

/** A host on which a file is another one each time it is streamed from the second time on. */
function changing(path: string): (host: Host) => Host {
  let streamed = 0;
  return (host) => ({
    ...host,
    files: {
      ...host.files,
      async stream(asked) {
        const stream = await host.files.stream(asked);
        if (!asked.endsWith(path) || ++streamed < 3) return stream;
        const more = new TextEncoder().encode("-- changed\n");
        return stream.pipeThrough(
          new TransformStream<Uint8Array, Uint8Array>({
            flush: (controller) => controller.enqueue(more),
          }),
        );
      },
    },
  });
}

Deno.test("migrate: records nothing of a large file that changes between the check and the sending", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_small.sql": "SELECT 1;", "migrations/2_large.sql": largeFile(ROWS) },
  });
  const { exit, stderr } = await project.run(["migrate"], { host: changing("2_large.sql") });
  assert.equal(exit, 1);
  assert.match(stderr, /2_large\.sql" was changed while this run was reading it/);
  assert.deepEqual(
    await project.database.query(
      "SELECT to_regclass('large') AS large, max(version) FROM _sqlx_migrations",
    ),
    [{ large: null, max: "1" }],
  );
});

Deno.test("migrate: sends a large file without a transaction statement by statement", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_large.sql": `-- no-transaction\n${
        largeFile(6000, "CREATE INDEX CONCURRENTLY i ON large (n);\n")
      }`,
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  assert.deepEqual(await project.database.query("SELECT count(*)::int FROM large"), [{
    count: 6000,
  }]);
  assert.equal((await project.database.query(STATE))[0]?.["success"], true);
});
