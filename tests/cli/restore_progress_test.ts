/** How far a restore has come, as who watches it is told. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { holdHere, makeShim, type Shim } from "../faults/shim.ts";
import { terminalMissing, usersKind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { type Project, project } from "./project.ts";

const ignore = skipWhenMissing(
  "progress of restores on a terminal",
  await clientToolsMissing() ?? await terminalMissing(),
);

/** Bytes of a dump after which its reader is held; there are many more. */
const HELD_AT = 200_000;

/** A backup of more than pipes hold, made in one of the formats, whose database is empty again. */
async function backedUp(format: string): Promise<Project> {
  const given = await project(usersKind, {});
  await given.database.query(
    `CREATE TABLE first AS SELECT i, sha512(i::text::bytea) AS noise FROM generate_series(1, 60000) i;
     CREATE TABLE second AS TABLE first`,
  );
  const { code, stderr } = await given.run(["backup", `--format=${format}`]);
  assert.equal(code, 0, stderr);
  await given.database.query("DROP TABLE first, second");
  return given;
}

/** Restores on a terminal, held in its middle until the pattern has been shown. */
async function requireShown(
  given: Project,
  { shim, variable, words, shown, args = [] }: {
    readonly shim: Shim;
    readonly variable: string;
    readonly words: (flag: string) => string;
    readonly shown: RegExp;
    readonly args?: readonly string[];
  },
): Promise<void> {
  const hold = shim.holdAt((flag) => ({ PG_BIN_DIR: shim.directory, [variable]: words(flag) }));
  const run = await given.start(["restore", "latest", "--force", ...args], {
    terminal: true,
    env: { ...hold.env, TERM: "xterm" },
  });
  await hold.reached();
  await run.until(shown);
  await hold.release();
  const { code, stdout } = await run.result();
  assert.equal(code, 0, stdout);
  // The line is cleared when there is no more to tell.
  assert.doesNotMatch(stdout.slice(stdout.lastIndexOf("\x1b[K")), /%/);
}

for (const format of ["custom", "plain"]) {
  Deno.test({
    name: `restore: tells the bytes that have come, of how many, and what is restored: ${format}`,
    ignore,
    async fn() {
      await using given = await backedUp(format);
      await using shim = await makeShim();
      await requireShown(given, {
        shim,
        variable: format === "plain" ? "FAULT_PSQL" : "FAULT_RESTORE",
        words: (flag) => `fed ${HELD_AT} ${flag}`,
        shown: /Restoring [^\r\n]*\d+(\.\d+)? (KiB|MiB)[^\r\n]*\b\d+ ?%/,
      });
    },
  });
}

Deno.test({
  name: "restore: tells the items that are finished, of how many: by jobs",
  ignore,
  async fn() {
    await using given = await backedUp("directory");
    await using shim = await makeShim();
    await requireShown(given, {
      shim,
      variable: "FAULT_RESTORE",
      // It has told of all items when it is held.
      words: (flag) => `whole; code=$?; ${holdHere(flag)}; exit $code`,
      shown: /Restoring [^\r\n]*(first|second) · \d+\/\d+ \(\d+ %\)/,
      args: ["--jobs=2"],
    });
  },
});
