/** The files that `--env-file` may mean. */
import type { Candidate, CompletionContext } from "../plugin.ts";

const SETTINGS_FILE = /^\.env(\..+)?$|.\.env$/;

/** Finds the files of settings in the working directory. */
export async function settingsFiles({ files }: CompletionContext): Promise<Candidate[]> {
  return (await files.list("."))
    .filter(({ name, kind }) => kind === "file" && SETTINGS_FILE.test(name))
    .map(({ name }) => ({ value: name }));
}
