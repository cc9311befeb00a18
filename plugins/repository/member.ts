/**
 * Members of a dump in pg_dump's directory format, checked as they flow by. Nothing tells how long
 * one is, so its end has to: rows that are not compressed end with a line of their own, and every
 * method of compression tells where it ends.
 */
import { OperationError } from "../../core/plugin.ts";
import { followLz4 } from "./lz4.ts";
import { checkText, type PlainCheck, type Text } from "./plain_dump.ts";
import { followFrames } from "./zstd.ts";

/** What the rows of a table end with (`dumpTableData_copy` of PostgreSQL's `pg_dump.c`). */
const END_OF_ROWS = "\\.\n\n\n";

/**
 * Makes a check for a member. Large objects that are not compressed have no end that tells; neither
 * has the table of contents, which is read for itself.
 *
 * @param name such as `3351.dat.gz` or `blob_16425.dat`
 */
export async function createMemberCheck(name: string): Promise<PlainCheck> {
  if (name.endsWith(".gz")) return await checkText("gzip", NOTHING);
  const frames = name.endsWith(".zst")
    ? followFrames()
    : name.endsWith(".lz4")
    ? followLz4()
    : undefined;
  if (frames === undefined) return await checkText("none", /^\d/.test(name) ? rows() : NOTHING);
  // Of a large object without a byte pg_dump writes an empty file, without a frame.
  let empty = name.startsWith("blob_");
  return {
    push(bytes) {
      empty &&= bytes.length === 0;
      return Promise.resolve(frames.push(bytes));
    },
    end: () => Promise.resolve(empty ? undefined : frames.end()),
    drop: () => {},
  };
}

const NOTHING: Text = { take: () => {}, end: () => {} };

function rows(): Text {
  let tail = "";
  const decoder = new TextDecoder("latin1");
  return {
    take(bytes) {
      tail = (tail + decoder.decode(bytes.subarray(-END_OF_ROWS.length))).slice(
        -END_OF_ROWS.length,
      );
    },
    end() {
      if (tail === END_OF_ROWS) return;
      throw new OperationError("The rows break off: their last line is missing", {
        code: "truncated_archive",
      });
    },
  };
}
