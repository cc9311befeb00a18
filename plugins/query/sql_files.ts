/** The files of `sql`: where they are found, and what psql must not be given. */
import {
  type ClientTool,
  type CompletionContext,
  type Context,
  OperationError,
} from "../../core/plugin.ts";
import { knowsRestrict } from "../sql/restrict.ts";
import { outdatedError } from "./psql.ts";

/** One file that psql is to run. */
export interface SqlFile {
  /** The path that psql is given; `-` is standard input. */
  readonly path: string;
  /** Whether it can be looked into before psql reads it: a pipe can be read only once. */
  readonly regular: boolean;
}

/**
 * Finds the files: as given, and a bare name in `DATA_DIR` after that.
 *
 * @throws OperationError that names every file that is not there, with the places looked at
 */
export async function findFiles(ctx: Context, names: readonly string[]): Promise<SqlFile[]> {
  const problems: string[] = [];
  const found: SqlFile[] = [];
  for (const name of names) {
    if (name === "-") {
      found.push({ path: "-", regular: false });
      continue;
    }
    const places = [name, ...(name.includes("/") ? [] : [`${dataDirectory(ctx)}/${name}`])];
    const file = await firstPresent(ctx, places);
    if (typeof file === "string") problems.push(`Cannot run "${name}": ${file}`);
    else found.push(file);
  }
  if (problems.length > 0) {
    throw new OperationError(problems.join("\n"), {
      code: "not_found",
      hint: `Paths are relative to the working directory; a name alone is looked for in DATA_DIR (${
        dataDirectory(ctx)
      }) too`,
      details: { problems },
    });
  }
  return found;
}

/** The directory that files are looked for in by their names. */
export function dataDirectory(ctx: Pick<CompletionContext, "config">): string {
  return (ctx.config.get("DATA_DIR") ?? "./data").replace(/(?<=.)\/+$/, "");
}

/** What a shell's `<(…)` gives: psql inherits it, and it has no place in the file system. */
const PIPE = /^\/dev\/(?:stdin|fd\/\d+)$/;

/** The first of the places that holds a file, or why none does. */
async function firstPresent(ctx: Context, places: readonly string[]): Promise<SqlFile | string> {
  const looked: string[] = [];
  for (const path of places) {
    if (PIPE.test(path)) return { path, regular: false };
    const facts = await ctx.files.inspect(path);
    if (facts !== undefined && facts.kind !== "directory") {
      return { path, regular: facts.kind === "file" };
    }
    looked.push(facts === undefined ? `"${path}"` : `"${path}", which is a directory`);
  }
  return `there is no such file; looked for ${looked.join(" and ")}`;
}

/**
 * Looks into the files for what psql cannot run, before anything is run.
 *
 * @throws OperationError for a dump that is not plain SQL, one that this psql is too old for, and
 * under `readOnly` for a file that makes its transactions writable
 */
export async function examineFiles(
  ctx: Context,
  files: readonly SqlFile[],
  { psql, readOnly }: { readonly psql: ClientTool; readonly readOnly: boolean },
): Promise<void> {
  for (const { path, regular } of files) {
    if (!regular) continue;
    const stream = await ctx.files.stream(path);
    if (readOnly) await examineWhole(path, stream, psql);
    else await examineOpening(path, stream, psql);
  }
}

async function examineOpening(
  path: string,
  stream: ReadableStream<Uint8Array>,
  psql: ClientTool,
): Promise<void> {
  const reader = stream.getReader();
  try {
    const { value } = await reader.read();
    if (value !== undefined) requireSql(path, value, psql);
  } finally {
    await reader.cancel();
  }
}

/** What makes transactions writable, as dumps of pg_dumpall do; what hides it is not seen through. */
const WRITABLE =
  /\b(?:default_)?transaction_read_only(?:'\s*,|\s*=|\s+to\b)(?!\s*'?(?:on|true)\b)|\bread\s+write\b/i;
/** More than the longest of them, so that none is cut in two. */
const OVERLAP = 256;

async function examineWhole(
  path: string,
  stream: ReadableStream<Uint8Array>,
  psql: ClientTool,
): Promise<void> {
  const decoder = new TextDecoder("latin1");
  let carried: string | undefined;
  for await (const chunk of stream) {
    if (carried === undefined) requireSql(path, chunk, psql);
    const text: string = (carried ?? "") + decoder.decode(chunk);
    const found = WRITABLE.exec(text);
    if (found !== null) {
      throw new OperationError(
        `Cannot run "${path}" with --read-only: it holds ${found[0].replace(/\s+/g, " ")}`,
        {
          kind: "refused",
          code: "read_only",
          hint: "SQL with these words can make its transactions writable; " +
            "take them out, or use `observatory exec --read-only`, which holds every statement to reading",
        },
      );
    }
    carried = text.slice(-OVERLAP);
  }
}

/** Where a dump has `\restrict`: after its first comment. */
const OPENING_BYTES = 8 * 1024;

function requireSql(path: string, opening: Uint8Array, psql: ClientTool): void {
  const text = new TextDecoder("latin1").decode(opening.subarray(0, OPENING_BYTES));
  const other = text.startsWith("PGDMP")
    ? "a dump of pg_dump's custom format"
    : text.startsWith("\x1f\x8b")
    ? "compressed by gzip"
    : undefined;
  if (other !== undefined) {
    throw new OperationError(`Cannot run "${path}": it is ${other}, not SQL`, {
      kind: "refused",
      code: "not_sql",
      hint: "`observatory restore FILE` restores dumps of every format",
    });
  }
  if (/^\\restrict\s/m.test(text) && !knowsRestrict(psql)) throw outdatedError(`"${path}"`, psql);
}
