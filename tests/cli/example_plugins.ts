/** The LLM Observatory's database with example plugins beside it. */
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import type { Kind, RunOptions } from "../program.ts";
import { type Project, project } from "./project.ts";

/** Where the example plugins are. */
export const EXAMPLES = join(PROJECT, "examples", "plugins");

/** The source of one. */
export async function examplePlugin(name: string): Promise<string> {
  return await Deno.readTextFile(join(EXAMPLES, `${name}.ts`));
}

/**
 * Makes a project with our own migrations and test data, in which copies of plugins are.
 *
 * @param options.empty whether the database is left without tables
 */
export async function observatory(
  kind: Kind,
  plugins: readonly string[],
  { empty = false }: { readonly empty?: boolean } = {},
): Promise<Project> {
  const files: Record<string, string> = {};
  for (const name of plugins) files[`plugins/${name}.ts`] = await examplePlugin(name);
  const given = await project(kind, files);
  const withDirectories = (options: RunOptions = {}): RunOptions => ({
    ...options,
    env: {
      MIGRATIONS_DIR: join(PROJECT, "migrations"),
      SEEDS_DIR: join(PROJECT, "seeds"),
      PLUGINS_DIR: "plugins",
      ...options.env,
    },
  });
  const made: Project = {
    ...given,
    run: (args, options) => given.run(args, withDirectories(options)),
    start: (args, options) => given.start(args, withDirectories(options)),
    [Symbol.asyncDispose]: () => given[Symbol.asyncDispose](),
  };
  if (empty) return made;
  for (const line of [["migrate"], ["seed", "--env", "test"]]) {
    const { code, stderr } = await made.run([...line, "--no-plugins"]);
    if (code === 0) continue;
    await made[Symbol.asyncDispose]();
    throw new Error(`${line.join(" ")} ended with ${code}: ${stderr}`);
  }
  return made;
}
