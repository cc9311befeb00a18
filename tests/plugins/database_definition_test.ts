import assert from "assert";
import {
  createStatement,
  listElements,
  privilegeStatements,
  settingStatements,
} from "../../plugins/database/definition.ts";
import { identifier, literal } from "../../plugins/sql/names.ts";
import type { DatabaseFacts, Privilege } from "../../plugins/database/inspection.ts";
import { byteText } from "../../plugins/reset/plan.ts";
import { temporaryName } from "../../plugins/reset/recreate.ts";

function facts(more: Partial<DatabaseFacts> = {}): DatabaseFacts {
  return {
    name: "shop",
    owner: "app",
    encoding: "UTF8",
    collate: "en_US.utf8",
    ctype: "C",
    provider: "c",
    locale: undefined,
    icuRules: undefined,
    tablespace: "pg_default",
    connectionLimit: -1,
    isTemplate: false,
    open: true,
    comment: undefined,
    privileges: undefined,
    settings: [],
    securityLabels: 0,
    size: 1,
    connections: [],
    slots: [],
    subscriptions: [],
    preparedTransactions: [],
    busy: [],
    ...more,
  };
}

const as = { name: "new", template: { name: "template1", tablespace: "pg_default" } };

Deno.test("createStatement: names owner, template, encoding and locale, and another tablespace", () => {
  assert.equal(
    createStatement(facts(), as),
    `CREATE DATABASE "new" OWNER "app" TEMPLATE "template1" ENCODING 'UTF8' LOCALE_PROVIDER libc ` +
      `LC_COLLATE 'en_US.utf8' LC_CTYPE 'C'`,
  );
  assert.match(createStatement(facts({ tablespace: "fast" }), as), / TABLESPACE "fast"$/);
});

Deno.test("createStatement: each locale provider has its own options", () => {
  assert.match(
    createStatement(facts({ provider: undefined }), as),
    /ENCODING 'UTF8' LC_COLLATE 'en_US.utf8' LC_CTYPE 'C'$/,
  );
  assert.match(
    createStatement(facts({ provider: "i", locale: "de-DE", icuRules: "&a < 'b'" }), as),
    /LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' ICU_RULES '&a < ''b''' LC_COLLATE/,
  );
  assert.match(
    createStatement(facts({ provider: "b", locale: "C.UTF-8" }), as),
    /LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE/,
  );
});

Deno.test("createStatement: a connection limit is kept, 0 included", () => {
  assert.match(createStatement(facts({ connectionLimit: 0 }), as), / CONNECTION LIMIT 0$/);
  assert.doesNotMatch(createStatement(facts(), as), /LIMIT/);
});

Deno.test("listElements: reads names as the server writes them", () => {
  assert.deepEqual(listElements(`"$user", public`), ["$user", "public"]);
  assert.deepEqual(listElements(`"a, ""b""" ,c`), [`a, "b"`, "c"]);
  assert.deepEqual(listElements(`""`), [""]);
  assert.deepEqual(listElements(""), []);
});

Deno.test("settingStatements: lists are given name by name, other values whole", () => {
  const settings = [
    { role: undefined, name: "search_path", value: `"$user", public, "we ird"` },
    { role: undefined, name: "search_path", value: "" },
    { role: "Reader", name: "work_mem", value: "5MB" },
    { role: undefined, name: "app.tenant", value: "a, 'b' \\" },
  ];
  assert.deepEqual(settingStatements(settings, "new"), [
    `ALTER DATABASE "new" SET "search_path" TO '$user', 'public', 'we ird'`,
    `ALTER DATABASE "new" SET "search_path" TO ''`,
    `ALTER ROLE "Reader" IN DATABASE "new" SET "work_mem" TO '5MB'`,
    `ALTER DATABASE "new" SET "app"."tenant" TO E'a, ''b'' \\\\'`,
  ]);
});

Deno.test("privilegeStatements: default privileges need none; others replace them", () => {
  const on = { name: "new", owner: "app" };
  assert.deepEqual(privilegeStatements(undefined, on), []);
  assert.deepEqual(privilegeStatements([], on), [
    `REVOKE ALL ON DATABASE "new" FROM PUBLIC, "app"`,
  ]);
});

Deno.test("privilegeStatements: a grant comes after the one that its grantor has the right from", () => {
  const grant = (grantor: string, grantee: string | undefined, grantable = false): Privilege => ({
    grantor,
    grantee,
    privilege: "CONNECT",
    grantable,
  });
  const statements = privilegeStatements(
    [grant("b", undefined), grant("a", "b", true), grant("app", "a", true)],
    { name: "new", owner: "app" },
  );
  assert.deepEqual(statements, [
    `REVOKE ALL ON DATABASE "new" FROM PUBLIC, "app"`,
    `GRANT CONNECT ON DATABASE "new" TO "a" WITH GRANT OPTION`,
    `SET ROLE "a"`,
    `GRANT CONNECT ON DATABASE "new" TO "b" WITH GRANT OPTION`,
    "RESET ROLE",
    `SET ROLE "b"`,
    `GRANT CONNECT ON DATABASE "new" TO PUBLIC`,
    "RESET ROLE",
  ]);
});

Deno.test("identifier and literal: what has quotes stays one name and one text", () => {
  assert.equal(identifier(`a"b`), `"a""b"`);
  assert.equal(literal(`a'b`), `'a''b'`);
  assert.equal(literal(`\\'; DROP`), `E'\\\\''; DROP'`);
});

Deno.test("byteText: has one to three digits before the point", () => {
  assert.deepEqual([0, 999, 1000, 8_345_678, 5e12, 5e16].map(byteText), [
    "0 bytes",
    "999 bytes",
    "1.0 kB",
    "8.3 MB",
    "5.0 TB",
    "50000.0 TB",
  ]);
});

Deno.test("temporaryName: fits a name of the server, and differs from database to database", () => {
  assert.equal(temporaryName("shop"), temporaryName("shop"));
  assert.notEqual(temporaryName("shop"), temporaryName("Shop"));
  assert.ok(temporaryName("x".repeat(63)).length <= 63);
});
