import assert from "assert";
import type { FileFacts } from "../../core/plugin.ts";
import { type Beside, type BesideKind, type Mark, nameOf } from "../../plugins/database/beside.ts";
import { judgeAbsent, judgeDirectory, judgeSpace } from "../../plugins/verify/backups.ts";
import { type ClockSample, judgeClock } from "../../plugins/verify/clock.ts";
import {
  type ConnectionCounts,
  judgeConnections,
  judgeIndexes,
  judgeTransactionIds,
} from "../../plugins/verify/load.ts";
import { judgeVersion, LOWEST_MAJOR } from "../../plugins/verify/majors.ts";
import { judgeMigrations, type MigrationStatus } from "../../plugins/verify/migrations.ts";
import { CHECK_NAMES } from "../../plugins/verify/names.ts";
import { CHECKS } from "../../plugins/verify/registry.ts";
import { judgeRestores } from "../../plugins/verify/restores.ts";
import { judgeCreator, judgeRights, type Rights } from "../../plugins/verify/rights.ts";
import { judgeWrites, type WritesRow } from "../../plugins/verify/server.ts";
import { sizeText } from "../../plugins/repository/size.ts";
import { judgeCollation, judgeEncoding } from "../../plugins/verify/storage.ts";
import { judgeTimescale } from "../../plugins/verify/timescale.ts";
import { resultOf } from "../../plugins/verify/verify.ts";

Deno.test("verify: the checks are registered under their names, in their order", () => {
  assert.deepEqual(Object.keys(CHECKS), [...CHECK_NAMES]);
});

// ---------------------------------------------------------------------------
// Server
// ---------------------------------------------------------------------------

Deno.test("verify version: a major is in order to the last day of its support", () => {
  const server = { version: "14.20", major: 14 };
  const inTime = judgeVersion(server, Date.parse("2026-11-12T23:59:59Z"));
  assert.equal(inTime.status, "ok");
  assert.equal(inTime.message, "PostgreSQL 14.20, supported until 2026-11-12");
  const late = judgeVersion(server, Date.parse("2026-11-13T00:00:00Z"));
  assert.equal(late.status, "warning");
  assert.match(late.message, /no fixes since 2026-11-12/);
  assert.match(late.remedy ?? "", /Upgrade/);
});

Deno.test("verify version: a major below the lowest fails, one that is not known yet is in order", () => {
  const now = Date.parse("2020-01-01");
  assert.equal(judgeVersion({ version: "11.22", major: LOWEST_MAJOR - 1 }, now).status, "failed");
  assert.equal(judgeVersion({ version: "12.22", major: LOWEST_MAJOR }, now).status, "ok");
  assert.deepEqual(judgeVersion({ version: "19beta1", major: 19 }, now), {
    status: "ok",
    message: "PostgreSQL 19beta1",
    details: { version: "19beta1", major: 19, supported_until: null },
  });
});

Deno.test("verify writes: a standby and read-only settings are warned of, with the way out", () => {
  const row: WritesRow = {
    standby: false,
    read_only: false,
    source: "default",
    role: "app",
    database: 'my "shop"',
  };
  assert.equal(judgeWrites(row).status, "ok");
  const standby = judgeWrites({ ...row, standby: true, read_only: true });
  assert.equal(standby.status, "warning");
  assert.match(standby.message, /standby/);
  assert.match(standby.remedy ?? "", /PGTARGETSESSIONATTRS=read-write/);
  for (
    const [source, remedy] of [
      ["database", /= off;\nALTER DATABASE "my ""shop""" RESET default_transaction_read_only;$/],
      ["user", /\nALTER ROLE "app" RESET /],
      ["database user", /\nALTER ROLE "app" IN DATABASE "my ""shop""" RESET /],
      ["client", /PGOPTIONS/],
      ["configuration file", /\nALTER SYSTEM RESET /],
      [null, /\nALTER SYSTEM RESET /],
    ] as const
  ) {
    const { status, remedy: told } = judgeWrites({ ...row, read_only: true, source });
    assert.equal(status, "warning");
    assert.match(told ?? "", remedy);
  }
});

Deno.test("verify timescaledb: plain PostgreSQL is in order, versions that differ are not", () => {
  const of = (installed: string | null, available: string | null, loaded = true) =>
    judgeTimescale({ installed, available, loaded, restoring: false, schema: "public" });
  assert.deepEqual(
    [of(null, null, false), of(null, "2.17.2"), of(null, "2.17.2", false), of("2.9.1", "2.9.1")]
      .map(({ status, message }) => `${status} ${message}`),
    [
      "ok TimescaleDB is not installed (plain PostgreSQL)",
      "ok TimescaleDB is not installed in this database; the server offers 2.17.2",
      "ok TimescaleDB is not installed in this database; the server offers 2.17.2, but has not loaded its library",
      "ok TimescaleDB 2.9.1",
    ],
  );
  // Not as text: 2.9 is older than 2.17.
  const old = of("2.9.1", "2.17.2");
  assert.equal(old.status, "warning");
  assert.match(old.remedy ?? "", /ALTER EXTENSION timescaledb UPDATE/);
  const lost = of("2.17.2", "2.9.1");
  assert.equal(lost.status, "warning");
  assert.match(lost.remedy ?? "", /Install TimescaleDB 2\.17\.2/);
  const unloaded = of("2.17.2", "2.17.2", false);
  assert.equal(unloaded.status, "warning");
  assert.match(unloaded.remedy ?? "", /shared_preload_libraries/);
});

Deno.test("verify clock: the shortest round trip counts, and its length is not held against it", () => {
  const sample = (before: number, after: number, server: number): ClockSample => ({
    before,
    after,
    server,
  });
  // The slow samples alone would be far off.
  const calm = judgeClock([sample(0, 9000, 9000), sample(10_000, 10_020, 10_010)]);
  assert.equal(calm.status, "ok");
  assert.equal(calm.message, "This machine's clock and the server's agree within 11 ms");
  assert.equal(judgeClock([sample(0, 20, 2020)]).status, "ok");
  const ahead = judgeClock([sample(0, 20, 2022)]);
  assert.equal(ahead.status, "warning");
  assert.equal(ahead.message, "The server's clock is 2.0 s ahead of this machine's");
  assert.deepEqual(ahead.details, { skew_ms: 2012, uncertainty_ms: 11 });
  const behind = judgeClock([sample(1_000_000, 1_000_000, 400_000)]);
  assert.equal(behind.message, "The server's clock is 10 min behind this machine's");
  assert.match(behind.remedy ?? "", /chrony/);
  // A round trip of five seconds says nothing of two.
  assert.equal(judgeClock([sample(0, 5000, 5000)]).status, "ok");
  assert.equal(judgeClock([]).status, "skipped");
});

// ---------------------------------------------------------------------------
// Load
// ---------------------------------------------------------------------------

Deno.test("verify connections: the limit that is nearest counts, above nine tenths", () => {
  const calm: ConnectionCounts = {
    used: 90,
    limit: 100,
    database_used: 5,
    database_limit: -1,
    role_used: 1,
    role_limit: -1,
  };
  assert.equal(judgeConnections(calm).status, "ok");
  const told = (counts: Partial<ConnectionCounts>) => judgeConnections({ ...calm, ...counts });
  assert.equal(told({ used: 91 }).message, "91 of 100 connections of the server are used");
  assert.match(told({ used: 91 }).remedy ?? "", /max_connections/);
  assert.equal(told({ database_limit: 5 }).status, "warning");
  assert.equal(told({ database_limit: 5 }).message, "5 of 5 connections of the database are used");
  assert.equal(told({ role_used: 19, role_limit: 20 }).status, "warning");
  assert.equal(told({ role_used: 18, role_limit: 20 }).status, "ok");
});

Deno.test("verify transaction-ids: warns above one billion, fails above one and a half", () => {
  const at = (transactions: number, multixacts = 0) =>
    judgeTransactionIds({ database: "shop", transactions, multixacts });
  assert.deepEqual(
    [at(1e9), at(1e9 + 1), at(1.5e9), at(1.5e9 + 1), at(5, 1.6e9)].map(({ status }) => status),
    ["ok", "warning", "warning", "failed", "failed"],
  );
  assert.match(at(1.2e9).message, /transaction id is 1,200,000,000 old \(database "shop"\)/);
  assert.match(at(5, 1.6e9).message, /multixact id/);
  assert.match(at(1.2e9).remedy ?? "", /vacuumdb --freeze "shop"/);
});

Deno.test("verify indexes: invalid ones are named, what a rebuild left is to be dropped", () => {
  assert.equal(judgeIndexes([]).status, "ok");
  const found = judgeIndexes([
    { name: "public.a_i", leftover: false, total: 7 },
    { name: "public.b_i_ccnew", leftover: true, total: 7 },
  ]);
  assert.equal(found.status, "warning");
  assert.match(
    found.message,
    /^7 indexes are invalid.*: public\.a_i, public\.b_i_ccnew and 5 more$/,
  );
  assert.equal(
    found.remedy,
    "REINDEX INDEX CONCURRENTLY public.a_i;\nDROP INDEX CONCURRENTLY public.b_i_ccnew;",
  );
});

// ---------------------------------------------------------------------------
// Storage and backups
// ---------------------------------------------------------------------------

Deno.test("verify encoding and collation: what loses characters or rows is warned of", () => {
  assert.deepEqual(
    ["UTF8", "LATIN1", "SQL_ASCII"].map((name) => judgeEncoding(name).status),
    ["ok", "warning", "warning"],
  );
  const of = (recorded: string | null, actual: string | null) =>
    judgeCollation({ database: "shop", recorded, actual });
  assert.deepEqual(
    [of(null, null), of("2.36", "2.36"), of(null, "2.36"), of("2.31", "2.36")]
      .map(({ status }) => status),
    ["ok", "ok", "ok", "warning"],
  );
  assert.equal(
    of("2.31", "2.36").remedy,
    'REINDEX DATABASE "shop";\nALTER DATABASE "shop" REFRESH COLLATION VERSION;',
  );
});

const WRITABLE: FileFacts = {
  realPath: "/srv/back ups",
  kind: "directory",
  size: 0,
  modified: 0,
  mode: 0o755,
  owner: { uid: 0, gid: 0 },
  self: { uid: 1000, gid: 1001 },
  access: { read: true, write: true, execute: true },
  disk: { total: 2e9, free: 1e9 },
};
const CLOSED: FileFacts = {
  ...WRITABLE,
  access: { read: true, write: false, execute: true },
};

Deno.test("verify backups-dir: one that is not writable fails, with the line that mends it", () => {
  assert.equal(judgeDirectory("b", WRITABLE).status, "ok");
  const closed = judgeDirectory("b", CLOSED);
  assert.equal(closed.status, "failed");
  assert.match(closed.message, /user 1000 may not, it belongs to 0:0 with mode 0755/);
  assert.equal(closed.remedy, "chown 1000:1001 '/srv/back ups'");
  const remedy = (facts: Partial<FileFacts>) => judgeDirectory("b", { ...CLOSED, ...facts }).remedy;
  assert.equal(
    remedy({ mode: 0o555, realPath: "/b" }),
    "chown 1000:1001 /b\nchmod u+rwx /b",
  );
  assert.equal(
    remedy({ mode: 0o555, realPath: "/it's", owner: { uid: 1000, gid: 1 } }),
    "chmod u+rwx '/it'\\''s'",
  );
  // Neither owner nor mode are to blame.
  assert.match(remedy({ owner: { uid: 1000, gid: 1 } }) ?? "", /read-only/);
  assert.match(remedy({ self: { uid: 0, gid: 0 } }) ?? "", /read-only/);
  const noWay = { ...WRITABLE, access: { read: true, write: true, execute: false } };
  assert.equal(judgeDirectory("b", noWay).status, "failed");
  assert.equal(judgeDirectory("b", { ...WRITABLE, kind: "file" }).status, "failed");
});

Deno.test("verify backups-dir: one that is absent is judged by the directory above it", () => {
  const makeable = judgeAbsent("./my backups", WRITABLE);
  assert.equal(makeable.status, "warning");
  assert.equal(makeable.remedy, "mkdir -p './my backups'");
  const closed = judgeAbsent("/srv/b", CLOSED);
  assert.equal(closed.status, "failed");
  assert.match(closed.remedy ?? "", /^As root: mkdir -p \/srv\/b && chown 1000:1001 \/srv\/b$/m);
  assert.equal(judgeAbsent("/f/b", { ...WRITABLE, kind: "file" }).status, "failed");
  assert.equal(judgeAbsent("/f/b", undefined).status, "failed");
});

Deno.test("verify disk-space: less than the database's size is warned of", () => {
  assert.equal(judgeSpace(1000, 1000).status, "ok");
  const little = judgeSpace(1_500_000, 3 * 1024 ** 3);
  assert.equal(little.status, "warning");
  assert.match(little.message, /^1\.4 MiB free for backups; the database has 3\.0 GiB/);
  assert.deepEqual(
    [0, 1023, 1024, 1024 ** 2 - 1, 1024 ** 6].map(sizeText),
    ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1024.0 PiB"],
  );
});

// ---------------------------------------------------------------------------
// Migrations and rights
// ---------------------------------------------------------------------------

Deno.test("verify migrations: what is pending is a warning, what stops migrate fails", () => {
  const status = (
    pending: number,
    ...problems: MigrationStatus["problems"]
  ): MigrationStatus => ({ applied: 4, pending, last_applied_at: null, problems });
  assert.equal(judgeMigrations(status(0)).message, "4 applied, 0 pending");
  assert.equal(judgeMigrations(status(0)).status, "ok");
  const pending = judgeMigrations(status(2));
  assert.deepEqual([pending.status, pending.remedy], ["warning", "Run `observatory migrate`"]);
  const late = { code: "out_of_order", message: "Out of order", hint: "Renumber it" };
  const outOfOrder = judgeMigrations(status(1, late));
  assert.equal(outOfOrder.status, "warning");
  assert.equal(outOfOrder.remedy, "Renumber it\nRun `observatory migrate`");
  const dirty = { code: "dirty", message: "Broken off", hint: "Resolve it" };
  const broken = judgeMigrations(status(1, late, dirty));
  assert.deepEqual(broken, {
    status: "failed",
    message: "4 applied, 1 pending; Broken off",
    remedy: "Resolve it",
    details: {
      applied: 4,
      pending: 1,
      last_applied_at: null,
      problems: [
        { code: "out_of_order", message: "Out of order" },
        { code: "dirty", message: "Broken off" },
      ],
    },
  });
  const many = judgeMigrations(status(0, dirty, dirty, dirty, dirty, dirty));
  assert.match(many.message, /(Broken off; ){3}2 more problems$/);
});

const RIGHTS: Rights = {
  role: "app",
  superuser: false,
  createdb: true,
  signal: true,
  database: "shop",
  owner: true,
  create_in_database: true,
  schema: "public",
  create_in_schema: true,
  history: null,
  state: null,
};
const NO_TABLES = { names: [], total: 0 };
const ALL_READABLE = { tables: { closed: NO_TABLES, filtered: NO_TABLES }, major: 15 };

Deno.test("verify rights: each one that is missing is told with the line that grants it", () => {
  assert.equal(judgeRights(RIGHTS, ALL_READABLE).status, "ok");
  assert.equal(
    judgeRights({ ...RIGHTS, superuser: true, owner: false }, ALL_READABLE).status,
    "ok",
  );
  const grant = (lack: Partial<Rights>) => {
    const { status, remedy } = judgeRights({ ...RIGHTS, ...lack }, ALL_READABLE);
    assert.equal(status, "warning");
    return remedy?.split("\n").slice(1);
  };
  assert.deepEqual(grant({ create_in_schema: false, schema: 'a"b' }), [
    'GRANT CREATE ON SCHEMA "a""b" TO "app"; -- migrate',
  ]);
  assert.deepEqual(grant({ create_in_schema: null, schema: null }), [
    'GRANT USAGE, CREATE ON SCHEMA public TO "app"; -- migrate: search_path leads to no schema',
  ]);
  assert.deepEqual(grant({ history: false }), [
    'GRANT SELECT, INSERT, UPDATE, DELETE ON _sqlx_migrations TO "app"; -- migrate',
  ]);
  assert.deepEqual(grant({ create_in_database: false }), [
    'GRANT CREATE ON DATABASE "shop" TO "app"; -- seed: makes schema observatory',
  ]);
  assert.deepEqual(grant({ create_in_database: false, state: false }), [
    'GRANT USAGE, CREATE ON SCHEMA observatory TO "app"; -- seed',
  ]);
  assert.deepEqual(grant({ createdb: false, owner: false, signal: false }), [
    'ALTER ROLE "app" CREATEDB; -- reset',
    'ALTER DATABASE "shop" OWNER TO "app"; -- reset',
    'GRANT pg_signal_backend TO "app"; -- reset: ends other roles\' sessions',
  ]);
  // With the tool's own schema there, nothing new is to be made in the database.
  const made = { ...RIGHTS, create_in_database: false, state: true };
  assert.equal(judgeRights(made, ALL_READABLE).status, "ok");
});

Deno.test("verify rights: tables that a backup cannot read whole are named", () => {
  const tables = {
    closed: { names: ["a.b", "a.c"], total: 9 },
    filtered: { names: ["a.d"], total: 1 },
  };
  const lines = (major: number) => judgeRights(RIGHTS, { tables, major }).remedy?.split("\n");
  assert.deepEqual(lines(15)?.slice(1), [
    'GRANT pg_read_all_data TO "app"; -- backup: cannot read a.b, a.c and 7 more',
    'ALTER ROLE "app" BYPASSRLS; -- backup: row security hides rows of a.d',
  ]);
  assert.match(lines(13)?.[1] ?? "", /^GRANT SELECT ON a\.b, a\.c TO "app"; /);
});

Deno.test("verify rights: where the database is missing, only making it counts", () => {
  const poor = { ...RIGHTS, createdb: false, owner: false };
  const { status, remedy } = judgeCreator(poor, "new");
  assert.equal(status, "warning");
  assert.equal(remedy, 'As a superuser: CREATE DATABASE "new" OWNER "app";');
  assert.equal(judgeCreator(RIGHTS, "new").status, "ok");
  assert.equal(judgeCreator({ ...poor, superuser: true }, "new").status, "ok");
});

// ---------------------------------------------------------------------------
// Result
// ---------------------------------------------------------------------------

Deno.test("verify: the text has one line for each check, remedies below, and the counts", () => {
  const findings = [
    { name: "query", status: "ok", message: "Fine" },
    { name: "rights", status: "warning", message: "Odd\x1b[31m", remedy: "one\ntwo" },
    { name: "disk-space", status: "failed", message: "Bad" },
    { name: "clock", status: "skipped", message: "Hidden" },
  ] as const;
  const { text, problems, data } = resultOf(findings, { database: "shop", strict: false });
  assert.equal(
    text,
    [
      "ok       query       Fine",
      "warning  rights      Odd [31m",
      "                     one",
      "                     two",
      "failed   disk-space  Bad",
      "skipped  clock       Hidden",
      "",
      "4 checks: 1 ok, 1 warning, 1 failed, 1 skipped",
    ].join("\n"),
  );
  assert.deepEqual(problems, ["disk-space: Bad"]);
  assert.deepEqual(data, {
    database: "shop",
    checks: findings,
    ok: 1,
    warnings: 1,
    failed: 1,
    skipped: 1,
  });
  const strict = resultOf(findings.slice(0, 2), { database: "shop", strict: true });
  assert.deepEqual(strict.problems, ["rights: Odd\x1b[31m"]);
  assert.equal(
    resultOf(findings.slice(0, 2), { database: "shop", strict: false }).problems,
    undefined,
  );
});

Deno.test("verify restores: what is kept of the database and what was left is warned of", () => {
  const now = Date.parse("2026-11-26T22:00:00Z");
  const of = (kind: BesideKind, database: string, alive = false): Beside => {
    const mark: Mark = {
      kind,
      database,
      id: "20261124t2200_ab12",
      at: "2026-11-24T22:00:00Z",
      host: "h",
      pid: 1,
      of: null,
      comment: null,
      open: true,
    };
    return { name: nameOf(mark), oid: "1", mark, size: 3 << 20, sessions: 0, alive };
  };
  const judge = (...beside: Beside[]) => judgeRestores(beside, { database: "shop", now });
  assert.equal(judge(of("before", "other"), of("restore", "shop", true)).status, "ok");
  const found = judge(of("before", "shop"), of("verify", "other"));
  assert.equal(found.status, "warning");
  assert.equal(
    found.message,
    'Kept by restores: "shop_before_20261124t2200_ab12" (3.0 MiB, 48 h old); ' +
      'Left by runs that were killed: "other_verify_20261124t2200_ab12" (3.0 MiB, 48 h old)',
  );
  assert.match(found.remedy ?? "", /--finish[^]*backup verify/);
});
