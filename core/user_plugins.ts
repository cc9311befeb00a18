/** When the users' plugins are loaded, and what a run does when one of them is broken. */
import { OperationError, type Plugin, type Plugins, type PluginStatus } from "./plugin.ts";
import type { CommandEntry } from "./command_tree.ts";
import type { Configuration } from "./config.ts";
import type { UserPlugins } from "./loader.ts";
import type { Run } from "./run.ts";
import type { PluginDirectories } from "./sandbox/find.ts";
import { shown } from "./shown.ts";

/** Where the machine's administrator puts plugins; the variable names another place. */
const SYSTEM_DIRECTORY = "/etc/observatory/plugins";
const SYSTEM_VARIABLE = "OBSERVATORY_SYSTEM_PLUGINS";

/** What plugins are loaded by. */
export interface PluginSource {
  readonly run: Run;
  readonly configuration: Configuration;
  readonly builtIns: readonly Plugin[];
  /** The values of `--plugin-dir` and `--no-plugins`. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/**
 * Loads the users' plugins.
 *
 * @returns undefined where there is no directory of plugins, or none are wanted
 * @throws OperationError of kind `usage` when a directory that was named is not there
 */
export async function loadUserPlugins(source: PluginSource): Promise<UserPlugins | undefined> {
  const { run: { host }, configuration, flags } = source;
  if (flags["no-plugins"] === true) return undefined;
  const project = configuration.get("PLUGINS_DIR");
  const given = Array.isArray(flags["plugin-dir"]) ? flags["plugin-dir"].map(String) : [];
  const system = host.env[SYSTEM_VARIABLE] ?? SYSTEM_DIRECTORY;
  const some = Boolean(project) || given.length > 0 || await host.files.mode(system) !== undefined;
  if (!some) return undefined;
  return await load({ system, project, given }, source);
}

async function load(directories: PluginDirectories, source: PluginSource): Promise<UserPlugins> {
  const { run: { host, log }, configuration, builtIns } = source;
  const [{ loadPlugins }, { openPluginCache }, { limitsOf }, { parseOwner }] = await Promise.all([
    import("./loader.ts"),
    import("./sandbox/cache.ts"),
    import("./sandbox/limits.ts"),
    import("./sandbox/trust.ts"),
  ]);
  return await loadPlugins(directories, builtIns, {
    cache: openPluginCache(host.env),
    owner: parseOwner(configuration.get("PLUGINS_OWNER")),
    limits: limitsOf(host.env),
    hidden: secretFiles(source),
    debug: (line) => log.debug(line),
  });
}

/** Settings whose values are files with secrets, or that lead to them. */
const SECRET_FILES = [
  "PGPASSFILE",
  "PGSERVICEFILE",
  "PGSSLKEY",
  "DATABASE_URL_FILE",
  "DB_PASSWORD_FILE",
  "AWS_ACCESS_KEY_ID_FILE",
  "AWS_SECRET_ACCESS_KEY_FILE",
];

/** Files that no plugin reads, whatever it declares: it gets the connection without its secrets. */
function secretFiles({ run: { host }, configuration, flags }: PluginSource): string[] {
  const home = host.env["HOME"];
  const usual = home === undefined
    ? []
    : [".pgpass", ".pg_service.conf", ".postgresql", ".aws"].map((name) => `${home}/${name}`);
  const envFile = typeof flags["env-file"] === "string" ? flags["env-file"] : ".env";
  const named = SECRET_FILES.flatMap((name) => configuration.get(name) || []);
  return [envFile, "/etc/observatory/defaults.env", ...named, ...usual]
    .map((path) => path.startsWith("/") ? path : `${host.cwd}/${path}`);
}

/**
 * Lets a run go on beside broken plugins, with one warning, or not: one of them may be the guard
 * that was to stop what destroys.
 *
 * @throws OperationError of kind `refused`
 */
export function judgeBroken(
  user: UserPlugins,
  { path, command, plugin }: CommandEntry,
  run: Run,
): void {
  const broken = user.statuses.filter(({ status }) => status !== "ok" && status !== "clash");
  if (broken.length === 0 || plugin.name === "plugin") return;
  const list = broken.map(({ name, reason }) => `${shown(name)} (${reason})`).join("; ");
  const what = broken.length === 1 ? "A plugin" : `${broken.length} plugins`;
  if (command.effect !== "destroy") {
    run.log.warn(`${what} cannot be used: ${list}`);
    return;
  }
  throw new OperationError(
    `Refused: ${path} destroys, and ${what.toLowerCase()} cannot be used: ${list}; nothing was changed`,
    {
      kind: "refused",
      code: "plugins_broken",
      hint:
        "Mend it, for it may be a guard (`observatory plugin list` tells more), or pass --no-plugins",
      details: { plugins: broken },
    },
  );
}

/**
 * Finds the command of `plugin run PLUGIN COMMAND…`, by which clashing ones are reached too.
 *
 * @param words what follows `plugin run`
 * @throws OperationError of kind `usage` when there is no such plugin or command
 */
export function commandOfPlugin(
  user: UserPlugins | undefined,
  words: readonly string[],
): { entry: CommandEntry; words: readonly string[] } {
  const [name = "", ...rest] = words;
  const plugin = user?.byPlugin.get(name);
  if (plugin === undefined) {
    throw unknown(`There is no usable plugin ${shown(name)}`, [...user?.byPlugin.keys() ?? []]);
  }
  const commands = plugin.commands ?? {};
  for (let length = rest.length; length > 0; length--) {
    const path = rest.slice(0, length).join(" ");
    const found = Object.entries(commands).find(([key, { aliases = [] }]) =>
      key === path || aliases.includes(path)
    );
    if (found === undefined) continue;
    const [key, command] = found;
    return { entry: { path: key, plugin, command }, words: rest.slice(length) };
  }
  throw unknown(
    `Plugin ${shown(name)} has no command ${shown(rest[0] ?? "")}`,
    Object.keys(commands),
  );
}

function unknown(message: string, names: readonly string[]): OperationError {
  return new OperationError(message, {
    kind: "usage",
    code: "unknown_command",
    hint: names.length === 0
      ? "`observatory plugin list` tells why"
      : `There are: ${names.join(", ")}`,
  });
}

/** What a command may ask about plugins. */
export function pluginsOf(source: PluginSource, user: UserPlugins | undefined): Plugins {
  return {
    list: () => Promise.resolve([...source.builtIns.map(builtInStatus), ...user?.statuses ?? []]),
    async check(path) {
      const { basename, dirname, resolve } = await import("node:path");
      const file = resolve(source.run.host.cwd, path);
      const folder = /^mod\.(ts|js|mjs)$/.test(basename(file));
      const loader = user ?? await load({}, source);
      try {
        return await loader.check({
          name: folder ? basename(dirname(file)) : basename(file).replace(/\.(ts|js|mjs)$/, ""),
          path: file,
          directory: folder ? dirname(dirname(file)) : dirname(file),
          origin: "flag",
        });
      } finally {
        if (loader !== user) await loader.close();
      }
    },
    async contract() {
      return (await import("./contract_text.ts")).CONTRACT;
    },
  };
}

function builtInStatus({ name, summary, commands = {}, hooks = {} }: Plugin): PluginStatus {
  return {
    name,
    source: "built-in",
    path: null,
    status: "ok",
    summary,
    commands: Object.fromEntries(
      Object.entries(commands).map(([path, { effect }]) => [path, effect]),
    ),
    clashes: {},
    hooks: Object.keys(hooks),
    permissions: {},
  };
}
