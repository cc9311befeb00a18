import assert from "assert";
import type { Progress } from "../../core/plugin.ts";
import { byteText, createProgressLine, progressText } from "../../core/progress.ts";

function drawing(more: { terminal?: boolean; enabled?: boolean; columns?: number } = {}) {
  const written: string[] = [];
  const reported: [text: string, state: Progress][] = [];
  const clock = { now: 0 };
  const timers = new Set<{ at: number; work: () => void }>();
  const line = createProgressLine({
    stream: {
      write: (text) => void written.push(text),
      isTerminal: more.terminal ?? true,
      columns: () => more.columns ?? 80,
    },
    enabled: more.enabled ?? true,
    now: () => clock.now,
    redact: (text) => text.replaceAll("hunter2", "***"),
    report: (text, state) => void reported.push([text, state]),
    after(milliseconds, work) {
      const timer = { at: clock.now + milliseconds, work };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  });
  /** Lets time go by in which nothing is shown. */
  function pass(milliseconds: number): void {
    const end = clock.now + milliseconds;
    for (;;) {
      const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      timers.delete(next);
      clock.now = next.at;
      next.work();
    }
    clock.now = end;
  }
  return { line, written, reported, clock, timers, pass };
}

/** The text that was drawn last. */
function drawn({ written }: { readonly written: readonly string[] }): string {
  return written.at(-1)?.replace("\r\x1b[K", "") ?? "";
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

Deno.test("createProgressLine: the last state is shown, also when none follows it for long", () => {
  const { line, written, pass, timers } = drawing();
  for (const label of ["One", "Two", "Three"]) line.show({ label });
  assert.deepEqual(written, ["\r\x1b[KOne"]);
  pass(100);
  assert.deepEqual(written, ["\r\x1b[KOne", "\r\x1b[KThree"]);
  pass(60_000);
  assert.equal(written.length, 2);
  line.show({ label: "Four" });
  line.show({ label: "Five" });
  line.hide();
  pass(100);
  assert.equal(written.at(-1), "\r\x1b[KFive");
  line.show({ label: "Six" });
  // Somebody is asked now.
  line.clear();
  assert.equal(timers.size, 0);
});

Deno.test("createProgressLine: without a terminal what says nothing is reported all the same", () => {
  const { line, reported, pass, timers } = drawing({ terminal: false });
  line.show({ label: "Building an index", done: 1, total: 2, unit: "items" });
  pass(95_000);
  assert.deepEqual(
    reported.map(([text]) => text),
    Array(3).fill("Building an index · 1/2 (50 %)"),
  );
  line.show(null);
  assert.equal(timers.size, 0);
});

Deno.test("createProgressLine: is drawn again after a line of the log has cleared it", () => {
  const { line, written, clock } = drawing();
  line.show({ label: "One" });
  line.hide();
  clock.now += 1;
  line.show({ label: "One" });
  assert.equal(written.at(-1), "\r\x1b[KOne");
});

Deno.test("createProgressLine: draws nothing where there is no terminal, or it is switched off", () => {
  for (const more of [{ terminal: false }, { enabled: false }]) {
    const { line, written, reported } = drawing(more);
    line.show({ label: "One" });
    line.show(null);
    line.clear();
    assert.deepEqual([written, reported], [[], []]);
  }
});

Deno.test("createProgressLine: tells the rate of bytes and rows and the time left, and of nothing else", () => {
  for (
    const [unit, per, expected] of [
      ["bytes", 1_048_576, "Dumping · 5.0 MiB/40.0 MiB (12 %) · 1.0 MiB/s · 0:35 left"],
      ["rows", 1000, "Dumping · 5000/40000 (12 %) · 1000 rows/s · 0:35 left"],
      ["items", 1, "Dumping · 5/40 (12 %)"],
      [undefined, 1, "Dumping · 5/40 (12 %)"],
    ] as const
  ) {
    const shown = drawing();
    const { line, clock } = shown;
    for (let second = 0; second <= 5; second++, clock.now += 1000) {
      const state = { label: "Dumping", done: second * per, total: 40 * per };
      line.show(unit === undefined ? state : { ...state, unit });
    }
    assert.equal(drawn(shown), expected);
  }
});

Deno.test("createProgressLine: the rate is that of the last ten seconds, however often it is shown", () => {
  for (const step of [100, 250, 1000, 3000]) {
    const shown = drawing();
    const { line, clock } = shown;
    const show = (done: number) => line.show({ label: "L", done, unit: "bytes" });
    // A fast minute, then a slow one, then nothing.
    let done = 0;
    for (; clock.now < 60_000; clock.now += step) show(done += step * 1024);
    assert.match(drawn(shown), /· 1000\.0 KiB\/s$/);
    for (; clock.now < 120_000; clock.now += step) show(done += step);
    assert.match(drawn(shown), /· 1000 B\/s$/);
    for (; clock.now < 135_000; clock.now += step) show(done);
    assert.match(drawn(shown), /· 0 B\/s$/, "it stands still");
  }
});

Deno.test("createProgressLine: a rate is told after a second, and anew when something else is done", () => {
  const shown = drawing();
  const { line, clock } = shown;
  const show = (done: number, more: Partial<Progress> = {}) => {
    clock.now += 999;
    line.show({ label: "L", done, total: 10_000, unit: "rows", ...more });
    return drawn(shown).split(" · ").slice(2).join(" · ");
  };
  assert.equal(show(0), "");
  assert.equal(show(999), "");
  assert.equal(show(1998), "1000 rows/s · 0:09 left");
  assert.equal(show(2997, { label: "Other" }), "1000 rows/s · 0:08 left");
  assert.equal(show(0, { label: "Other" }), "", "another file from its start");
  assert.equal(show(999), "");
  assert.equal(show(1998), "1000 rows/s · 0:09 left");
  line.show(null);
  assert.equal(show(1998), "", "it was over");
  assert.equal(show(2997), "");
  assert.equal(show(3996), "1000 rows/s · 0:07 left");
  clock.now -= 5000;
  assert.equal(show(4995), "", "the clock was set back");
  assert.equal(show(5000, { unit: "bytes" }), "", "something else is counted");
  line.show({ label: "L" });
  assert.equal(show(5500, { unit: "bytes" }), "");
});

Deno.test("createProgressLine: without a terminal a line is reported every 30 seconds of what lasts", () => {
  for (const more of [{ terminal: false }, { enabled: false }]) {
    const { line, written, reported, clock } = drawing(more);
    const report = (seconds: number) => {
      for (; clock.now < seconds * 1000; clock.now += 100) {
        line.show({ label: "Dumping\ntraces", done: clock.now, total: 200_000, unit: "bytes" });
      }
      return reported.splice(0);
    };
    assert.deepEqual(report(30), []);
    const [[text, state] = [], ...rest] = report(60);
    assert.equal(text, "Dumping traces · 29.3 KiB/195.3 KiB (15 %) · 1000 B/s · 2:50 left");
    assert.deepEqual(state, {
      label: "Dumping\ntraces",
      done: 30_000,
      total: 200_000,
      unit: "bytes",
    });
    assert.deepEqual(rest, []);
    assert.equal(report(125).length, 3);
    // A line of the log in between changes nothing; an end does.
    line.clear();
    assert.equal(report(155).length, 1);
    line.show(null);
    assert.equal(report(184).length, 0);
    assert.equal(report(190).length, 1);
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

Deno.test("progressText: the time left is there when it can be told", () => {
  const text = (done: number, total: number | undefined, perSecond: number) =>
    progressText({ label: "L", done, unit: "rows", ...(total && { total }) }, perSecond);
  assert.equal(text(30, 100, 2), "L · 30/100 (30 %) · 2 rows/s · 0:35 left");
  assert.equal(text(30, 100, 0.01), "L · 30/100 (30 %) · 0 rows/s · 1:56:40 left");
  assert.equal(text(0, 1_000_000, 2.5), "L · 0/1000000 (0 %) · 3 rows/s · 111:06:40 left");
  assert.equal(text(40, 100, 0.1), "L · 40/100 (40 %) · 0 rows/s · 10:00 left");
  assert.equal(text(99, 100, 7), "L · 99/100 (99 %) · 7 rows/s · 0:01 left");
  for (const [done, total, perSecond] of [[30, 100, 0], [100, 100, 2], [130, 100, 2]] as const) {
    assert.doesNotMatch(text(done, total, perSecond), /left/);
  }
  assert.equal(text(30, undefined, 2), "L · 30 · 2 rows/s");
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
