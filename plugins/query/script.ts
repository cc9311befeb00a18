/** `shell -c PATH` and `script`: a script of `SCRIPTS_DIR`, told from SQL and run with the connection. */
import {
  type CompletionContext,
  type Context,
  type FileFacts,
  OperationError,
  type Program,
  type ProgramOptions,
  type Result,
} from "../../core/plugin.ts";
import { awaitDatabase } from "./psql.ts";
import { splitWords } from "./words.ts";

/** A script with its arguments. */
export interface ScriptCall {
  /** Its real path. */
  readonly path: string;
  readonly args: readonly string[];
}

/**
 * Tells whether the text calls a script: its first word is a path, absolute or with a leading dot,
 * or another one with a slash that leads to a file. Everything else is SQL.
 *
 * @returns the script, or undefined for SQL
 * @throws OperationError for a path that is no script of `SCRIPTS_DIR`
 */
export async function scriptOf(ctx: Context, text: string): Promise<ScriptCall | undefined> {
  // SQL begins neither with a path nor with a quote; a comment begins with a slash and a star.
  const certain = /^\s*["']?\.{0,2}\/(?!\*)/.test(text);
  const [first = ""] = text.trimStart().split(/\s/, 1);
  if (!certain && !(first.includes("/") && await isFile(ctx, first))) return undefined;
  const [path = "", ...args] = splitWords(text.trim());
  return { path: await requireScript(ctx, path), args };
}

async function isFile(ctx: Context, path: string): Promise<boolean> {
  // No path of a file system is longer, while SQL may be; nor does one hold a NUL.
  if (path.length > 4096) return false;
  return (await ctx.files.inspect(path))?.kind === "file";
}

/** The directory of the user's scripts. */
export function scriptsDirectory({ config }: Pick<CompletionContext, "config">): string {
  return config.get("SCRIPTS_DIR") ?? "./scripts";
}

/**
 * Finds a script that may be run.
 *
 * @returns its real path
 * @throws OperationError when it does not lie in `SCRIPTS_DIR`, or is not executable
 */
export async function requireScript(ctx: Context, path: string): Promise<string> {
  const directory = scriptsDirectory(ctx);
  const [facts, root] = await Promise.all([
    ctx.files.inspect(path),
    ctx.files.inspect(directory),
  ]);
  const refuse = (reason: string, hint: string, code: string) =>
    new OperationError(`Cannot run the script "${path}": ${reason}`, {
      kind: "refused",
      code,
      hint,
      details: { path, scripts_dir: directory },
    });
  const place = `Scripts lie in SCRIPTS_DIR, which is "${directory}"`;
  if (facts === undefined) {
    throw new OperationError(`Cannot run the script "${path}": there is no such file`, {
      code: "not_found",
      hint: place,
      details: { path, scripts_dir: directory },
    });
  }
  if (!isWithin(facts, root)) {
    throw refuse("it does not lie in the directory of the scripts", place, "script_elsewhere");
  }
  if (facts.kind !== "file") throw refuse("it is not a file", place, "not_a_script");
  if (!facts.access.execute) {
    throw refuse("it is not executable", `Run: chmod +x ${quoted(path)}`, "not_executable");
  }
  return facts.realPath;
}

function isWithin(file: FileFacts, root: FileFacts | undefined): boolean {
  return root?.kind === "directory" &&
    file.realPath.startsWith(root.realPath.replace(/\/*$/, "/"));
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/**
 * Runs a script with `DATABASE_URL` and libpq's variables set, and our own streams.
 *
 * @throws OperationError `script_failed`, with the script's exit code among the details
 */
export async function runScript(ctx: Context, { path, args }: ScriptCall): Promise<Result> {
  const interpreted = await needsShell(ctx, path);
  await awaitDatabase(ctx);
  const options: ProgramOptions = {
    connect: true,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  };
  const program = interpreted
    ? await startInShell(ctx, [path, ...args], options)
    : await ctx.exec(path, { ...options, args });
  const { code, signal } = await program.exit;
  if (code === 0 && signal === undefined) return { data: { script: path, args, script_exit: 0 } };
  throw new OperationError(
    `The script "${path}" ` +
      (signal === undefined ? `ended with exit code ${code}` : `was ended by ${signal}`),
    {
      code: "script_failed",
      details: {
        script: path,
        script_exit: code,
        ...(signal === undefined ? {} : { script_signal: signal }),
      },
    },
  );
}

/** Whether the system itself cannot start it: it has no interpreter's line and is no binary. */
async function needsShell(ctx: Context, path: string): Promise<boolean> {
  const reader = (await ctx.files.stream(path)).getReader();
  try {
    const { value = new Uint8Array() } = await reader.read();
    const text = new TextDecoder("latin1").decode(value.subarray(0, 256));
    return !text.startsWith("#!") && !text.includes("\0");
  } finally {
    await reader.cancel();
  }
}

/** As a shell does with a script that names no interpreter: bash reads it, or else sh. */
async function startInShell(
  ctx: Context,
  args: readonly string[],
  options: ProgramOptions,
): Promise<Program> {
  try {
    return await ctx.exec("bash", { ...options, args });
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "program_missing") throw error;
    return await ctx.exec("sh", { ...options, args });
  }
}
