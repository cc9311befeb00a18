/** `plugin check`: one plugin, valid or not. */
import {
  type CheckedPlugin,
  type Context,
  type Flag,
  OperationError,
  type Result,
} from "../../core/plugin.ts";
import { permissionLines, printable } from "./shown.ts";
import { strayHooks } from "./stray_hooks.ts";

/**
 * Loads one plugin, and tells what it declares.
 *
 * @returns what is wrong with it as a problem
 * @throws OperationError of kind `usage` when there is no such file
 */
export async function check(context: Context, file: string): Promise<Result> {
  if (await context.files.inspect(file) === undefined) {
    throw new OperationError(`Cannot check "${file}": there is no such file or directory`, {
      kind: "usage",
      code: "not_found",
      details: { path: file },
    });
  }
  const plugin = await context.plugins.check(file);
  const { name, status, reason = "", hint } = plugin;
  for (const told of strayHooks(plugin, await context.plugins.list())) context.log.warn(told);
  const text = textOf(plugin).map(printable).join("\n");
  if (status === "ok") return { data: plugin, text };
  const said = printable(hint === undefined ? reason : `${reason}. ${hint}`);
  return {
    data: plugin,
    ...(text === "" ? {} : { text }),
    problems: [`Plugin "${name}" is not ok (${status}): ${said}`],
  };
}

/** What it declares; nothing where it could not be loaded. */
function textOf(plugin: CheckedPlugin): string[] {
  const { name, status, api, summary, declared, hooks } = plugin;
  if (api === undefined) return [];
  const commands = Object.entries(declared).flatMap(([path, command]) => [
    `  ${path}  ${command.summary}`,
    `    effect: ${command.effect}, database: ${command.database ?? "database"}`,
    ...Object.entries(command.args ?? {}).map(([arg, { help }]) =>
      `    ${arg.toUpperCase()}  ${help}`
    ),
    ...Object.entries(command.flags ?? {}).map(([flag, declared]) =>
      `    ${flagOf(flag, declared)}  ${declared.help}`
    ),
  ]);
  return [
    `${name}: ${summary}`,
    ...(status === "ok" ? [`It is valid, for version ${api} of the contract`] : []),
    "",
    "Commands:",
    ...(commands.length === 0 ? ["  none"] : commands),
    "Hooks:",
    ...(hooks.length === 0 ? ["  none"] : hooks.map((hook) => `  ${hook}`)),
    "Permissions:",
    ...(permissionLines(plugin).length === 0
      ? ["  none"]
      : permissionLines(plugin).map((line) => `  ${line}`)),
  ];
}

function flagOf(name: string, { type, choices, placeholder, default: value }: Flag): string {
  if (type === "boolean") return `--${name}`;
  const what = placeholder ?? choices?.join("|") ?? (type === "number" ? "NUMBER" : "TEXT");
  return `--${name} ${what}${value === undefined ? "" : ` (default: ${value})`}`;
}
