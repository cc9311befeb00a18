/** `plugin new`: the files of a new plugin. */
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { directoryOf } from "./directory.ts";
import { pluginText, testText } from "./templates.ts";
import { hasTypes, lineOf, writeTypes, type WrittenFile } from "./types.ts";

/** What is asked for. */
export interface CreateOptions {
  readonly name: string;
  readonly language: "ts" | "js";
  readonly directory: string | undefined;
}

const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/**
 * Writes the plugin and its test, and the types where there are none.
 *
 * @throws OperationError of kind `usage` when the name cannot be a plugin's, or is taken
 * @throws OperationError `already_exists` when there is such a file; nothing is written then
 */
export async function create(context: Context, options: CreateOptions): Promise<Result> {
  const { name, language } = options;
  const directory = directoryOf(context, options.directory);
  await checkName(context, name);
  const wanted: [path: string, text: string][] = [
    [`${directory}/${name}.${language}`, pluginText(name, language)],
    [`${directory}/${name}_test.${language}`, testText(name, language)],
  ];
  for (const [path] of wanted) await requireFree(context, path);
  const files: WrittenFile[] = [];
  for (const [path, text] of wanted) {
    await context.files.create(path, text, { ownerWrites: true });
    files.push({ path, became: "created" });
  }
  if (!await hasTypes(context, directory)) files.push(...await writeTypes(context, directory));
  const used = context.config.get("PLUGINS_DIR") ? [] : [`Use it: set PLUGINS_DIR=${directory}`];
  return {
    data: { name, directory, files },
    text: [
      ...files.map(lineOf),
      "",
      `Check it: observatory plugin check ${directory}/${name}.${language}`,
      `Test it: cd ${directory} && deno test`,
      ...used,
    ].join("\n"),
  };
}

async function checkName(context: Context, name: string): Promise<void> {
  const refuse = (reason: string, hint: string) =>
    new OperationError(`Cannot write the plugin "${name}": ${reason}`, {
      kind: "usage",
      code: "usage",
      hint,
    });
  if (!NAME.test(name)) {
    throw refuse(
      "its name is not of lower-case letters, digits and single dashes",
      "Name it after what it does: vacuum, table-sizes",
    );
  }
  const plugins = await context.plugins.list();
  const taken = ["help", "version"].includes(name) ||
    plugins.some((plugin) => plugin.name === name || Object.hasOwn(plugin.commands, name));
  if (taken) {
    throw refuse("the name is taken", "`observatory plugin list` and `help` show what there is");
  }
}

async function requireFree({ files }: Context, path: string): Promise<void> {
  if (await files.inspect(path) === undefined) return;
  throw new OperationError(`Cannot create "${path}": it exists already`, {
    code: "already_exists",
    hint: "Nothing is overwritten: take another name, or move it out of the way",
    details: { path },
  });
}
