/** What the seeds directory has, as shells offer it. */
import type { Candidate, Completer, CompletionContext } from "../../core/plugin.ts";
import { BASE, seedsDirectory } from "./files.ts";
import { kindOfName } from "./names.ts";

/** The environments that have a directory. */
export const environments: Completer = async (context, { dir = [] }) => {
  const folders = await foldersOf(context, dir);
  return folders.filter((name) => name !== BASE).map((value): Candidate => ({ value }));
};

/** The names of the seed files of all environments. */
export const seeds: Completer = async (context, { dir = [] }) => {
  const directory = seedsDirectory(context, dir.at(-1));
  const folders = await foldersOf(context, dir);
  const found = await Promise.all(folders.map(async (folder) => {
    const entries = await context.files.list(`${directory}/${folder}`);
    return entries.filter(({ name, kind }) =>
      kind === "file" && !["other", "lookalike"].includes(kindOfName(name))
    ).map(({ name }): Candidate => ({ value: name, description: folder }));
  }));
  return found.flat();
};

async function foldersOf(context: CompletionContext, dir: readonly string[]): Promise<string[]> {
  return (await context.files.list(seedsDirectory(context, dir.at(-1))))
    .flatMap(({ name, kind }) => kind === "directory" && !name.startsWith(".") ? [name] : []);
}
