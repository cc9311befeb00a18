import assert from "assert";
import fc from "fast-check";
import { type Level, LEVELS } from "../../plugins/repository/levels.ts";
import {
  knownFrom,
  parseVerification,
  saveVerification,
  type VerificationResult,
} from "../../plugins/repository/verification.ts";
import { backupFiles, FIRST, resultOf } from "../backup_files.ts";
import { memoryPlace, memoryStore } from "../memory_store.ts";

const HOUR = 3_600_000;
const { id, files } = backupFiles();

/** Results in the order of time, each an hour after the one before: `bytes`, or `!bytes` for a bad one. */
function results(...words: readonly string[]): VerificationResult[] {
  return words.map((word, index) =>
    resultOf({ level: word.replace("!", "") as Level, ok: !word.startsWith("!") }, {
      id,
      time: FIRST + index * HOUR,
    })
  );
}

Deno.test("knownFrom: the level is the highest that holds, and damage stays until something better", () => {
  for (
    const [words, level, damage] of [
      ["", null, null],
      ["bytes", "bytes", null],
      ["bytes restore", "restore", null],
      ["restore bytes", "restore", null],
      ["!bytes", null, "bytes"],
      // The same level has the last word.
      ["!read read", "read", null],
      ["read !read", null, "read"],
      // What is good at a higher level is good at the lower ones.
      ["!bytes restore", "restore", null],
      // What is bad at a lower level cannot be good at a higher one any more.
      ["restore !bytes", null, "bytes"],
      ["restore !bytes bytes", "restore", null],
      ["restore !bytes read", "read", null],
      // What is bad at a higher level may be good at a lower one, and stays damaged.
      ["bytes !restore", "bytes", "restore"],
      ["bytes !restore bytes", "bytes", "restore"],
      ["bytes !restore compare", "compare", null],
      ["!assert !bytes", null, "bytes"],
    ] as const
  ) {
    const known = knownFrom(results(...words.split(" ").filter((word) => word !== "")));
    assert.deepEqual([known.level, known.damage?.level ?? null], [level, damage], words);
  }
});

Deno.test("knownFrom: the order of the files does not matter, and of one moment the bad one counts", () => {
  const [good, bad] = [
    resultOf({ level: "read" }, { id, time: FIRST }),
    resultOf({ level: "read", ok: false }, { id, time: FIRST }),
  ];
  for (const pair of [[good, bad], [bad, good]]) {
    assert.deepEqual([knownFrom(pair).level, knownFrom(pair).damage], [null, bad]);
  }
  const some = fc.array(
    fc.record({ level: fc.constantFrom(...LEVELS), ok: fc.boolean(), time: fc.nat(5) }),
    { maxLength: 8 },
  ).chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
  fc.assert(fc.property(some, ([one, other]) => {
    const [first, second] = [one, other].map((all) =>
      knownFrom(
        all.map(({ level, ok, time }) => resultOf({ level, ok }, { id, time: FIRST + time })),
      )
    );
    assert.deepEqual([first?.level, first?.damage?.level], [second?.level, second?.damage?.level]);
    // Whatever is verified and not damaged has a good result, and none after it that is bad.
    if (first !== undefined && first.level !== null && first.damage === null) {
      const at = first.results.findLastIndex(({ level, ok }) => ok && level === first.level);
      assert(first.results.slice(at).every(({ ok, level }) => ok || level !== first.level));
    }
  }));
});

Deno.test("saveVerification: takes the second of its end, or the next one that is free", async () => {
  const place = memoryPlace(files);
  const store = memoryStore(place);
  const result = resultOf({}, { id, time: FIRST + 500 });
  const names = [await saveVerification(store, result), await saveVerification(store, result)];
  assert.deepEqual(names, [
    `${id}.verify-20240101T120000Z.json`,
    `${id}.verify-20240101T120001Z.json`,
  ]);
  for (const contents of await store.readTexts(names)) {
    assert.deepEqual(parseVerification(contents, id), result);
  }
  // Another run takes the name between the look and the writing.
  let lists = 0;
  const raced = memoryStore(place, {
    kind: "local",
    after({ method }) {
      const name = `${id}.verify-20240101T120002Z.json`;
      if (method === "list" && lists++ === 0) place.files.set(name, { contents: "", modified: 0 });
    },
  });
  assert.equal(await saveVerification(raced, result), `${id}.verify-20240101T120003Z.json`);
});
