/** `sql`: runs files with psql, all or nothing where asked for, and tells where one failed. */
import {
  type ClientTool,
  type Context,
  OperationError,
  type Program,
  type ProgramExit,
  type Result,
} from "../../core/plugin.ts";
import {
  awaitDatabase,
  BATCH_ARGUMENTS,
  failureOf,
  outdatedError,
  readOnlyVariables,
} from "./psql.ts";
import { type Complaints, readComplaints, tellIgnored } from "../sql/psql_messages.ts";
import { examineFiles, findFiles } from "./sql_files.ts";

/** How files are run. */
export interface SqlOptions {
  /** Paths and names; `-` is standard input. */
  readonly files: readonly string[];
  readonly singleTransaction: boolean;
  /** `name=value` for psql's `:name`. */
  readonly variables: readonly string[];
  readonly readOnly: boolean;
}

/** From this major on, --single-transaction takes everything back after errors of psql itself too. */
const WHOLE_ROLLBACK_MAJOR = 15;
/** How much of psql's output is kept for the JSON result, in bytes. */
const OUTPUT_BYTES = 1024 * 1024;

/**
 * Runs the files in one psql.
 *
 * @throws OperationError for what the files lack before anything is run, and for psql's failure
 */
export async function runFiles(ctx: Context, options: SqlOptions): Promise<Result> {
  requireUsage(options);
  const files = await findFiles(ctx, options.files);
  const psql = await ctx.clientTool(
    "psql",
    options.singleTransaction ? { major: WHOLE_ROLLBACK_MAJOR } : {},
  );
  await examineFiles(ctx, files, { psql, readOnly: options.readOnly });
  await awaitDatabase(ctx);
  const program = await ctx.exec(psql.path, {
    args: [
      ...BATCH_ARGUMENTS,
      ...options.variables.map((variable) => `--set=${variable}`),
      ...(options.singleTransaction ? ["--single-transaction"] : []),
      ...files.map(({ path }) => `--file=${path}`),
    ],
    connect: true,
    env: readOnlyVariables(ctx, options.readOnly),
    // For `-`, and for \copy … from pstdin and \prompt in the files.
    stdin: "inherit",
    stdout: ctx.json ? "stream" : "inherit",
    interrupt: true,
  });
  const { exit, complaints, output } = await follow(ctx, program);
  const paths = files.map(({ path }) => path);
  if (exit.code !== 0 || exit.signal !== undefined) {
    throw failure(paths, { exit, complaints, output, options, psql });
  }
  tellIgnored(complaints, ctx.log);
  ctx.log.success(`Ran ${paths.map(named).join(", ")}`);
  return {
    data: {
      files: paths,
      single_transaction: options.singleTransaction,
      read_only: options.readOnly,
      psql: psql.version,
      ...output,
    },
  };
}

interface Followed {
  readonly exit: ProgramExit;
  readonly complaints: Complaints;
  /** What psql wrote, under --json. */
  readonly output: { readonly output?: string; readonly truncated?: boolean };
}

async function follow(ctx: Context, { stdout, stderr, exit }: Program): Promise<Followed> {
  const [ended, complaints, output] = await Promise.all([
    exit,
    readComplaints(stderr, { log: ctx.log }),
    ctx.json ? readOutput(stdout) : {},
  ]);
  return { exit: ended, complaints, output };
}

/** The beginning of a stream as text; the rest is read and dropped, so that psql goes on. */
async function readOutput(
  stdout: ReadableStream<Uint8Array>,
): Promise<{ output: string; truncated: boolean }> {
  const decoder = new TextDecoder();
  let output = "";
  let room = OUTPUT_BYTES;
  let truncated = false;
  for await (const chunk of stdout) {
    truncated ||= chunk.length > room;
    if (room > 0) output += decoder.decode(chunk.subarray(0, room), { stream: true });
    room = Math.max(0, room - chunk.length);
  }
  // A character that the limit cuts in two is left out.
  return { output: truncated ? output : output + decoder.decode(), truncated };
}

function failure(
  paths: readonly string[],
  { exit, complaints, output, options, psql }: Followed & {
    readonly options: SqlOptions;
    readonly psql: ClientTool;
  },
): OperationError {
  const { file, text } = complaints.last ?? {};
  const [path = ""] = paths;
  // Of a pipe it is known only now; psql stops there, before anything else of a dump is run.
  if (
    text === "invalid command \\restrict" && paths.length === 1 &&
    file === (path === "-" ? "<stdin>" : path)
  ) return outdatedError(named(path), psql);
  return failureOf({
    what: paths.map(named).join(", "),
    exit,
    complaints,
    left: options.singleTransaction
      ? "Nothing was kept, but for what the SQL itself committed"
      : "The statements before it stay done; with --single-transaction nothing would",
    details: { single_transaction: options.singleTransaction, ...output },
  });
}

function named(path: string): string {
  return path === "-" ? "standard input" : `"${path}"`;
}

/** psql's own rule: letters, digits and underscores. */
const VARIABLE = /^[\p{L}\p{N}_]+=/u;
const VARIABLE_HINT =
  "A name has letters, digits and underscores; the SQL reads it as :name, :'name' or :\"name\"";

function requireUsage({ files, variables }: SqlOptions): void {
  const problems = variables.flatMap((variable) => {
    if (!VARIABLE.test(variable)) {
      return `The value "${variable}" of --var is not of the form name=value`;
    }
    return /^ON_ERROR_STOP=/.test(variable)
      ? "The variable ON_ERROR_STOP cannot be set: sql always stops at the first error"
      : [];
  });
  if (files.filter((file) => file === "-").length > 1) {
    problems.push("Standard input can be read only once, but - is given several times");
  }
  if (problems.length === 0) return;
  throw new OperationError(problems.join("\n"), {
    kind: "usage",
    code: "usage",
    ...(variables.length === 0 ? {} : { hint: VARIABLE_HINT }),
    details: { problems },
  });
}
