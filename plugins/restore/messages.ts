/** What pg_restore says on stderr while it works (`--verbose`, messages in English). */

/** Why it stopped. */
export interface RestoreFailure {
  /** Such as `TABLE public.a`; undefined where it was about no object. */
  readonly object: string | undefined;
  /** The server's words, or its own. */
  readonly message: string;
  /** Details, hints and the statement, a line each. */
  readonly more: readonly string[];
}

/** What was said, sorted out as it comes. */
export interface RestoreMessages {
  line(text: string): void;
  /** The first errors; with several jobs there may be more than one. */
  readonly failures: readonly RestoreFailure[];
  /** What the server warned of, and pg_restore. */
  readonly warnings: readonly string[];
  /** How many entries of the table of contents have been begun. */
  readonly items: number;
  /** The last line that was not empty. */
  readonly last: string;
}

/** Who is told while lines come. */
export interface RestoreListener {
  /** An entry is being restored now, such as `TABLE public.a`. */
  item?(name: string, count: number): void;
}

const OWN = /^(?:.*[/\\])?pg_restore(?:\.exe)?: (?:(error|warning|detail|hint|fatal): )?(.*)$/s;

/** Of each entry that is restored, one of these. */
const ITEM = /^(?:creating|executing|processing(?: data for)?) (.*)$/s;

/** `from TOC entry 215; 1259 16388 TABLE a postgres`: its kind and name, and its owner at the end. */
const ENTRY = /^from TOC entry \d+; \d+ \d+ (.*)$/s;

/** More than that of a statement nobody reads. */
const MORE_LINES = 12;

/** Sorts lines out. */
export function createRestoreMessages(listener: RestoreListener = {}): RestoreMessages {
  const failures: { object: string | undefined; message: string; more: string[] }[] = [];
  const warnings: string[] = [];
  let items = 0;
  let last = "";
  let object: string | undefined;
  let current: string | undefined;
  let take: ((line: string) => void) | undefined;
  const warn = (text: string) => {
    const at = warnings.push(text) - 1;
    take = (line) => warnings[at] = `${warnings[at]}\n${line}`;
  };
  const fail = (message: string) => {
    // What several processes say of one failure follows it.
    if (/^a worker process died unexpectedly|^error returned by PQputCopy/.test(message)) {
      if (failures.length > 0) return;
    }
    const failure = { object: object ?? current, message, more: [] as string[] };
    failures.push(failure);
    take = (line) => {
      if (failure.more.length < MORE_LINES) failure.more.push(line);
    };
  };
  return {
    failures,
    warnings,
    get items() {
      return items;
    },
    get last() {
      return last;
    },
    line(text) {
      if (text.trim() !== "") last = text;
      const [, level, words = ""] = OWN.exec(text) ?? [];
      if (!OWN.test(text) || level === "detail" || level === "hint") {
        take?.(level === undefined ? text : `${level.toUpperCase()}: ${words}`);
        return;
      }
      if (level === "error" || level === "fatal") return fail(serverWords(words));
      take = undefined;
      if (level === "warning") return warn(words);
      const notice = /^(WARNING|NOTICE|INFO|LOG|DEBUG): {1,2}(.*)$/s.exec(words);
      if (notice !== null) {
        if (notice[1] === "WARNING") warn(notice[2] ?? "");
        else take = () => {};
        return;
      }
      const entry = ENTRY.exec(words)?.[1];
      if (entry !== undefined) {
        object = entry;
        return;
      }
      const item = ITEM.exec(words)?.[1];
      if (item === undefined) return;
      object = undefined;
      current = nameOf(item);
      listener.item?.(current, ++items);
    },
  };
}

/** `could not execute query: ERROR:  …` as the server said it. */
function serverWords(words: string): string {
  return words.replace(/^(?:could not execute query|COPY failed for table ".*?"): /s, "")
    .replace(/^(?:ERROR|FATAL|PANIC): {1,2}/, "");
}

/** `TABLE "public.a"` and `data for table "public.a"` without quotes around the name. */
function nameOf(item: string): string {
  return item.replace(/^table "/, 'TABLE DATA "').replace(/^([A-Z ]+) "(.*)"$/s, "$1 $2");
}
