/**
 * A script of pg_dump made fit for one transaction: around its large objects it has a transaction of
 * its own (`pg_backup_archiver.c`, `StartRestoreLOs`), whose COMMIT would end the one around it all.
 */
import { Buffer } from "node:buffer";

/** What ends the rows of a table; the line end before it belongs to what precedes. */
const END_OF_ROWS = "\n\\.\n";

/** How the statement before rows ends; names in it may hold ends of lines. */
const COPY = / FROM stdin;$/;

/** The comment before large objects, which ends with two lines more. */
const OBJECTS = /^-- Data for Name: .*; Type: BLOBS;/s;

/** Where the script is. */
type State =
  | "statements"
  | "rows"
  /** Behind the comment, one line after the other. */
  | "comment"
  | "blank"
  | "begin"
  /** Among large objects. */
  | "objects";

/**
 * Takes the BEGIN and the COMMIT around large objects out of a script; all else passes as it is.
 *
 * @param script as pg_dump or pg_restore writes it
 */
export async function* inOneTransaction(
  script: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let state: State = "statements";
  let rest = Buffer.alloc(0);
  for await (const chunk of script) {
    const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    const pieces: Buffer[] = [];
    let at = 0;
    for (;;) {
      if (state === "rows") {
        const end = bytes.indexOf(END_OF_ROWS, at, "latin1");
        // Its beginning may be there already.
        const to = end < 0 ? Math.max(at, bytes.length - END_OF_ROWS.length + 1) : end;
        pieces.push(bytes.subarray(at, to));
        at = to;
        if (end < 0) break;
        pieces.push(bytes.subarray(end, end + END_OF_ROWS.length));
        at = end + END_OF_ROWS.length;
        state = "statements";
      }
      const end = bytes.indexOf(10, at);
      if (end < 0) break;
      const line = bytes.toString("latin1", at, Math.min(end, at + 8192));
      const next = following(state, line);
      if (next === "rows") {
        // The line end stays, since an empty table ends with it.
        pieces.push(bytes.subarray(at, end));
        at = end;
      } else {
        if (!isDropped(state, next)) pieces.push(bytes.subarray(at, end + 1));
        at = end + 1;
      }
      state = next;
    }
    rest = bytes.subarray(at);
    const whole = Buffer.concat(pieces);
    // What is kept must not change with the chunk.
    rest = Buffer.from(rest);
    if (whole.length > 0) yield whole;
  }
  if (rest.length > 0) yield rest;
}

function following(state: State, line: string): State {
  if (state === "comment") return line === "--" ? "blank" : "statements";
  if (state === "blank") return line === "" ? "begin" : "statements";
  if (state === "begin") return line === "BEGIN;" ? "objects" : "statements";
  if (state === "objects") return line === "COMMIT;" ? "statements" : "objects";
  if (OBJECTS.test(line)) return "comment";
  return COPY.test(line) ? "rows" : "statements";
}

function isDropped(from: State, to: State): boolean {
  return from === "begin" && to === "objects" || from === "objects" && to === "statements";
}
