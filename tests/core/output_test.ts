import assert from "assert";
import { createOutput } from "../../core/output.ts";
import type { RowPart } from "../../core/plugin.ts";

function printing(json: boolean, write?: (text: string) => void) {
  const written: string[] = [];
  const output = createOutput({
    stdout: {
      write: write ?? ((text) => void written.push(text)),
      isTerminal: false,
      columns: () => 80,
    },
    json,
    runId: () => "run-1",
    redact: (text) => text.replaceAll("hunter2", "***"),
  });
  return { output, written };
}

const REPORT = { kind: "failed", code: "no_way", message: "Cannot", exit: 1 } as const;

Deno.test("createOutput: as text, the result's text is written and ends with one line end", () => {
  for (const text of ["done", "done\n"]) {
    const { output, written } = printing(false);
    output.result("x", { data: { a: 1 }, text }, ["careful"]);
    assert.deepEqual(written, ["done\n"]);
  }
});

Deno.test("createOutput: as text, a result without text writes nothing, and neither does a failure", () => {
  const { output, written } = printing(false);
  output.result("x", { data: { a: 1 } }, []);
  output.result("x", { data: { a: 1 }, text: "" }, []);
  output.failure("x", REPORT, []);
  assert.deepEqual(written, []);
});

Deno.test("createOutput: as JSON, a result is one object on one line", () => {
  const { output, written } = printing(true);
  output.result("migrate status", { data: { a: "line\nbreak" }, text: "not shown" }, []);
  assert.equal(written.length, 1);
  assert.match(written[0] ?? "", /^[^\n]+\n$/);
  assert.deepEqual(JSON.parse(written[0] ?? ""), {
    ok: true,
    command: "migrate status",
    data: { a: "line\nbreak" },
    run_id: "run-1",
  });
});

Deno.test("createOutput: as JSON, problems and warnings stand beside the data", () => {
  const { output, written } = printing(true);
  output.result("x", { data: null, problems: ["p"] }, ["w"]);
  assert.deepEqual(JSON.parse(written[0] ?? ""), {
    ok: true,
    command: "x",
    data: null,
    problems: ["p"],
    warnings: ["w"],
    run_id: "run-1",
  });
});

Deno.test("createOutput: as JSON, data is there even when a command returns none", () => {
  const { output, written } = printing(true);
  output.result("x", { data: undefined }, []);
  assert.deepEqual(JSON.parse(written[0] ?? ""), {
    ok: true,
    command: "x",
    data: null,
    run_id: "run-1",
  });
});

Deno.test("createOutput: as JSON, a failure is one object, with or without a command", () => {
  const known = printing(true);
  known.output.failure("x", REPORT, ["w"]);
  assert.deepEqual(JSON.parse(known.written[0] ?? ""), {
    ok: false,
    command: "x",
    error: REPORT,
    warnings: ["w"],
    run_id: "run-1",
  });
  const unknown = printing(true);
  unknown.output.failure(undefined, REPORT, []);
  assert.deepEqual(JSON.parse(unknown.written[0] ?? ""), {
    ok: false,
    error: REPORT,
    run_id: "run-1",
  });
});

Deno.test("createOutput: as JSON, there is one object however much goes wrong afterwards", () => {
  const { output, written } = printing(true);
  output.result("x", { data: 1 }, []);
  output.failure("x", REPORT, []);
  output.failure("x", REPORT, []);
  assert.equal(written.length, 1);
});

Deno.test("createOutput: as JSON, a result that cannot be written as JSON leaves room for its failure", () => {
  const { output, written } = printing(true);
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  assert.throws(() => output.result("x", { data: cyclic }, []), TypeError);
  output.failure("x", REPORT, []);
  assert.equal(written.length, 1);
  assert.equal(JSON.parse(written[0] ?? "").ok, false);
});

Deno.test("createOutput: as JSON, nothing is tried again on a stream that does not take it", () => {
  let tries = 0;
  const { output } = printing(true, () => {
    tries++;
    throw new Error("No space left on device");
  });
  assert.throws(() => output.result("x", { data: 1 }, []), /No space/);
  output.failure("x", REPORT, []);
  assert.equal(tries, 1);
});

Deno.test("createOutput: as JSON, numbers keep their digits: bigints beyond 2^53 become strings", () => {
  const { output, written } = printing(true);
  output.result("x", { data: { small: 5n, large: 9007199254740993n, min: -(2n ** 63n) } }, []);
  assert.deepEqual(JSON.parse(written[0] ?? "").data, {
    small: 5,
    large: "9007199254740993",
    min: "-9223372036854775808",
  });
});

Deno.test("createOutput: as JSON, bytes are written as PostgreSQL writes them, and other clones too", () => {
  const { output, written } = printing(true);
  output.result("x", {
    data: {
      bytes: Uint8Array.of(0, 255),
      date: new Date(0),
      map: new Map([["a", 1n]]),
      set: new Set(["a"]),
      nan: NaN,
    },
  }, []);
  assert.deepEqual(JSON.parse(written[0] ?? "").data, {
    bytes: "\\x00ff",
    date: "1970-01-01T00:00:00.000Z",
    map: { a: 1 },
    set: ["a"],
    nan: null,
  });
});

Deno.test("createOutput: secrets are masked in texts and in every string of the JSON", () => {
  const text = printing(false);
  text.output.result("x", { data: 0, text: "it is hunter2" }, []);
  assert.deepEqual(text.written, ["it is ***\n"]);
  const json = printing(true);
  json.output.result("x", { data: { a: ["a hunter2 b"] } }, []);
  const failed = printing(true);
  failed.output.failure("x", { ...REPORT, message: "hunter2", details: { a: "hunter2" } }, []);
  assert.doesNotMatch(json.written.join("") + failed.written.join(""), /hunter2/);
});

Deno.test("createOutput: masking leaves JSON whole, whatever the secret is", () => {
  const written: string[] = [];
  const output = createOutput({
    stdout: { write: (text) => void written.push(text), isTerminal: false, columns: () => 80 },
    json: true,
    runId: () => "run-1",
    redact: (text) => text.replaceAll("5432", "***").replaceAll("data", "***"),
  });
  output.result("x", { data: { port: 5432, name: "data" } }, []);
  assert.deepEqual(JSON.parse(written[0] ?? "").data, { port: 5432, name: "***" });
});

Deno.test("createOutput: a secret with quotes and backslashes is masked inside JSON too", () => {
  const secret = 'p"a\\s\ns';
  const written: string[] = [];
  const output = createOutput({
    stdout: { write: (text) => void written.push(text), isTerminal: false, columns: () => 80 },
    json: true,
    runId: () => "run-1",
    redact: (text) => text.replaceAll(secret, "***"),
  });
  output.failure("x", { ...REPORT, message: `login with ${secret} failed` }, []);
  assert.equal(JSON.parse(written[0] ?? "").error.message, "login with *** failed");
});

const PARTS = [
  { kind: "columns", columns: [{ name: "a", type: 25 }] },
  { kind: "rows", rows: [["hunter2"], [null]] },
  { kind: "end", command: "SELECT", count: 2 },
] as const;

/** Parts as they come from a database; after them the failure, when there is one. */
function rowsOf(parts: readonly RowPart[], failure?: Error) {
  const state = { cancelled: false };
  let next = 0;
  const rows = new ReadableStream<RowPart>({
    pull(controller) {
      const part = parts[next++];
      if (part !== undefined) controller.enqueue(part);
      else if (failure !== undefined) controller.error(failure);
      else controller.close();
    },
    cancel() {
      state.cancelled = true;
    },
  }, { highWaterMark: 0 });
  return { rows, state };
}

Deno.test("createOutput: rows are written as the format says, without masking the user's data", async () => {
  const formats = {
    table: "a\n-------\nhunter2\nNULL\n(2 rows)\n",
    csv: "a\nhunter2\n\n",
    json: '[\n{"a":"hunter2"},\n{"a":null}\n]\n',
    ndjson: '{"a":"hunter2"}\n{"a":null}\n',
  };
  for (const format of ["table", "csv", "json", "ndjson"] as const) {
    const { output, written } = printing(false);
    await output.result(
      "x",
      { data: null, text: "not shown", rows: rowsOf(PARTS).rows, format },
      [],
    );
    assert.equal(written.join(""), formats[format]);
  }
  const { output, written } = printing(false);
  await output.result("x", { data: null, rows: rowsOf(PARTS).rows }, []);
  assert.equal(written.join(""), formats.table);
});

Deno.test("createOutput: as JSON, rows are in the one object, with what is known at their end", async () => {
  const { output, written } = printing(true);
  const warnings: string[] = [];
  const { rows } = rowsOf(PARTS);
  const result = output.result("x", { data: { b: "hunter2" }, rows, problems: ["p"] }, warnings);
  warnings.push("late");
  await result;
  output.failure("x", REPORT, []);
  assert.match(written.join(""), /^[^\n]+\n$/);
  assert.deepEqual(JSON.parse(written.join("")), {
    command: "x",
    results: [{
      columns: [{ name: "a", type: "text" }],
      rows: [["hunter2"], [null]],
      command: "SELECT",
      count: 2,
    }],
    ok: true,
    data: { b: "***" },
    problems: ["p"],
    warnings: ["late"],
    run_id: "run-1",
  });
});

Deno.test("createOutput: as JSON, a failure among rows ends the same object", async () => {
  for (let count = 0; count <= PARTS.length; count++) {
    const { output, written } = printing(true);
    const { rows } = rowsOf(PARTS.slice(0, count), new Error("broken"));
    await assert.rejects(async () => await output.result("x", { data: null, rows }, []), /broken/);
    output.failure("x", { ...REPORT, message: "for hunter2" }, ["w"]);
    output.failure("x", REPORT, []);
    assert.match(written.join(""), /^[^\n]+\n$/);
    const { ok, command, error, warnings, results } = JSON.parse(written.join(""));
    assert.deepEqual([ok, command, error.message, warnings], [false, "x", "for ***", ["w"]]);
    assert.deepEqual(results?.[0]?.rows, [undefined, [], PARTS[1].rows, PARTS[1].rows][count]);
  }
});

Deno.test("createOutput: as JSON, a failure ends the object while rows are still to come", async () => {
  const { output, written } = printing(true);
  const many = Array.from({ length: 20_000 }, () => ["some text"]);
  const rows = ReadableStream.from<RowPart>((async function* () {
    yield PARTS[0];
    yield { kind: "rows", rows: many };
    yield PARTS[1];
    // As a second signal does, which ends the process at once.
    output.failure("x", REPORT, []);
    yield PARTS[1];
    throw new Error("gone");
  })());
  await assert.rejects(async () => await output.result("x", { data: null, rows }, []), /gone/);
  const { ok, results } = JSON.parse(written.join(""));
  assert.deepEqual([ok, results[0].rows.length], [false, many.length + PARTS[1].rows.length]);
});

Deno.test("createOutput: rows that stdout does not take are not asked for any more", async () => {
  for (const json of [true, false]) {
    let tries = 0;
    const { output } = printing(json, () => {
      tries++;
      throw new Error("No space left on device");
    });
    const { rows, state } = rowsOf([...PARTS, ...PARTS, ...PARTS]);
    await assert.rejects(
      async () => await output.result("x", { data: null, rows }, []),
      /No space/,
    );
    output.failure("x", REPORT, []);
    assert.deepEqual([tries, state.cancelled], [1, true]);
  }
});

Deno.test("createOutput: rows are written in pieces, not one by one and not all at once", async () => {
  const rows = Array.from({ length: 1000 }, (_, index) => [`value ${index}`]);
  const parts = Array.from({ length: 100 }, () => ({ kind: "rows", rows }) as const);
  const { output, written } = printing(false);
  const given = rowsOf([PARTS[0], ...parts, PARTS[2]]);
  await output.result("x", { data: null, rows: given.rows, format: "csv" }, []);
  assert.equal(written.join("").split("\n").length, 100_000 + 2);
  assert(written.length > 10 && written.length < 30, `${written.length} pieces`);
});
