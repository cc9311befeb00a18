/** The table of contents of a dump of any form, read from its first bytes. */
import {
  type Archive,
  type ContentsReader,
  createContentsReader,
} from "../repository/archive_contents.ts";
import type { DumpFormat } from "./contents.ts";
import { readHead } from "./tar.ts";

export type { Archive, Entry, Section } from "../repository/archive_contents.ts";

/** Bytes of a member's head. */
const HEAD = 512;

/**
 * Reads the table of contents, and gives the stream up behind it.
 *
 * @param stream a custom archive, a directory's `toc.dat`, or a tar
 * @throws OperationError `bad_archive`, `unknown_archive` or `truncated_archive`
 */
export async function readTableOfContents(
  stream: ReadableStream<Uint8Array>,
  { format }: { readonly format: Exclude<DumpFormat, "plain"> },
): Promise<Archive> {
  const reader = format === "tar" ? firstMember(createContentsReader()) : createContentsReader();
  // Leaving the loop cancels the stream.
  for await (const chunk of stream) {
    const archive = reader.push(chunk);
    if (archive !== undefined) return { ...archive, format };
  }
  return { ...reader.end(), format };
}

/** Reads the first member of a tar, which pg_dump writes the table of contents into. */
function firstMember(reader: ContentsReader): ContentsReader {
  let head = new Uint8Array();
  let left: number | undefined;
  return {
    push(bytes) {
      let rest = bytes;
      if (left === undefined) {
        const missing = HEAD - head.length;
        const all = new Uint8Array(head.length + Math.min(missing, bytes.length));
        all.set(head);
        all.set(bytes.subarray(0, missing), head.length);
        head = all;
        if (head.length < HEAD) return undefined;
        left = readHead(head).size;
        rest = bytes.subarray(missing);
      }
      const part = rest.subarray(0, left);
      left -= part.length;
      const archive = part.length === 0 ? undefined : reader.push(part);
      return archive ?? (left === 0 ? reader.end() : undefined);
    },
    end: () => reader.end(),
  };
}
