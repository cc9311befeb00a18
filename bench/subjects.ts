/** The program and its peers, as far as they are found on this machine. */
import { join } from "node:path";
import pg from "pg";
import { buildProgram } from "../tasks/build.ts";
import { installPackage, programDirectories } from "../tasks/server_binaries.ts";
import type { Server } from "../tasks/server.ts";

/** What the suites work with. */
export interface Bench extends AsyncDisposable {
  readonly server: Server;
  /** A directory that is removed at the end. */
  readonly directory: string;
  /** The compiled program, and the smallest program that the same compiler makes. */
  readonly observatory: string;
  readonly bare: string;
  /** psql by its real path: Debian's `psql` on the PATH is a wrapper that costs 20 ms. */
  readonly psql: string;
  readonly dbmate: string | undefined;
  readonly sqlx: string | undefined;
  /** Makes an empty database, in place of an old one of that name. */
  freshDatabase(name: string): Promise<void>;
  /** The first value of the first row. */
  value(database: string, sql: string): Promise<unknown>;
}

/** Builds the program and looks for the peers. */
export async function findBench(server: Server): Promise<Bench> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-bench-" });
  const observatory = join(directory, "observatory");
  console.log("Building the program...");
  await buildProgram({ output: observatory });
  return {
    server,
    directory,
    observatory,
    bare: await buildBare(directory),
    psql: await requirePsql(server),
    dbmate: await findDbmate(directory),
    sqlx: await findOnPath("sqlx", Deno.env.get("SQLX")),
    async freshDatabase(name) {
      await query(server.url(), `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      await query(server.url(), `CREATE DATABASE "${name}"`);
    },
    value: async (database, sql) =>
      Object.values((await query(server.url(database), sql))[0] ?? {})[0],
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    // Of several statements there is a result each.
    const answer: pg.QueryResult | pg.QueryResult[] = await client.query(sql);
    return (Array.isArray(answer) ? answer.at(-1) : answer)?.rows ?? [];
  } finally {
    await client.end();
  }
}

async function buildBare(directory: string): Promise<string> {
  const project = join(directory, "bare-project");
  await Deno.mkdir(join(project, "core"), { recursive: true });
  await Deno.mkdir(join(project, "plugins"));
  await Deno.writeTextFile(join(project, "deno.json"), "{}");
  await Deno.writeTextFile(join(project, "main.ts"), "console.log('bare');\n");
  const output = join(directory, "bare");
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      "--quiet",
      "-A",
      "--no-prompt",
      "--no-code-cache",
      "--no-check",
      "-o",
      output,
      "main.ts",
    ],
    cwd: project,
  }).output();
  if (!success) {
    throw new Error(`Cannot build the bare program: ${new TextDecoder().decode(stderr)}`);
  }
  return output;
}

async function requirePsql(server: Server): Promise<string> {
  for (const directory of [server.binaries, ...await programDirectories()]) {
    const path = join(directory, "psql");
    const real = await Deno.realPath(path).catch(() => undefined);
    // Debian's wrapper is a Perl script behind a link.
    if (real !== undefined && !real.includes("pg_wrapper")) return real;
  }
  throw new Error("Cannot find psql, the yardstick: install the package postgresql-client");
}

async function findDbmate(directory: string): Promise<string | undefined> {
  const { os, arch } = Deno.build;
  const work = join(directory, "dbmate");
  await Deno.mkdir(work);
  try {
    const name = `@dbmate/${os}-${arch === "x86_64" ? "x64" : "arm64"}`;
    return join(await installPackage(work, name, "2.36.0"), "bin", "dbmate");
  } catch (error) {
    console.log(`Without dbmate: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** A program by a path, or on the PATH; undefined, and told so, where there is none. */
export async function findOnPath(
  name: string,
  named: string | undefined,
): Promise<string | undefined> {
  for (
    const path of [
      named ?? "",
      ...(Deno.env.get("PATH") ?? "").split(":").map((each) => join(each, name)),
    ]
  ) {
    if (path !== "" && (await Deno.stat(path).catch(() => undefined))?.isFile) return path;
  }
  console.log(`Without ${name}: it is not on the PATH`);
  return undefined;
}
