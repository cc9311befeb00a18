/**
 * Rows on their way to stdout. They are the user's data and go out as the server gives them: secrets
 * are not masked in them, since a value that equals the password `postgres` is still that value.
 */
import type { RowFormat, RowPart } from "../plugin.ts";
import { csvWriter } from "./csv.ts";
import { jsonRowWriter } from "./json.ts";
import { tableWriter } from "./table.ts";
import type { RowWriter } from "./writer.ts";

/** Text is written in pieces of at least this size where it comes without a pause. */
const WRITTEN_CHARACTERS = 64 << 10;

/** Makes the writer of a format. */
export function writerOf(format: RowFormat, warn: (message: string) => void): RowWriter {
  switch (format) {
    case "table":
      return tableWriter();
    case "csv":
      return csvWriter();
    case "json":
      return jsonRowWriter({ lines: false, warn });
    case "ndjson":
      return jsonRowWriter({ lines: true, warn });
  }
}

/** Text that waits until it is worth writing. */
export class Waiting {
  readonly #write: (text: string) => void;
  #text = "";

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** Adds text; writes all of it when it is much. */
  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= WRITTEN_CHARACTERS) this.flush();
  }

  /** Writes what there is, and whatever that leads to not a second time. */
  flush(): void {
    const text = this.#text;
    this.#text = "";
    if (text !== "") this.#write(text);
  }
}

/**
 * Writes rows as they come, no faster than they are taken.
 *
 * @throws what the stream fails with, when all that came before is written; what writing throws,
 * when the stream is cancelled
 */
export async function writeRows(
  rows: ReadableStream<RowPart>,
  { writer, waiting }: { readonly writer: RowWriter; readonly waiting: Waiting },
): Promise<void> {
  try {
    for await (const part of rows) {
      waiting.add(writer.part(part));
      if (part.kind === "end") waiting.flush();
    }
  } finally {
    waiting.flush();
  }
}
