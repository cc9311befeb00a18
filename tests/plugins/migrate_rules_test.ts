import assert from "assert";
import { ScriptRules } from "../../plugins/migrate/rules.ts";
import { scanSql } from "../../plugins/sql/scanner.ts";

/** What the rules make of a file that runs in a transaction, or outside of one. */
function judge(sql: string, { noTransaction = false } = {}) {
  const bytes = new TextEncoder().encode(sql);
  const text = (range: { start: number; end: number }) =>
    new TextDecoder().decode(bytes.subarray(range.start, range.end));
  const rules = new ScriptRules(noTransaction);
  const sent = scanSql(bytes).statements.filter((statement) => rules.accept(statement)).map(text);
  rules.finish();
  return {
    sent,
    begin: rules.begin && text(rules.begin),
    faults: rules.faults.map(({ code, statement }) => `${code} at line ${statement.line}`),
    warnings: rules.warnings,
  };
}

Deno.test("ScriptRules: sends a file without transaction control as it is", () => {
  const { sent, faults, warnings } = judge(
    "CREATE TABLE a ();\nSAVEPOINT s;\nROLLBACK TO s;\nSELECT 1",
  );
  assert.equal(sent.length, 4);
  assert.deepEqual([faults, warnings], [[], []]);
});

Deno.test("ScriptRules: leaves out a BEGIN and COMMIT around the whole file", () => {
  for (
    const [begin, end] of [["BEGIN", "COMMIT"], ["begin work", "end"], [
      "START TRANSACTION",
      "COMMIT WORK",
    ]]
  ) {
    const { sent, faults, warnings, begin: own } = judge(
      `-- before\n${begin};\nSELECT 1;\nSELECT 2;\n${end};\n-- after\n`,
    );
    assert.deepEqual(sent, ["SELECT 1;", "SELECT 2;"]);
    assert.deepEqual([own, faults, warnings], [undefined, [], []]);
  }
});

Deno.test("ScriptRules: keeps the options of the file's own BEGIN for the transaction", () => {
  const { begin, faults } = judge(
    "BEGIN ISOLATION LEVEL SERIALIZABLE, DEFERRABLE;\nSELECT 1;\nCOMMIT;",
  );
  assert.equal(begin, "BEGIN ISOLATION LEVEL SERIALIZABLE, DEFERRABLE;");
  assert.deepEqual(faults, []);
  assert.deepEqual(
    judge("SELECT 1;\nBEGIN ISOLATION LEVEL SERIALIZABLE;\nCOMMIT;").faults,
    ["own_transaction at line 2"],
  );
});

Deno.test("ScriptRules: leaves out a BEGIN after other statements, where the server would only warn", () => {
  const { sent, faults } = judge("SET lock_timeout = '5s';\nBEGIN;\nSELECT 1;\nCOMMIT;\n");
  assert.deepEqual(sent, ["SET lock_timeout = '5s';", "SELECT 1;"]);
  assert.deepEqual(faults, []);
});

Deno.test("ScriptRules: warns of a BEGIN without a COMMIT, which sqlx commits with the record", () => {
  const { sent, faults, warnings } = judge("BEGIN;\nSELECT 1;\n");
  assert.deepEqual([sent, faults], [["SELECT 1;"], []]);
  assert.match(warnings[0] ?? "", /^line 1 begins a transaction that the file does not end/);
});

Deno.test("ScriptRules: refuses whatever would take a part of the file out of its transaction", () => {
  const expected: [sql: string, fault: string][] = [
    ["BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;\n", "own_transaction at line 4"],
    ["BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;\n", "own_transaction at line 4"],
    ["SELECT 1;\nROLLBACK;\n", "own_transaction at line 2"],
    ["BEGIN;\nSELECT 1;\nABORT;\n", "own_transaction at line 3"],
    ["BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;\n", "own_transaction at line 3"],
    ["BEGIN;\nPREPARE TRANSACTION 'x';\n", "own_transaction at line 2"],
    ["COMMIT PREPARED 'x';\n", "own_transaction at line 1"],
  ];
  for (const [sql, fault] of expected) assert.deepEqual(judge(sql).faults, [fault], sql);
});

Deno.test("ScriptRules: sees no transaction control inside bodies, strings and comments", () => {
  const { sent, faults } = judge(
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;\n" +
      "CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;\n" +
      "SELECT 'COMMIT;'; -- ROLLBACK;\n/* COMMIT; */",
  );
  assert.deepEqual([sent.length, faults], [3, []]);
});

Deno.test("ScriptRules: refuses statements that the server refuses in a transaction, and tells the way out", () => {
  const { faults } = judge("SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM;\n");
  assert.deepEqual(faults, ["needs_no_transaction at line 2"]);
  assert.deepEqual(
    judge("CREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM;\n", { noTransaction: true }).faults,
    [],
  );
});

Deno.test("ScriptRules: refuses what only psql can send, inside a transaction and outside", () => {
  for (const noTransaction of [false, true]) {
    const { faults } = judge("COPY t FROM stdin;\n1\n\\.\n\\echo done\n", { noTransaction });
    assert.deepEqual(faults, ["copy_from_stdin at line 1", "psql_command at line 4"]);
  }
});

Deno.test("ScriptRules: lets a file outside a transaction begin and end its own, and refuses an open one", () => {
  const outside = (sql: string) => judge(sql, { noTransaction: true });
  const { sent, faults } = outside("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nROLLBACK;\n");
  assert.deepEqual([sent.length, faults], [5, []]);
  assert.deepEqual(outside("SELECT 1;\nBEGIN;\nSELECT 2;\n").faults, [
    "unended_transaction at line 2",
  ]);
  assert.deepEqual(outside("BEGIN;\nCOMMIT AND CHAIN;\n").faults, [
    "unended_transaction at line 2",
  ]);
  assert.deepEqual(outside("BEGIN;\nPREPARE TRANSACTION 'x';\n").faults, []);
});

Deno.test("ScriptRules: warns of what TimescaleDB refuses in a transaction, and lets the server decide", () => {
  const { sent, faults, warnings } = judge(
    "CREATE MATERIALIZED VIEW v WITH (timescaledb.continuous) AS SELECT 1;\n",
  );
  assert.deepEqual([sent.length, faults, warnings.length], [1, [], 1]);
  assert.match(warnings[0] ?? "", /WITH NO DATA/);
});
