import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { readOptions, type RestoreFlags } from "../../plugins/restore/options.ts";

const NONE: RestoreFlags = {
  "clean": false,
  "create": false,
  "schema-only": false,
  "data-only": false,
  "tables": [],
  "jobs": undefined,
  "into": undefined,
  "swap": false,
  "finish": false,
  "undo": false,
  "kept": undefined,
  "plan": false,
  "at": undefined,
  "s3-download": false,
  "where": undefined,
  "endpoint-url": undefined,
  "output-dir": undefined,
  "database": undefined,
  "identity": undefined,
  "no-owner": false,
  "no-privileges": false,
  "no-tablespaces": false,
  "no-analyze": false,
  "no-compare": false,
  "lock-wait": 10,
};

/** What is said of flags that do not go together. */
function problems(name: string | undefined, flags: Partial<RestoreFlags>): unknown {
  try {
    readOptions(name, { ...NONE, ...flags });
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    assert.equal(error.kind, "usage");
    return error.details["problems"];
  }
  return undefined;
}

Deno.test("restore options: the defaults restore everything, in place", () => {
  const options = readOptions("latest", NONE);
  assert.equal(options.kind, "restore");
  assert.ok(options.kind === "restore");
  assert.deepEqual(
    [options.name, options.parts, options.swap, options.into, options.owners, options.analyze],
    ["latest", "all", false, undefined, true, true],
  );
});

Deno.test("restore options: a moment is one in UTC unless it says otherwise", () => {
  const at = (text: string) => {
    const options = readOptions(undefined, { ...NONE, at: text });
    assert.ok(options.kind === "restore");
    return new Date(options.at ?? NaN).toISOString();
  };
  assert.equal(at("2024-01-31"), "2024-01-31T00:00:00.000Z");
  assert.equal(at("2024-01-31 12:30"), "2024-01-31T12:30:00.000Z");
  assert.equal(at("2024-01-31T12:30:05z"), "2024-01-31T12:30:05.000Z");
  assert.equal(at("2024-01-31T12:30:05+02:00"), "2024-01-31T10:30:05.000Z");
  for (const text of ["yesterday", "31.01.2024", "2024-13-01", "12:00"]) {
    assert.match(String(problems(undefined, { at: text })), /--at is a moment/, text);
  }
});

Deno.test("restore options: what does not go together is told at once", () => {
  assert.deepEqual(problems(undefined, {}), [
    "What is to be restored is missing: a file, a backup's name, or latest",
  ]);
  assert.deepEqual(problems("x", { "schema-only": true, "data-only": true, "jobs": 0 }), [
    "--jobs is a whole number from 1 to 256",
    "--schema-only and --data-only exclude each other",
  ]);
  assert.deepEqual(problems("x", { swap: true, clean: true, into: "y" }), [
    "--swap puts a whole new database in the place of the old one, so --clean has no meaning with it",
    "--swap puts a whole new database in the place of the old one, so --into has no meaning with it",
  ]);
  assert.match(
    String(problems("x", { "s3-download": true, "where": "local" })),
    /--where local from this machine/,
  );
  assert.match(String(problems("x", { at: "2024-01-01" })), /--at chooses the backup/);
  assert.equal(problems("latest", { at: "2024-01-01" }), undefined);
  assert.match(String(problems("x", { tables: ['"a'] })), /a double quote is open/);
  assert.match(String(problems("x", { tables: [","] })), /--tables names no table/);
  assert.match(String(problems("x", { "clean": true, "data-only": true })), /--clean drops/);
});

Deno.test("restore options: finish and undo name no backup", () => {
  assert.deepEqual(readOptions(undefined, { ...NONE, finish: true }), {
    kind: "finish",
    kept: undefined,
    planOnly: false,
    lockWait: 10,
  });
  assert.deepEqual(problems("x", { undo: true, swap: true }), [
    "--undo names no backup: it follows a restore with --swap",
    "--swap has no meaning with --undo",
  ]);
  assert.deepEqual(problems(undefined, { undo: true, finish: true }), [
    "--finish and --undo exclude each other",
  ]);
});
