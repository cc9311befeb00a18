import assert from "assert";
import { SeedRules } from "../../plugins/seed/rules.ts";
import { scanSql } from "../../plugins/sql/scanner.ts";

/** What is sent of a text, and the first thing that stands against it. */
function judge(sql: string): { sent: string[]; fault: string | undefined } {
  const rules = new SeedRules();
  const bytes = new TextEncoder().encode(sql);
  const sent = scanSql(bytes).statements.filter((statement) => rules.accept(statement))
    .map(({ start, end }) => new TextDecoder().decode(bytes.subarray(start, end)));
  rules.finish();
  const [fault] = rules.faults;
  return {
    sent,
    fault: fault && `${fault.place.line}:${fault.place.column} ${fault.code}`,
  };
}

Deno.test("SeedRules: leaves out a transaction around the whole file", () => {
  for (
    const [begin, end] of [["BEGIN", "COMMIT"], ["START TRANSACTION", "END"], ["begin work", ""]]
  ) {
    assert.deepEqual(judge(`${begin};\nSELECT 1;\nSELECT 2;\n${end}`), {
      sent: ["SELECT 1;", "SELECT 2;"],
      fault: undefined,
    });
  }
});

Deno.test("SeedRules: lets savepoints be", () => {
  assert.deepEqual(judge("SAVEPOINT a; ROLLBACK TO a; RELEASE a").fault, undefined);
});

Deno.test("SeedRules: refuses what would end or leave the file's transaction", () => {
  const cases: [sql: string, fault: string][] = [
    ["SELECT 1;\nBEGIN;\nSELECT 2;\nCOMMIT;", "2:1 own_transaction"],
    ["BEGIN;\nBEGIN;", "2:1 own_transaction"],
    ["BEGIN ISOLATION LEVEL SERIALIZABLE;", "1:1 own_transaction"],
    ["SELECT 1;\n COMMIT;", "2:2 own_transaction"],
    ["BEGIN;\nCOMMIT;\nSELECT 1;", "3:1 own_transaction"],
    ["BEGIN;\nCOMMIT AND CHAIN;", "2:1 own_transaction"],
    ["BEGIN; ROLLBACK;", "1:8 own_transaction"],
    ["PREPARE TRANSACTION 'x';", "1:1 own_transaction"],
    ["COPY t FROM stdin;\n1\n\\.\n", "1:1 copy_from_stdin"],
    ["SELECT 1;\n\\echo x\n", "2:1 psql_command"],
    ["VACUUM t;", "1:1 needs_no_transaction"],
    ["CREATE INDEX CONCURRENTLY i ON t (a);", "1:1 needs_no_transaction"],
  ];
  for (const [sql, fault] of cases) assert.equal(judge(sql).fault, fault, sql);
});
