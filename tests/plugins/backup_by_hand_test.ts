/** The lines of a manifest that restore it without this program; that they work is tested on servers. */
import assert from "assert";
import { type ByHand, restoreByHand } from "../../plugins/backup/by_hand.ts";

const SOURCE = {
  database: "app",
  server_version_num: 150004,
  encoding: "UTF8",
  collate: "en_US.UTF-8",
  ctype: "C",
} as ByHand["source"];

const BACKUP: ByHand = {
  kind: "full",
  source: SOURCE,
  client: { program: "pg_dump", version: "15.4", path: "/usr/bin/pg_dump" },
  format: "custom",
  compression: { method: "gzip", level: 1 },
  files: [{ name: "b.dump", size: 1, sha256: "ab" }],
  encryption: null,
  globals: null,
  roles: [],
  timescaledb: null,
};

Deno.test("by hand: a full backup is checked, created, restored and analysed", () => {
  assert.deepEqual(restoreByHand(BACKUP), [
    "echo 'ab  b.dump' | sha256sum --check",
    "createdb --template template0 --encoding UTF8 --lc-collate en_US.UTF-8 --lc-ctype C app",
    "pg_restore --exit-on-error --no-password --dbname app b.dump",
    "vacuumdb --analyze-only --dbname app",
  ]);
});

Deno.test("by hand: the database is created with another provider's locale where it had one", () => {
  const created = (locale: ByHand["source"]["locale"]) =>
    restoreByHand({
      ...BACKUP,
      source: { ...SOURCE, ...locale === undefined ? {} : { locale } },
    })[1]
      ?.replace("createdb --template template0 --encoding UTF8 --lc-collate en_US.UTF-8 ", "");
  assert.equal(created({ provider: "libc", name: null, rules: null }), "--lc-ctype C app");
  assert.equal(
    created({ provider: "icu", name: "de-u-co-phonebk", rules: "& a < z" }),
    "--lc-ctype C --locale-provider icu --icu-locale de-u-co-phonebk --icu-rules '& a < z' app",
  );
  assert.equal(
    created({ provider: "builtin", name: "C.UTF-8", rules: null }),
    "--lc-ctype C --locale-provider builtin --builtin-locale C.UTF-8 app",
  );
});

Deno.test("by hand: of other kinds the database is there already", () => {
  for (const kind of ["partial", "data"] as const) {
    const [, remark, restore] = restoreByHand({ ...BACKUP, kind });
    assert.equal(remark, "# The database app exists, with what the backup leaves out");
    assert.equal(restore, "pg_restore --exit-on-error --no-password --dbname app b.dump");
  }
  assert.equal(restoreByHand({ ...BACKUP, kind: "schema" }).length, 3);
});

Deno.test("by hand: encrypted, with roles, as a compressed script", () => {
  assert.deepEqual(
    restoreByHand({
      ...BACKUP,
      format: "plain",
      files: [
        { name: "b.sql.gz.age", size: 1, sha256: "ab" },
        { name: "b.globals.sql.age", size: 1, sha256: "cd" },
      ],
      encryption: { method: "age", recipients: ["age1x"] },
      globals: "b.globals.sql.age",
      roles: ["app"],
    }),
    [
      "echo 'ab  b.sql.gz.age' | sha256sum --check",
      "echo 'cd  b.globals.sql.age' | sha256sum --check",
      "age --decrypt --identity KEY_FILE --output b.sql.gz b.sql.gz.age",
      "age --decrypt --identity KEY_FILE --output b.globals.sql b.globals.sql.age",
      "# Roles that exist already are reported as errors, which may be passed over",
      "psql --no-psqlrc --dbname postgres --file b.globals.sql",
      "createdb --template template0 --encoding UTF8 --lc-collate en_US.UTF-8 --lc-ctype C app",
      "gunzip --stdout b.sql.gz | psql --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --dbname app",
      "vacuumdb --analyze-only --dbname app",
    ],
  );
});

Deno.test("by hand: a directory, whose roles are named where they are not in the backup", () => {
  const lines = restoreByHand({
    ...BACKUP,
    format: "directory",
    files: [
      { name: "b.dir/1.dat.gz", size: 1, sha256: "ab" },
      { name: "b.dir/toc.dat", size: 1, sha256: "cd" },
    ],
    roles: ["app", "odd\nrm -rf /"],
  });
  assert.deepEqual(lines.slice(0, 2), [
    "# Compare the SHA-256 of every file in b.dir with the manifest's",
    "# These roles have to exist: app, odd rm -rf /",
  ]);
  assert.equal(lines.at(3), "pg_restore --exit-on-error --no-password --dbname app b.dir");
});

Deno.test("by hand: TimescaleDB is told before and after", () => {
  const lines = restoreByHand({
    ...BACKUP,
    timescaledb: { version: "2.1'7", hypertables: [], continuous_aggregates: [], jobs: [] },
  });
  assert.deepEqual(lines.slice(2, 6), [
    `psql --no-psqlrc --dbname app --command 'CREATE EXTENSION IF NOT EXISTS timescaledb VERSION '\\''2.1'\\'''\\''7'\\'''`,
    "psql --no-psqlrc --dbname app --command 'SELECT timescaledb_pre_restore()'",
    "pg_restore --exit-on-error --no-password --dbname app b.dump",
    "psql --no-psqlrc --dbname app --command 'SELECT timescaledb_post_restore()'",
  ]);
});

Deno.test("by hand: names that look like something else stay names", () => {
  const target = (database: string) => {
    const lines = restoreByHand({ ...BACKUP, source: { ...SOURCE, database } });
    return [lines[1]?.split("--lc-ctype C ")[1], lines[2]?.split("--dbname ")[1]];
  };
  assert.deepEqual(target("a b"), ["'a b'", "'a b' b.dump"]);
  assert.deepEqual(target("-x"), ["-- -x", "-x b.dump"]);
  assert.deepEqual(target("a=b"), ["a=b", "'dbname='\\''a=b'\\''' b.dump"]);
  assert.deepEqual(target("postgres://x"), [
    "postgres://x",
    "'dbname='\\''postgres://x'\\''' b.dump",
  ]);
  const [, remark = ""] = restoreByHand({
    ...BACKUP,
    kind: "data",
    source: { ...SOURCE, database: "x\nreboot" },
  });
  assert.equal(remark, "# The database x reboot exists, with what the backup leaves out");
});

Deno.test("by hand: newer programs set what an older server does not know", () => {
  const client = { ...BACKUP.client, version: "17.2" };
  const lines = (changes: Partial<ByHand>) => restoreByHand({ ...BACKUP, client, ...changes });
  assert.equal(
    lines({})[2],
    'pg_restore --no-password --dbname app b.dump || echo "PostgreSQL 15 does not know ' +
      'transaction_timeout: pass over that one error, and no other"',
  );
  const plain = lines({ format: "plain", compression: { method: "none", level: null } })[2];
  assert.match(plain ?? "", /^cat b\.dump \| sed '1,40\{[^']+\}' \| psql .* --dbname app$/);
  const same = lines({ source: { ...SOURCE, server_version_num: 170002 } })[2];
  assert.equal(same, "pg_restore --exit-on-error --no-password --dbname app b.dump");
});
