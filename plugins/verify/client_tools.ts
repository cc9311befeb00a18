/** PostgreSQL's client programs, which backup, restore, sql and shell call. */
import { dirname } from "node:path";
import {
  type ClientTool,
  type ClientToolName,
  type Context,
  OperationError,
} from "../../core/plugin.ts";
import type { Check, Server } from "./check.ts";

/** What was found of one program. */
interface Found {
  readonly name: ClientToolName;
  readonly tool?: ClientTool;
  /** Why there is none that will do, and what to do about it. */
  readonly problem?: OperationError;
}

/** What each program is needed for. */
const USED_BY: readonly (readonly [ClientToolName, string])[] = [
  ["psql", "sql and shell"],
  ["pg_dump", "backup"],
  ["pg_restore", "restore"],
];

/** Whether the programs are there, in versions that will do for this server. */
export const clientTools: Check = {
  needs: "server",
  async run({ context, major }: Server) {
    const psql = await find(context, "psql", undefined);
    // pg_dump refuses a server that is newer than itself.
    const dump = await find(context, "pg_dump", major);
    // pg_restore must understand what that pg_dump writes.
    const restore = await find(context, "pg_restore", dump.tool?.major ?? major);
    const all = [psql, dump, restore];
    const problems = all.filter(({ problem }) => problem !== undefined);
    const details = {
      server_major: major,
      tools: all.map(({ name, tool, problem }) => ({
        name,
        path: tool?.path ?? null,
        version: tool?.version ?? null,
        ...(problem === undefined ? {} : { problem: problem.message }),
      })),
    };
    if (problems.length === 0) return { status: "ok", message: listed(all), details };
    const hints = new Set(problems.flatMap(({ problem }) => problem?.hint ?? []));
    return {
      status: "warning",
      message: problems.map(({ name, problem }) =>
        `${problem?.message} (${USED_BY.find(([tool]) => tool === name)?.[1]} will be refused)`
      ).join("; "),
      ...(hints.size === 0 ? {} : { remedy: [...hints].join("\n") }),
      details,
    };
  },
};

const NOT_FOUND: ReadonlySet<string> = new Set(["client_tool_missing", "client_tool_outdated"]);

async function find(
  { clientTool }: Context,
  name: ClientToolName,
  major: number | undefined,
): Promise<Found> {
  try {
    return { name, tool: await clientTool(name, major === undefined ? {} : { major }) };
  } catch (error) {
    if (!(error instanceof OperationError) || !NOT_FOUND.has(error.code)) throw error;
    return { name, problem: error };
  }
}

/** The programs with their versions, and their directory once where it is the same for all. */
function listed(all: readonly Found[]): string {
  const directories = new Set(all.map(({ tool }) => dirname(tool?.path ?? "")));
  const [directory] = directories;
  return directories.size === 1
    ? `${all.map(({ name, tool }) => `${name} ${tool?.version}`).join(", ")} in ${directory}`
    : all.map(({ tool, name }) => `${name} ${tool?.version} (${tool?.path})`).join(", ");
}
