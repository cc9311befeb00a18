import assert from "assert";
import { createLog, type LogOptions } from "../../core/log.ts";

function logging(more: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({
    stream: { write: (text) => void lines.push(text), isTerminal: false, columns: () => 80 },
    format: "text",
    level: () => "info",
    colour: false,
    redact: (text) => text.replaceAll("hunter2", "***"),
    now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    runId: () => "run-1",
    command: () => "migrate",
    ...more,
  });
  return { log, lines };
}

function writeAll({ log }: ReturnType<typeof logging>): void {
  log.debug("d");
  log.info("i");
  log.success("s");
  log.warn("w");
  log.error("e");
}

Deno.test("createLog: lines begin with the tags of the replaced system", () => {
  const written = logging({ level: () => "debug" });
  writeAll(written);
  assert.deepEqual(written.lines, [
    "[DEBUG] d\n",
    "[INFO] i\n",
    "[SUCCESS] s\n",
    "[WARNING] w\n",
    "[ERROR] e\n",
  ]);
});

Deno.test("createLog: lines below the level are dropped, and success ranks with info", () => {
  const tags = { debug: 5, info: 4, success: 4, warn: 2, error: 1 } as const;
  for (const [level, count] of Object.entries(tags)) {
    const written = logging({ level: () => level as keyof typeof tags });
    writeAll(written);
    assert.equal(written.lines.length, count, level);
  }
});

Deno.test("createLog: the level may change while the log is used", () => {
  let level: "info" | "warn" = "warn";
  const { log, lines } = logging({ level: () => level });
  log.info("before");
  level = "info";
  log.info("after");
  assert.deepEqual(lines, ["[INFO] after\n"]);
});

Deno.test("createLog: colour is around the tag alone, and only when asked for", () => {
  const { log, lines } = logging({ colour: true });
  log.error("e");
  assert.deepEqual(lines, ["\x1b[31m[ERROR]\x1b[0m e\n"]);
});

Deno.test("createLog: as JSON each line is one object with time, level, message, command and run", () => {
  const written = logging({ format: "json", colour: true, level: () => "debug" });
  writeAll(written);
  assert.deepEqual(
    written.lines.map((line) => JSON.parse(line)),
    [
      ["debug", "d"],
      ["info", "i"],
      ["info", "s"],
      ["warn", "w"],
      ["error", "e"],
    ].map(([level, message]) => ({
      time: "2026-01-02T03:04:05.678Z",
      level,
      message,
      command: "migrate",
      run_id: "run-1",
    })),
  );
  for (const line of written.lines) assert.match(line, /^[^\n]+\n$/);
});

Deno.test("createLog: as JSON a message of several lines stays one line, and the command may be unknown", () => {
  const { log, lines } = logging({ format: "json", command: () => undefined });
  log.info('a\n"b"');
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0] ?? "");
  assert.equal(line.message, 'a\n"b"');
  assert.equal("command" in line, false);
});

Deno.test("createLog: secrets are masked in every line and in the warnings kept", () => {
  for (const format of ["text", "json"] as const) {
    const { log, lines } = logging({ format, level: () => "debug" });
    for (const level of ["debug", "info", "success", "warn", "error", "note"] as const) {
      log[level]("the password is hunter2");
    }
    assert.equal(lines.length, 6);
    assert.doesNotMatch(lines.join(""), /hunter2/);
    assert.deepEqual(log.warnings, ["the password is ***"]);
  }
});

Deno.test("createLog: warnings are kept even when their lines are dropped", () => {
  const { log, lines } = logging({ level: () => "error" });
  log.warn("careful");
  assert.deepEqual([log.warnings, lines], [["careful"], []]);
});

Deno.test("createLog: a note has no tag as text, and is a line of its own as JSON", () => {
  const text = logging({ level: () => "error" });
  text.log.note("Hint: look");
  assert.deepEqual(text.lines, ["Hint: look\n"]);
  const json = logging({ format: "json" });
  json.log.note("Hint: look");
  assert.equal(JSON.parse(json.lines[0] ?? "").message, "Hint: look");
});

Deno.test("createLog: what stands on the terminal is cleared before each line, notes included", () => {
  const order: string[] = [];
  const { log } = logging({
    stream: { write: (text) => void order.push(text), isTerminal: true, columns: () => 80 },
    beforeLine: () => void order.push("clear"),
  });
  log.info("i");
  log.debug("dropped");
  log.note("n");
  assert.deepEqual(order, ["clear", "[INFO] i\n", "clear", "n\n"]);
});

Deno.test("createLog: control characters of a message cannot steer the terminal", () => {
  const { log, lines } = logging();
  log.info("a\x1b[2Jb\rc\x07d\te\nf\x9b1mg");
  log.note("\x1b]0;title\x07");
  assert.deepEqual(lines, [
    "[INFO] a\\x1b[2Jb\\x0dc\\x07d\te\nf\\x9b1mg\n",
    "\\x1b]0;title\\x07\n",
  ]);
});

Deno.test("createLog: progress is information, its numbers members of their own as JSON", () => {
  const state = { label: "Dumping", done: 1, total: 4, unit: "rows" } as const;
  const text = logging();
  text.log.progress("Dumping hunter2 · 1/4", state);
  assert.deepEqual(text.lines, ["[INFO] Dumping *** · 1/4\n"]);
  const json = logging({ format: "json" });
  json.log.progress("Dumping hunter2 · 1/4", state);
  json.log.progress("Checking", { label: "Checking" });
  const line = {
    time: "2026-01-02T03:04:05.678Z",
    level: "info",
    message: "Checking",
    command: "migrate",
    run_id: "run-1",
  };
  assert.deepEqual(json.lines.map((each) => JSON.parse(each)), [
    { ...line, message: "Dumping *** · 1/4", done: 1, total: 4, unit: "rows" },
    line,
  ]);
  for (const format of ["text", "json"] as const) {
    const quiet = logging({ format, level: () => "warn" });
    quiet.log.progress("Dumping", state);
    assert.deepEqual(quiet.lines, []);
  }
});
