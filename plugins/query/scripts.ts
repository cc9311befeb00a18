/** `script`: the executables of `SCRIPTS_DIR` by their names. */
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { requireScript, runScript, scriptsDirectory } from "./script.ts";

/** What is asked for. */
export interface NamedScript {
  /** The file's name, or that without its ending. */
  readonly name: string;
  readonly args: readonly string[];
}

/** A file in SCRIPTS_DIR. */
export interface ScriptFile {
  readonly name: string;
  readonly path: string;
  readonly executable: boolean;
}

/** Lists the scripts that can be run. */
export async function listScripts(context: Context): Promise<Result> {
  const directory = scriptsDirectory(context);
  const files = (await scriptFiles(context, directory)).filter(({ executable }) => executable);
  const scripts = files.map(({ name, path }) => ({ name, path }));
  const names = scripts.map(({ name }) => name.replace(/\p{Cc}/gu, " "));
  const none = `No executable scripts in SCRIPTS_DIR, which is "${directory}"`;
  return {
    data: { directory, scripts },
    text: names.length === 0 ? none : names.join("\n"),
    changed: false,
  };
}

/**
 * Runs a script by its name.
 *
 * @throws OperationError `script_failed`, with the script's exit code among the details
 * @throws OperationError of kind `usage` when no script, or more than one, has that name
 */
export async function runNamedScript(
  context: Context,
  { name, args }: NamedScript,
): Promise<Result> {
  if (context.json) {
    throw usage(
      "A script has no --json: stdout belongs to it",
      "`observatory script --json` lists",
    );
  }
  const file = await fileNamed(context, name);
  return await runScript(context, { path: await requireScript(context, file.path), args });
}

async function fileNamed(context: Context, name: string): Promise<ScriptFile> {
  const directory = scriptsDirectory(context);
  const files = await scriptFiles(context, directory);
  const exact = files.find((file) => file.name === name);
  if (exact !== undefined) return exact;
  const alike = files.filter((file) => file.name.replace(/\.[^.]+$/, "") === name);
  const executable = alike.filter((file) => file.executable);
  const found = executable.length > 0 ? executable : alike;
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  if (first === undefined) {
    throw usage(
      `There is no script "${name}"`,
      `\`observatory script\` lists those in SCRIPTS_DIR, which is "${directory}"`,
      "unknown_script",
    );
  }
  throw usage(
    `More than one script is called "${name}"`,
    `Name its file: ${found.map((file) => file.name).join(", ")}`,
    "ambiguous_script",
  );
}

/** The files of a directory that may be scripts. */
export async function scriptFiles(
  { files }: Pick<Context, "files">,
  directory: string,
): Promise<ScriptFile[]> {
  const names = (await files.list(directory))
    .flatMap(({ name, kind }) => kind === "file" && !name.startsWith(".") ? [name] : []);
  return await Promise.all(names.map(async (name) => {
    const path = `${directory}/${name}`;
    const executable = (await files.inspect(path))?.access.execute === true;
    return { name, path, executable };
  }));
}

function usage(message: string, hint: string, code = "usage"): OperationError {
  return new OperationError(message, { kind: "usage", code, hint });
}
