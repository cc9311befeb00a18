import assert from "assert";
import { byteText, createProgressLine, progressText } from "../../core/progress.ts";

function drawing(more: { terminal?: boolean; enabled?: boolean; columns?: number } = {}) {
  const written: string[] = [];
  const clock = { now: 0 };
  const line = createProgressLine({
    stream: {
      write: (text) => void written.push(text),
      isTerminal: more.terminal ?? true,
      columns: () => more.columns ?? 80,
    },
    enabled: more.enabled ?? true,
    now: () => clock.now,
    redact: (text) => text.replaceAll("hunter2", "***"),
  });
  return { line, written, clock };
}

Deno.test("createProgressLine: draws over itself, and clears without a trace", () => {
  const { line, written, clock } = drawing();
  line.show({ label: "One" });
  clock.now += 200;
  line.show({ label: "Two" });
  line.clear();
  assert.deepEqual(written, ["\r\x1b[KOne", "\r\x1b[KTwo", "\r\x1b[K"]);
});

Deno.test("createProgressLine: null clears", () => {
  const { line, written } = drawing();
  line.show({ label: "One" });
  line.show(null);
  line.show(null);
  assert.deepEqual(written, ["\r\x1b[KOne", "\r\x1b[K"]);
});

Deno.test("createProgressLine: draws at most ten times a second", () => {
  const { line, written, clock } = drawing();
  for (; clock.now < 1000; clock.now++) line.show({ label: "On", done: clock.now });
  assert.equal(written.length, 10);
});

Deno.test("createProgressLine: is drawn again after a line of the log has cleared it", () => {
  const { line, written, clock } = drawing();
  line.show({ label: "One" });
  line.clear();
  clock.now += 1;
  line.show({ label: "One" });
  assert.equal(written.at(-1), "\r\x1b[KOne");
});

Deno.test("createProgressLine: writes nothing where there is no terminal, or it is switched off", () => {
  for (const more of [{ terminal: false }, { enabled: false }]) {
    const { line, written } = drawing(more);
    line.show({ label: "One" });
    line.show(null);
    line.clear();
    assert.deepEqual(written, []);
  }
});

Deno.test("createProgressLine: keeps to one line of the terminal, whatever the label holds", () => {
  const { line, written } = drawing({ columns: 20 });
  line.show({ label: `${"x".repeat(50)}\n` });
  assert.equal(written[0], `\r\x1b[K${"x".repeat(19)}`);
  const other = drawing();
  other.line.show({ label: "a\nb\x1b[2Jc" });
  assert.deepEqual(other.written, ["\r\x1b[Ka b\\x1b[2Jc"]);
});

Deno.test("createProgressLine: masks secrets", () => {
  const { line, written } = drawing();
  line.show({ label: "hunter2" });
  assert.doesNotMatch(written.join(""), /hunter2/);
});

Deno.test("progressText: tells the share where the total is known", () => {
  assert.equal(progressText({ label: "Applying" }), "Applying");
  assert.equal(progressText({ label: "Applying", done: 2 }), "Applying · 2");
  assert.equal(progressText({ label: "Applying", done: 2, total: 3 }), "Applying · 2/3 (66 %)");
  assert.equal(progressText({ label: "Applying", done: 0, total: 0 }), "Applying · 0");
  assert.equal(
    progressText({ label: "Reading", done: 1536, total: 2048, unit: "bytes" }),
    "Reading · 1.5 KiB/2.0 KiB (75 %)",
  );
});

Deno.test("byteText: has binary units, and bytes are whole", () => {
  const texts = [0, 1, 1023, 1024, 1536, 1024 ** 2 - 1, 1024 ** 2, 1024 ** 4, 1024 ** 5].map(
    byteText,
  );
  assert.deepEqual(texts, [
    "0 B",
    "1 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "1024.0 KiB",
    "1.0 MiB",
    "1.0 TiB",
    "1024.0 TiB",
  ]);
});
