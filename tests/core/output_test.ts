import assert from "assert";
import { createOutput } from "../../core/output.ts";

function printing(json: boolean, write?: (text: string) => void) {
  const written: string[] = [];
  const output = createOutput({
    stdout: {
      write: write ?? ((text) => void written.push(text)),
      isTerminal: false,
      columns: () => 80,
    },
    json,
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
  });
});

Deno.test("createOutput: as JSON, data is there even when a command returns none", () => {
  const { output, written } = printing(true);
  output.result("x", { data: undefined }, []);
  assert.deepEqual(JSON.parse(written[0] ?? ""), { ok: true, command: "x", data: null });
});

Deno.test("createOutput: as JSON, a failure is one object, with or without a command", () => {
  const known = printing(true);
  known.output.failure("x", REPORT, ["w"]);
  assert.deepEqual(JSON.parse(known.written[0] ?? ""), {
    ok: false,
    command: "x",
    error: REPORT,
    warnings: ["w"],
  });
  const unknown = printing(true);
  unknown.output.failure(undefined, REPORT, []);
  assert.deepEqual(JSON.parse(unknown.written[0] ?? ""), { ok: false, error: REPORT });
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
    redact: (text) => text.replaceAll(secret, "***"),
  });
  output.failure("x", { ...REPORT, message: `login with ${secret} failed` }, []);
  assert.equal(JSON.parse(written[0] ?? "").error.message, "login with *** failed");
});
