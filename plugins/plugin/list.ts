/** `plugin list`: what plugins there are. */
import type { Context, PluginStatus, Result } from "../../core/plugin.ts";
import { permissionLines, printable } from "./shown.ts";

/** Where a plugin comes from, in words. */
const SOURCES = {
  "built-in": "built-in",
  system: "the system's directory",
  project: "PLUGINS_DIR",
  flag: "--plugin-dir",
} as const satisfies Record<PluginStatus["source"], string>;

/**
 * Lists them.
 *
 * @returns with `check`, the plugins that are not ok as problems
 */
export async function list(context: Context, { check }: { check: boolean }): Promise<Result> {
  const plugins = await context.plugins.list();
  const wrong = plugins.filter(({ status }) => status !== "ok");
  const problems = wrong.map(({ name, status, reason }) =>
    printable(`Plugin "${name}" is not ok (${status}): ${reason}`)
  );
  return {
    data: { plugins },
    text: textOf(plugins),
    ...(check && problems.length > 0 ? { problems } : {}),
  };
}

function textOf(plugins: readonly PluginStatus[]): string {
  const users = plugins.filter(({ source }) => source !== "built-in");
  const builtIns = plugins.filter(({ source }) => source === "built-in").map(({ name }) => name);
  const blocks = users.map((plugin) => blockOf(plugin).map(printable).join("\n"));
  if (users.length === 0) {
    blocks.push(
      "No plugins of yours: `observatory plugin new NAME` writes one, and PLUGINS_DIR names " +
        "their directory",
    );
  } else if (users.some(({ status }) => status === "ok" || status === "clash")) {
    blocks.push(
      "A plugin's SQL has the rights of the role: a superuser's leads out of any sandbox " +
        "(COPY … TO PROGRAM)",
    );
  }
  return [...blocks, `Built-in: ${builtIns.join(", ")}`].join("\n\n");
}

function blockOf(plugin: PluginStatus): string[] {
  const { name, status, source, path, api, summary, reason, hint } = plugin;
  const fact = (label: string, value: string | undefined) =>
    value === undefined || value === "" ? [] : [`  ${`${label}:`.padEnd(13)}${value}`];
  return [
    `${name}  ${status}`,
    ...fact("summary", summary),
    ...fact("reason", reason),
    ...fact("hint", hint),
    ...fact("file", `${path} (${SOURCES[source]})`),
    ...fact("contract", api === undefined ? undefined : `version ${api}`),
    ...fact("commands", commandsOf(plugin)),
    ...fact("hooks", plugin.hooks.join(", ")),
    ...fact("permissions", permissionsOf(plugin)),
  ];
}

function commandsOf({ commands, clashes }: PluginStatus): string {
  return Object.entries(commands).map(([path, effect]) => {
    const owner = clashes[path];
    return `${path} (${effect}${owner === undefined ? "" : `; taken by ${owner}`})`;
  }).join(", ");
}

function permissionsOf({ status, permissions }: PluginStatus): string {
  if (status !== "ok" && status !== "clash") return "";
  return permissionLines(permissions).join("; ") || "none";
}
