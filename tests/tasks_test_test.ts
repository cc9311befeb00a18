import assert from "assert";
import { countsLine, countsOf } from "../tasks/test.ts";

Deno.test("countsOf: reads the summary, coloured or not", () => {
  const line = "\x1b[0m\x1b[32mok\x1b[0m | 12 passed (3 steps) | 0 failed | 2 ignored (1 step) " +
    "| 4 filtered out \x1b[0m\x1b[38;5;245m(1m2s)\x1b[0m\n\n";
  assert.deepEqual(countsOf(line, 0), { passed: 12, failed: 0, skipped: 2 });
  assert.deepEqual(countsOf("FAILED | 7 passed | 3 failed (17s)\n", 1), {
    passed: 7,
    failed: 3,
    skipped: 0,
  });
});

Deno.test("countsOf: takes the last summary, not one that a test has printed", () => {
  const output = "ok | 99 passed | 0 failed (1s)\n...\nok | 1 passed | 0 failed (2s)\n";
  assert.deepEqual(countsOf(output, 0), { passed: 1, failed: 0, skipped: 0 });
});

Deno.test("countsOf: counts a failure when the run tells no result", () => {
  for (
    const [output, code] of [
      ["", 1],
      ["", 0],
      ["error: Type checking failed\n", 1],
      ["ok | 0 passed | 0 failed | 5 filtered out (1s)\n", 0],
      ["ok | 3 passed | 0 failed (1s)\n", 1],
      ["FAILED | 3 passed | 1 failed (1s)\n", 0],
    ] as const
  ) {
    assert.equal(countsOf(output, code).failed, 1, `${output} with exit code ${code}`);
  }
});

Deno.test("countsLine: names skipped tests only when there are some", () => {
  assert.equal(countsLine({ passed: 2, failed: 0, skipped: 0 }), "2 passed, 0 failed");
  assert.equal(countsLine({ passed: 2, failed: 1, skipped: 3 }), "2 passed, 1 failed, 3 skipped");
});
