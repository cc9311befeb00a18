import assert from "assert";
import { DatabaseError, type ErrorKind, OperationError } from "../../core/plugin.ts";
import { EXIT_CODES, reportOf, SignalError } from "../../core/errors.ts";

Deno.test("reportOf: each kind of failure has its exit code, and the table lists them all", () => {
  const exits: Record<ErrorKind, number> = {
    failed: 1,
    usage: 2,
    refused: 4,
    connection: 5,
    locked: 6,
  };
  const listed = EXIT_CODES.map(({ code }) => code);
  for (const [kind, exit] of Object.entries(exits) as [ErrorKind, number][]) {
    assert.deepEqual(reportOf(new OperationError("Cannot", { kind })), {
      kind,
      code: kind,
      message: "Cannot",
      exit,
    });
    assert(listed.includes(String(exit)));
  }
  assert.deepEqual(listed, ["0", "1", "2", "3", "4", "5", "6", "70", "128+n"]);
});

Deno.test("reportOf: a failure keeps its code, hint, excerpt and details", () => {
  const error = new OperationError("Cannot", {
    code: "no_way",
    hint: "Turn back",
    excerpt: "  here\n  ^",
    details: { way: 1 },
  });
  assert.deepEqual(reportOf(error), {
    kind: "failed",
    code: "no_way",
    message: "Cannot",
    hint: "Turn back",
    excerpt: "  here\n  ^",
    details: { way: 1 },
    exit: 1,
  });
});

Deno.test("reportOf: a signal's exit code is 128 plus its number", () => {
  for (const [name, exit] of [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const) {
    const report = reportOf(new SignalError(name));
    assert.deepEqual([report.kind, report.code, report.exit], ["signal", name.toLowerCase(), exit]);
  }
});

Deno.test("reportOf: what nobody expected is a bug, with its stack", () => {
  const report = reportOf(new TypeError("x is not a function"));
  assert.equal(report.kind, "bug");
  assert.equal(report.exit, 70);
  assert.equal(report.message, "TypeError: x is not a function");
  assert.match(report.excerpt ?? "", /errors_test\.ts/);
});

Deno.test("reportOf: whatever is thrown becomes a report", () => {
  for (const thrown of [undefined, null, 0, "text", Object.create(null), Symbol("s"), { a: 1 }]) {
    const report = reportOf(thrown);
    assert.deepEqual([report.kind, report.exit], ["bug", 70]);
  }
  assert.match(reportOf("text").message, /text/);
});

const SERVER = {
  severity: "ERROR",
  sqlstate: "23505",
  message: "duplicate key value",
  detail: "Key (id)=(1) already exists.",
};

Deno.test("reportOf: a server's error that nobody worded is told with its SQLSTATE and detail", () => {
  const report = reportOf(new DatabaseError(SERVER));
  assert.equal(report.exit, 1);
  assert.equal(report.code, "database_error");
  assert.equal(
    report.message,
    "The server reports: duplicate key value (SQLSTATE 23505): Key (id)=(1) already exists.",
  );
  assert.deepEqual(report.details, SERVER);
});

Deno.test("reportOf: the server's own hint is passed on", () => {
  const report = reportOf(new DatabaseError({ ...SERVER, hint: "Use another key." }));
  assert.equal(report.hint, "Use another key.");
});
