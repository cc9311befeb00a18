/** What pg_dump says on stderr while it works (`--verbose`, messages in English). */

/** What was said, sorted out as it comes. */
export interface DumpMessages {
  /** Takes one line. */
  line(text: string): void;
  /** Warnings so far, each with its details. */
  readonly warnings: readonly string[];
  /** Errors so far, each with its details and hints. */
  readonly errors: readonly string[];
  /** The last line that was not empty, for where no error was told; empty when there was none. */
  readonly last: string;
  /**
   * Lines that are no message of pg_dump's: what the system says of it, what a killed one has left
   * unfinished, and what the processes of a parallel one have written into each other's lines.
   */
  readonly others: readonly string[];
}

/** Who is told while lines come. */
export interface DumpListener {
  /** A table's rows are being written now. */
  table?(name: string): void;
  /** Entry N of a directory's table of contents has been written, by a parallel dump. */
  finished?(id: number): void;
}

/** Sorts lines out. */
export function createDumpMessages(listener: DumpListener = {}): DumpMessages {
  const warnings: string[] = [];
  const errors: string[] = [];
  const others: string[] = [];
  let list: string[] | undefined;
  let last = "";
  return {
    warnings,
    errors,
    others,
    get last() {
      return last;
    },
    line(text) {
      if (text.trim() !== "") last = text;
      const match =
        /^(?:.*[/\\])?pg_dump(?:all)?(?:\.exe)?: (?:(error|warning|detail|hint|fatal): )?(.*)$/s
          .exec(text);
      const [, level, words = text] = match ?? [];
      if (level === "detail" || level === "hint" || match === null) {
        // A message of several lines, or its details.
        const at = list === undefined ? -1 : list.length - 1;
        if (list !== undefined && at >= 0) {
          list[at] += level === "hint"
            ? `; ${words}`
            : match === null
            ? `\n${text}`
            : ` (${words})`;
        } else if (match === null && text.trim() !== "") others.push(text);
        return;
      }
      list = level === "warning" ? warnings : level === undefined ? undefined : errors;
      list?.push(words);
      if (level !== undefined) return;
      const table = /^dumping contents of table "(.*)"$/s.exec(words)?.[1];
      if (table !== undefined) listener.table?.(table);
      const finished = /^finished item (\d+) /.exec(words)?.[1];
      if (finished !== undefined) listener.finished?.(Number(finished));
    },
  };
}

// What pg_dump says of TimescaleDB's own tables; where they are dumped as a whole, both sides of the
// circle are there, and the rows of a hypertable with its chunks.
const HARMLESS_WHEN_WHOLE =
  /circular foreign-key constraints.*\b(?:hypertable|chunk|continuous_agg|compression_settings|dimension_slice)\b|hypertable data are in the chunks/s;

/** The warnings that somebody should read. */
export function worthTelling(
  warnings: readonly string[],
  { whole, timescale }: { readonly whole: boolean; readonly timescale: boolean },
): string[] {
  return warnings.filter((text) => !(whole && timescale && HARMLESS_WHEN_WHOLE.test(text)));
}

/** Reads a stream of text line by line, to its end. */
export async function readLines(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream("utf-8"))) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line.replace(/\r$/, ""));
  }
  if (rest !== "") take(rest);
}
