/** `shell`: psql on the terminal, one piece of SQL, or a script of the user's. */
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import {
  awaitDatabase,
  BATCH_ARGUMENTS,
  failureOf,
  hasTerminal,
  readOnlyVariables,
} from "./psql.ts";
import { readComplaints, tellIgnored } from "../sql/psql_messages.ts";

/** How the shell is opened. */
export interface ShellOptions {
  /** SQL to run, or the path of a script with its arguments; by default psql reads stdin. */
  readonly command: string | undefined;
  readonly readOnly: boolean;
}

/**
 * Opens the shell, or runs the command in it.
 *
 * @throws OperationError when psql or the script fails; its exit code is among the details
 */
export async function shell(ctx: Context, { command, readOnly }: ShellOptions): Promise<Result> {
  if (ctx.json) {
    throw new OperationError("The shell has no --json: stdout belongs to psql or the script", {
      kind: "usage",
      code: "usage",
      hint: "`observatory exec --json` runs SQL and gives its rows as JSON",
    });
  }
  if (command === undefined) return await runInteractive(ctx, readOnly);
  const { runScript, scriptOf } = await import("./script.ts");
  const script = await scriptOf(ctx, command);
  if (script === undefined) return await runCommand(ctx, command, readOnly);
  if (readOnly) {
    throw new OperationError(`Cannot hold the script "${script.path}" to --read-only`, {
      kind: "usage",
      code: "usage",
      hint: "A script does what it is written to do; run it without --read-only",
    });
  }
  return await runScript(ctx, script);
}

async function runInteractive(ctx: Context, readOnly: boolean): Promise<Result> {
  const psql = await ctx.clientTool("psql");
  await awaitDatabase(ctx);
  const program = await ctx.exec(psql.path, {
    connect: true,
    env: readOnlyVariables(ctx, readOnly),
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    terminal: await hasTerminal(),
  });
  const exit = await program.exit;
  if (exit.code !== 0 || exit.signal !== undefined) {
    throw failureOf({ what: "the shell", exit, complaints: {} });
  }
  return { data: { psql: psql.version, psql_exit: 0 } };
}

async function runCommand(ctx: Context, command: string, readOnly: boolean): Promise<Result> {
  const psql = await ctx.clientTool("psql");
  await awaitDatabase(ctx);
  const program = await ctx.exec(psql.path, {
    args: [...BATCH_ARGUMENTS, `--command=${command}`],
    connect: true,
    env: readOnlyVariables(ctx, readOnly),
    // For \copy … from pstdin.
    stdin: "inherit",
    stdout: "inherit",
    interrupt: true,
  });
  const [exit, complaints] = await Promise.all([
    program.exit,
    readComplaints(program.stderr, { log: ctx.log, bareErrors: true }),
  ]);
  if (exit.code !== 0 || exit.signal !== undefined) {
    throw failureOf({ what: "the command", exit, complaints });
  }
  tellIgnored(complaints, ctx.log);
  return { data: { psql: psql.version, psql_exit: 0 } };
}
