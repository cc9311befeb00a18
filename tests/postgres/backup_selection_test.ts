/** Patterns of tables: what they are resolved to is what pg_dump itself would dump. */
import assert from "assert";
import { join } from "node:path";
import { listTables } from "../../plugins/repository/counts.ts";
import { splitPatterns } from "../../plugins/repository/pattern.ts";
import { type Resolved, resolveSelection } from "../../plugins/backup/selection.ts";
import { backupProject, contentsOf, restored } from "../backup_project.ts";
import { clientMajors, runClient } from "../client_majors.ts";
import { ODD_NAMES } from "../backup_source.ts";
import { clientTools, clientToolsMissing, freshDatabase, type TestDatabase } from "../database.ts";
import { runDatabase } from "../core/run_database.ts";
import { skipWhenMissing } from "../skip.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("tests of backups of single tables", missing);
const { pgDump = "" } = await clientTools() ?? {};

const identifier = (name: string) => `"${name.replaceAll('"', '""')}"`;
const odd = `${identifier(ODD_NAMES.schema)}.${identifier(ODD_NAMES.table)}`;

const TABLES = `
  CREATE TABLE logs (n int); CREATE TABLE logs2 (n int); CREATE TABLE "Logs" (n int);
  CREATE TABLE log (n int); CREATE TABLE "lo.gs" (n int); CREATE TABLE lo$gs (n int);
  CREATE TABLE "a,b" (n int); CREATE TABLE "quo""te" (n int); CREATE TABLE "star*" (n int);
  CREATE TABLE "what?" (n int); CREATE TABLE "paren(s)" (n int); CREATE TABLE "pipe|d" (n int);
  CREATE TABLE "back\\slash" (n int); CREATE TABLE größe (n int); CREATE TABLE "ÄRGER" (n int);
  CREATE TABLE "ärger" (n int); CREATE TABLE "Ärger" (n int);
  CREATE TABLE "[set]" (n int); CREATE TABLE "two words" (n int); CREATE TABLE "x+y" (n int);
  CREATE VIEW logview AS SELECT * FROM logs; CREATE MATERIALIZED VIEW logmat AS SELECT * FROM logs;
  CREATE SEQUENCE logseq; CREATE INDEX logidx ON logs (n);
  CREATE SCHEMA other; CREATE TABLE other.logs (n int); CREATE TABLE other.hidden (n int);
  CREATE SCHEMA "Other"; CREATE TABLE "Other".logs (n int);
  CREATE SCHEMA ${identifier(ODD_NAMES.schema)}; CREATE TABLE ${odd} (n int);`;

const PATTERNS = [
  ...["logs", "LOGS", '"Logs"', "log*", "log?", "*", "l*s", "*2", "logs|log", "(logs)", "log[s2]"],
  ...['"lo.gs"', "lo.gs", "lo$gs", '"lo$gs"', "*$*", '"a,b"', '"quo""te"', '"star*"', "star*"],
  ...[
    '"what?"',
    "what?",
    '"paren(s)"',
    '"pipe|d"',
    '"back\\slash"',
    "größe",
    "GRÖSSE",
    '"ÄRGER"',
    "ÄRGER",
  ],
  ...['"[set]"', "[set]", '"two words"', "two words", "two*", '"x+y"', "x+y", "log+s", "l.*"],
  ...[
    "other.logs",
    "other.*",
    "*.logs",
    "o*.l*",
    '"Other".logs',
    "OTHER.logs",
    "hidden",
    "*.hidden",
  ],
  ...[
    "public.logs",
    "pub?ic.logs",
    "logview",
    "logmat",
    "logseq",
    "logidx",
    odd,
    "*emoji*",
    "*😀*.*",
  ],
  ...["pg_class", "pg_catalog.pg_class", "information_schema.tables", '"LOGS"', 'lo"GS"', '"lo"gs'],
  ...["*.*", "log.", "^logs", "logs$", "\\d", "log{1}", "größ*"],
];

Deno.test({
  name: "patterns: each is resolved to what pg_dump finds for it, or to nothing as there",
  ignore,
  async fn() {
    await using database = await freshDatabase({ sql: TABLES });
    await using run = runDatabase(database);
    const session = await run.session();
    const matched = new Set<string>();
    for (const pattern of PATTERNS) {
      const found = await dumpedBy(database, pattern);
      let resolved: readonly string[];
      try {
        resolved = (await resolveSelection(session, { tables: [pattern], exclude: [] }))
          .resolved_tables;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        assert.match(
          error.message,
          /^Cannot (back up: no table matches|read the pattern) /,
          pattern,
        );
        assert.deepEqual(found, [], `${pattern}: ${error.message}`);
        continue;
      }
      assert.deepEqual([...resolved].sort(), found, pattern);
      for (const each of found) matched.add(each);
    }
    assert.ok(matched.size >= 24, `${matched.size} were matched`);
  },
});

/** What pg_dump dumps for a pattern, each as SQL writes it; nothing when it finds nothing. */
async function dumpedBy(database: TestDatabase, pattern: string): Promise<string[]> {
  const { code, stdout, stderr } = await runClient(pgDump, {
    args: [
      ...["--format=plain", "--schema-only", `--table=${pattern}`],
      `--dbname=${database.url}`,
    ],
  });
  if (code !== 0) {
    assert.match(stderr, /no matching tables were found|improper qualified name|cross-database/);
    return [];
  }
  const text = new TextDecoder().decode(stdout);
  const created = [...text.matchAll(
    /^CREATE (?:TABLE|VIEW|MATERIALIZED VIEW|SEQUENCE) ((?:"(?:[^"]|"")+"|\w+)\.(?:"(?:[^"]|"")+"|[\p{L}\p{N}_$]+))/gmu,
  )].map(([, name = ""]) => name.replaceAll(/(?<=^|\.)([^".]+)(?=$|\.)/g, '"$1"'));
  // The server's own tables are in no backup, whatever the pattern is.
  return created.filter((name) => !/^"(pg_catalog|information_schema)"\./.test(name)).sort();
}

Deno.test("patterns: a list is split at its commas, but for those between quotes", () => {
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ["projects,models,traces", ["projects", "models", "traces"]],
    [" a , b ", ["a", "b"]],
    ['"a,b",c', ['"a,b"', "c"]],
    ['"a"",b",c', ['"a"",b"', "c"]],
    ['s."a,b"', ['s."a,b"']],
    [",,", []],
    ["", []],
    ['"open,a', ['"open,a']],
  ];
  for (const [list, patterns] of lists) assert.deepEqual(splitPatterns(list), patterns, list);
});

/** Which tables' rows a backup says that it holds. */
async function counted(database: TestDatabase, wanted: { tables?: string[]; exclude?: string[] }) {
  await using run = runDatabase(database);
  const session = await run.session();
  const { tables = [], exclude = [] } = wanted;
  const selection: Resolved = await resolveSelection(session, { tables, exclude });
  const found = await listTables(session, { counted: selection, timescale: false, views: true });
  return { selection, names: found.map(({ schema, name }) => `${schema}.${name}`).sort() };
}

const FAMILIES = `
  CREATE TABLE events (day date, what text) PARTITION BY RANGE (day);
  CREATE TABLE events_23 PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
  CREATE SCHEMA archive;
  CREATE TABLE archive.events_24 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')
    PARTITION BY HASH (what);
  CREATE TABLE archive.a PARTITION OF archive.events_24 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE archive.b PARTITION OF archive.events_24 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  INSERT INTO events SELECT date '2023-06-01' + i, 'event ' || i FROM generate_series(1, 400) i;
  CREATE TABLE vehicles (name text);
  CREATE TABLE cars (doors int) INHERITS (vehicles);
  CREATE TABLE sportscars () INHERITS (cars);
  INSERT INTO vehicles VALUES ('bike'); INSERT INTO sportscars VALUES ('roadster', 2);
  CREATE TABLE owners (id serial PRIMARY KEY, name text);
  INSERT INTO owners (name) VALUES ('one'), ('two');
  CREATE TABLE owned (owner int CONSTRAINT "of; whom" REFERENCES owners, what text);
  INSERT INTO owned VALUES (1, 'car');
  CREATE TABLE self (id int PRIMARY KEY, parent int REFERENCES self);
  CREATE VIEW named AS SELECT name FROM owners;
  CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM owners;
  CREATE SCHEMA ${identifier(ODD_NAMES.schema)};
  CREATE TABLE ${odd} ("a;b" text); INSERT INTO ${odd} VALUES ('x'), ('y');`;

const ALL = [
  ...["archive.a", "archive.b", "public.cars", "public.counted", "public.events_23"],
  ...["public.owned", "public.owners", "public.self", "public.sportscars", "public.vehicles"],
  `${ODD_NAMES.schema}.${ODD_NAMES.table}`,
].sort();

Deno.test({
  name: "selection: partitions and children go with their table, wherever they are",
  async fn() {
    await using database = await freshDatabase({ sql: FAMILIES });
    assert.deepEqual((await counted(database, {})).names, ALL);
    const only = async (...tables: string[]) => (await counted(database, { tables })).names;
    assert.deepEqual(await only("events"), ["archive.a", "archive.b", "public.events_23"]);
    assert.deepEqual(await only("archive.events_24"), ["archive.a", "archive.b"]);
    assert.deepEqual(await only("archive.a"), ["archive.a"]);
    assert.deepEqual(await only("vehicles"), [
      "public.cars",
      "public.sportscars",
      "public.vehicles",
    ]);
    assert.deepEqual(await only("cars"), ["public.cars", "public.sportscars"]);
    assert.deepEqual(await only("owners", "named"), ["public.owners"]);
    assert.deepEqual(await only("counted"), ["public.counted"]);
    assert.deepEqual(await only(odd), [`${ODD_NAMES.schema}.${ODD_NAMES.table}`]);
    const without = async (...exclude: string[]) => (await counted(database, { exclude })).names;
    assert.deepEqual(
      await without("events", "vehicles"),
      ALL.filter((name) => !/^archive|events|vehicles|cars/.test(name)),
    );
    const both = await counted(database, { tables: ["events", "cars"], exclude: ["archive.*"] });
    assert.deepEqual(both.names, ["public.cars", "public.events_23", "public.sportscars"]);
  },
});

Deno.test({
  name: "selection: what cannot be is refused, all patterns that match nothing at once",
  async fn() {
    await using database = await freshDatabase({ sql: FAMILIES });
    await using run = runDatabase(database);
    const session = await run.session();
    const resolve = (tables: string[], exclude: string[] = []) =>
      resolveSelection(session, { tables, exclude });
    await assert.rejects(resolve(["owners", "ownres", 'a"b"'], ["events*", "x.y"]), {
      kind: "usage",
      code: "no_table",
      message: 'Cannot back up: no table matches "ownres", "a\\"b\\"", "x.y"',
      details: { patterns: ["ownres", 'a"b"', "x.y"] },
    });
    await assert.rejects(resolve(["events"], ["*"]), { kind: "usage", code: "nothing_selected" });
    await assert.rejects(resolve(["owners", "cars"], ["owne*", "vehicles"]), {
      code: "nothing_selected",
    });
  },
});

Deno.test({
  name: "selection: keys to what is left out are told, those among what stays or goes are not",
  async fn() {
    await using database = await freshDatabase({ sql: FAMILIES });
    const warnings = async (...exclude: string[]) =>
      (await counted(database, { exclude })).selection.warnings;
    assert.deepEqual(await warnings("owners"), [
      'The key "of; whom" of owned refers to owners, which is left out: a restore reports that it ' +
      "cannot be made",
    ]);
    assert.deepEqual(await warnings("owned"), []);
    assert.deepEqual(await warnings("owne*"), []);
    assert.deepEqual(await warnings("self"), []);
  },
});

Deno.test({
  name: "backup --tables: a restore has these tables with their rows, and nothing else",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: FAMILIES });
    const all = await contentsOf(project.database);
    for (const format of ["custom", "plain", "directory"]) {
      const made = await project.backup([
        ...["--format", format, "--tables", `events,vehicles,${odd}`, "--tables", "owners"],
      ]);
      const { manifest } = made;
      assert.deepEqual([manifest.kind, manifest.selection.tables.length], ["partial", 4]);
      assert.deepEqual([manifest.sequences, manifest.large_objects], [[], 0]);
      assert.match(made.dump, /_backup_\d{8}_\d{6}\.(dump|sql|dir)$/);
      await using target = await freshDatabase({
        sql: `CREATE SCHEMA archive; CREATE SCHEMA ${identifier(ODD_NAMES.schema)}`,
      });
      await restored(made, { into: target });
      const contents = await contentsOf(target);
      const names = Object.keys(contents).sort();
      assert.deepEqual(
        names,
        [
          identifier(ODD_NAMES.schema) + "." + identifier(ODD_NAMES.table),
          ...[
            "archive.a",
            "archive.b",
            "cars",
            "events_23",
            "owners",
            "owners_id_seq",
            "sportscars",
          ],
          "vehicles",
        ].sort(),
      );
      for (const name of names) assert.equal(contents[name], all[name], name);
      assert.equal(manifest.tables.length, names.length - 1);
      for (const { schema, name, rows } of manifest.tables) {
        const table = `${identifier(schema)}.${identifier(name)}`;
        const [row] = await target.query<{ count: string }>(`SELECT count(*) FROM ONLY ${table}`);
        assert.equal(rows, Number(row?.count), table);
      }
      const verified = await project.run(["backup", "verify", manifest.id]);
      assert.equal(verified.exit, 0, verified.stderr);
    }
  },
});

const newest = (await clientMajors()).find(({ version }) => version >= 17);

Deno.test({
  name: "backup --tables: thousands of partitions with odd names go to a pg_dump that reads them",
  ignore: skipWhenMissing("tests of very many tables", newest?.missing),
  async fn() {
    // So long that they are more than 128 KiB together.
    await using project = await backupProject({
      sql: `CREATE TABLE many (n int) PARTITION BY LIST (n);
        CREATE TABLE stays (n int); INSERT INTO stays VALUES (1);
        DO $do$ BEGIN FOR i IN 1..1800 LOOP EXECUTE format(
          'CREATE TABLE %I PARTITION OF many FOR VALUES IN (%s)',
          E'a "partition" \\\\ of \n # äll the others, with a name ' || i, i); END LOOP; END $do$;
        INSERT INTO many SELECT generate_series(1, 1800)`,
    });
    const env = { PG_BIN_DIR: newest?.directory ?? "" };
    const made = await project.backup(["--tables", "many"], { env });
    assert.ok(made.manifest.arguments.includes("--filter=-"));
    assert.equal(made.manifest.selection.resolved_tables.length, 1801);
    const program = join(env.PG_BIN_DIR, "pg_restore");
    const { stdout } = await runClient(program, { args: ["--list", made.dump] });
    const list = new TextDecoder().decode(stdout);
    assert.equal(list.match(/^\d+; \d+ \d+ TABLE DATA public a "partition"/gm)?.length, 1800);
    assert.doesNotMatch(list, / stays /);
  },
});

Deno.test({
  name: "backup --exclude-table: everything else, with a warning of keys that go nowhere",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: FAMILIES });
    const made = await project.backup([
      ...["--format", "plain", "--exclude-table", "owners", "--exclude-table", "vehicles"],
    ]);
    assert.equal(made.manifest.kind, "partial");
    assert.match(
      made.stderr,
      /\[WARNING\] The key "of; whom" of owned refers to owners, which is /,
    );
    assert.equal(made.manifest.warnings.length, 1);
    const names = made.manifest.tables.map(({ name }) => name);
    for (const name of ["owners", "vehicles", "cars", "sportscars"]) {
      assert.equal(names.includes(name), false, name);
    }
    assert.equal(names.length, ALL.length - 4);
    const script = await Deno.readTextFile(made.dump);
    assert.doesNotMatch(script, /CREATE TABLE public\.(owners|vehicles|cars|sportscars)/);
    assert.match(script, /CREATE TABLE public\.owned/);
  },
});

Deno.test({
  name: "backup: a pattern that matches nothing is refused before anything is written, exit 2",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: FAMILIES });
    for (const args of [["--tables", "owners,nope"], ["--exclude-table", "nope"]]) {
      for (const more of [[], ["--dry-run"]]) {
        const { exit, stdout, stderr } = await project.run(["backup", ...args, ...more]);
        assert.deepEqual([exit, stdout], [2, ""]);
        assert.match(stderr, /\[ERROR\] Cannot back up: no table matches "nope"\nHint: /);
        assert.deepEqual(await project.files(), []);
      }
    }
    await assert.rejects(Deno.stat(project.backups), Deno.errors.NotFound);
  },
});
