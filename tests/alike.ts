/** Whether two databases are the same, as pg_dump and the catalogue tell it. */
import assert from "assert";
import { createHash } from "node:crypto";
import { contentsOf } from "./backup_project.ts";
import { clientTools, type TestDatabase } from "./database.ts";

/** How databases are compared. */
export interface AlikeOptions {
  /** The pg_dump that tells of both; by default the installed one. */
  readonly pgDump?: string;
  /** Arguments of pg_dump beside the usual ones: what is to be left out on both sides. */
  readonly args?: readonly string[];
  /** Lines that are left out of the dumps of both. */
  readonly without?: RegExp;
  /** What is told of in the message when they differ. */
  readonly what?: string;
}

/** Bytes up to which the lines of a dump are kept, to show in which of them it differs. */
const SHOWN = 32 * 1024 * 1024;

/** Lines that differ between any two dumps. */
const UNIQUE = /^\\(?:un)?restrict |^-- (?:Dumped|Started|Completed) /;

/**
 * Requires that two databases are alike: their whole dumps, line by line, and the rows and sequences
 * themselves.
 */
export async function requireAlike(
  actual: TestDatabase,
  expected: TestDatabase,
  options: AlikeOptions = {},
): Promise<void> {
  await requireDumpsAlike(actual, expected, options);
  assert.deepEqual(
    await contentsOf(actual),
    await contentsOf(expected),
    options.what ?? "contents",
  );
}

/** What is kept of a database, to compare with when it is not there any more. */
export interface Likeness {
  readonly dump: DumpedText;
  readonly contents: Readonly<Record<string, string>>;
}

/** Tells what a database is like. */
export async function likenessOf(
  database: TestDatabase,
  options: AlikeOptions = {},
): Promise<Likeness> {
  return { dump: await dumpText(database, options), contents: await contentsOf(database) };
}

/** Requires that a database is as another one was. */
export async function requireLikeness(
  actual: TestDatabase,
  expected: Likeness,
  options: AlikeOptions = {},
): Promise<void> {
  requireSameText(await dumpText(actual, options), expected.dump, options);
  assert.deepEqual(await contentsOf(actual), expected.contents, options.what ?? "contents");
}

/** Requires that the dumps of two databases are alike. */
export async function requireDumpsAlike(
  actual: TestDatabase,
  expected: TestDatabase,
  options: AlikeOptions = {},
): Promise<void> {
  const [a, b] = [await dumpText(actual, options), await dumpText(expected, options)];
  requireSameText(a, b, options);
}

/** The text of a dump, without what differs each time. */
export interface DumpedText {
  readonly sha256: string;
  /** Undefined when there are too many of them to keep. */
  readonly lines: readonly string[] | undefined;
}

function requireSameText(
  a: DumpedText,
  b: DumpedText,
  { what = "the dumps" }: AlikeOptions,
): void {
  if (a.sha256 === b.sha256) return;
  const lines = a.lines ?? [];
  const at = lines.findIndex((line, index) => line !== b.lines?.[index]);
  const around = (text: DumpedText) => text.lines?.slice(Math.max(0, at - 8), at + 8).join("\n");
  assert.fail(
    `${what} differ from line ${at + 1} on:\n--- actual\n${around(a)}\n--- expected\n${around(b)}`,
  );
}

async function dumpText(
  { url }: TestDatabase,
  { pgDump, args = [], without }: AlikeOptions,
): Promise<DumpedText> {
  const child = new Deno.Command(pgDump ?? (await clientTools())?.pgDump ?? "", {
    // What was done to a database is another story of each.
    args: [
      "--no-password",
      "--format=plain",
      "--exclude-schema=observatory",
      ...args,
      `--dbname=${url}`,
    ],
    env: { LC_ALL: "C" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  const text = createDumpText(without);
  // Lines may be longer than all the others together; joined once, not with each piece.
  let rest: string[] = [];
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream("utf-8"))) {
    const pieces = piece.split("\n");
    rest.push(pieces[0] ?? "");
    for (const next of pieces.slice(1)) {
      text.line(rest.join(""));
      rest = [next];
    }
  }
  text.line(rest.join(""));
  const { success } = await child.status;
  assert(success, await errors);
  return text.end();
}

/**
 * Takes a dump line by line. The rows of a table count in any order: where the pages of a table are
 * not filled to the brim, a short row may find its place before a long one.
 */
function createDumpText(
  without: RegExp | undefined,
): { line(text: string): void; end(): DumpedText } {
  const hash = createHash("sha256");
  const lines: string[] = [];
  let kept = 0;
  let rows: string[] | undefined;
  let sum = 0n;
  const keep = (line: string) => {
    hash.update(line).update("\n");
    if (kept <= SHOWN) lines.push(line);
  };
  return {
    line(text) {
      if (UNIQUE.test(text) || without?.test(text) === true) return;
      kept += text.length;
      if (rows !== undefined && text !== "\\.") {
        sum += createHash("md5").update(text).digest().readBigUInt64LE();
        if (kept <= SHOWN) rows.push(text);
        return;
      }
      if (rows !== undefined) {
        hash.update(String(sum));
        for (const row of rows.sort()) lines.push(row);
        rows = undefined;
      }
      keep(text);
      // Names may hold ends of lines.
      if (/ FROM stdin;$/.test(text)) [rows, sum] = [[], 0n];
    },
    end: () => ({ sha256: hash.digest("hex"), lines: kept <= SHOWN ? lines : undefined }),
  };
}
