/** Scripts and files of SQL, as shells offer them. */
import type { Candidate, Completer } from "../../core/plugin.ts";
import { scriptsDirectory } from "./script.ts";
import { scriptFiles } from "./scripts.ts";
import { dataDirectory } from "./sql_files.ts";

/** The scripts that can be run. */
export const scripts: Completer = async (context) => {
  const files = await scriptFiles(context, scriptsDirectory(context));
  return files.filter(({ executable }) => executable)
    .map(({ name, path }): Candidate => ({ value: name, description: path }));
};

/** The files of SQL in DATA_DIR. */
export const dataFiles: Completer = async (context) => {
  const directory = dataDirectory(context);
  return (await context.files.list(directory))
    .filter(({ name, kind }) => kind === "file" && name.endsWith(".sql"))
    .map(({ name }): Candidate => ({ value: name, description: `${directory}/${name}` }));
};
