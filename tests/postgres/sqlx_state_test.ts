import assert from "assert";
import { freshDatabase } from "../database.ts";
import { loadCases, SQLX_VERSIONS, tableDefinition } from "../fixtures/sqlx_cases.ts";
import { DEVIATIONS, FAILURES } from "../fixtures/sqlx_expectations.ts";
import { runObservatory } from "../fixtures/sqlx_observatory.ts";
import { play } from "../fixtures/sqlx_play.ts";
import { openSite, readCatalog, takeByHand } from "../fixtures/sqlx_site.ts";

const CASES = loadCases();

for (const recorded of CASES) {
  Deno.test(`migrate: leaves what sqlx leaves in the case ${recorded.name}`, async () => {
    await using site = await openSite();
    await play(site, recorded, { versions: SQLX_VERSIONS });
  });
}

Deno.test("migrate: every difference that is expected belongs to a run of a recorded case", () => {
  const expectations = [
    ...Object.entries(DEVIATIONS).map(([name, { steps }]) => [name, steps] as const),
    ...Object.entries(FAILURES),
  ];
  for (const [name, steps] of expectations) {
    const recorded = CASES.find((one) => one.name === name);
    for (const index of Object.keys(steps).map(Number)) {
      const step = recorded?.steps[index];
      assert.ok(step !== undefined && "run" in step, `step ${index} of "${name}" is no run`);
    }
  }
});

Deno.test("docs/COMPATIBILITY.md: tells the differences that are expected", async () => {
  const path = new URL("../../docs/COMPATIBILITY.md", import.meta.url);
  const cells = (await Deno.readTextFile(path)).split("\n")
    .map((line) => line.split("|")[1]?.trim());
  for (const { row } of Object.values(DEVIATIONS)) {
    assert.ok(row === undefined || cells.includes(row), `no row begins with "${row}"`);
  }
});

for (const version of SQLX_VERSIONS) {
  Deno.test(`migrate: makes the table as sqlx ${version} defines it`, async () => {
    await using ours = await openSite();
    await takeByHand(ours, { write: { "migrations/1_nothing.sql": "SELECT 1;\n" } });
    assert.equal((await runObservatory(ours, ["migrate"])).exit, 0);
    await using theirs = await openSite();
    await theirs.observer.query(tableDefinition(version));
    await theirs.observer.query("SET search_path = public");
    const catalog = await readCatalog(theirs);
    assert.ok(catalog.length >= 8);
    assert.deepEqual(await readCatalog(ours), catalog);
  });
}

Deno.test("migrate: has sqlx's session settings where the database's own are others", async () => {
  const database = await freshDatabase({ prefix: "sqlx" });
  await database.query(
    `ALTER DATABASE "${database.name}" SET timezone = 'America/New_York';
     ALTER DATABASE "${database.name}" SET datestyle = 'German, DMY';
     ALTER DATABASE "${database.name}" SET extra_float_digits = 0;
     ALTER DATABASE "${database.name}" SET client_encoding = 'LATIN1';`,
  );
  await using site = await openSite(database);
  const session = CASES.find(({ name }) => name === "session");
  assert.ok(session !== undefined);
  await play(site, session, { versions: SQLX_VERSIONS });
});
