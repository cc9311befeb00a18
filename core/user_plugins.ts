/** When the users' plugins are loaded, and what a run does when one of them is broken. */
import { resolve } from "node:path";
import { OperationError, type Plugin, type Plugins, type PluginStatus } from "./plugin.ts";
import {
  type CommandEntry,
  type CommandTree,
  findCommand,
  type FoundCommand,
  splitLeadingFlags,
} from "./command_tree.ts";
import type { Configuration } from "./config.ts";
import { DEFAULTS_FILE } from "./config_sources.ts";
import type { LoadOptions, UserPlugins } from "./loader.ts";
import type { Run } from "./run.ts";
import { type PluginDirectories, systemPlugins } from "./sandbox/find.ts";
import { shown } from "./shown.ts";

/** What plugins are loaded by. */
export interface PluginSource {
  readonly run: Run;
  readonly configuration: Configuration;
  readonly builtIns: readonly Plugin[];
  /** The values of `--plugin-dir` and `--no-plugins`. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** Whether those that would have to be asked what they declare are left out. */
  readonly rememberedOnly?: boolean;
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
  const system = systemPlugins(host.env);
  const some = Boolean(project) || given.length > 0 || await host.files.mode(system) !== undefined;
  if (!some) return undefined;
  return await load({ system, project, given }, source);
}

async function load(directories: PluginDirectories, source: PluginSource): Promise<UserPlugins> {
  const [{ loadPlugins }, options] = await Promise.all([import("./loader.ts"), optionsOf(source)]);
  return await loadPlugins(directories, source.builtIns, options);
}

async function optionsOf(source: PluginSource): Promise<LoadOptions> {
  const { run: { host, log }, configuration } = source;
  const [{ openPluginCache }, { limitsOf }, { parseOwner }] = await Promise.all([
    import("./sandbox/cache.ts"),
    import("./sandbox/limits.ts"),
    import("./sandbox/trust.ts"),
  ]);
  return {
    cache: openPluginCache(host.env),
    owner: parseOwner(configuration.get("PLUGINS_OWNER")),
    limits: limitsOf(host.env),
    hidden: secretFiles(source),
    rememberedOnly: source.rememberedOnly === true,
    debug: (line) => log.debug(line),
    // A worker that was ended may go on taking memory: then only the process's end stops it.
    runaway: (error) => source.run.abandon(error),
  };
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
  const targets = typeof flags["targets"] === "string" ? [flags["targets"]] : [];
  const named = SECRET_FILES.flatMap((name) => configuration.get(name) || []);
  return [envFile, ...targets, DEFAULTS_FILE, ...named, ...usual]
    .map((path) => path.startsWith("/") ? path : `${host.cwd}/${path}`);
}

/** Commands that make the directory of plugins where it is not there yet. */
const MAKE_DIRECTORY: ReadonlySet<string> = new Set(["plugin new", "plugin types"]);

/** What each shell runs when it starts, wherever that is: nothing of a plugin is told there. */
const WITHOUT_PLUGINS: ReadonlySet<string> = new Set(["completion"]);

/** Loads the users' plugins for a command, as {@link loadUserPlugins} does. */
export async function loadFor(
  { path }: CommandEntry,
  source: PluginSource,
): Promise<UserPlugins | undefined> {
  if (WITHOUT_PLUGINS.has(path)) return undefined;
  try {
    return await loadUserPlugins(source);
  } catch (error) {
    const missing = error instanceof OperationError && error.code === "plugin_directory_missing";
    if (missing && MAKE_DIRECTORY.has(path)) return undefined;
    throw error;
  }
}

/**
 * Lets a run go on beside broken plugins, with one warning, or not.
 *
 * @throws OperationError of kind `refused`, as {@link refuseBroken} does
 */
export function judgeBroken(user: UserPlugins, entry: CommandEntry, run: Run): void {
  // Those commands tell of them, or mend them.
  if (entry.plugin.name === "plugin") return;
  refuseBroken(user, entry);
  warnOfBroken(user, run);
}

/** Tells of broken plugins in one line. */
export function warnOfBroken(user: UserPlugins, { log }: Pick<Run, "log">): void {
  const broken = user.statuses.filter(isBroken);
  if (broken.length > 0) log.warn(`${countOf(broken)} cannot be used: ${listOf(broken)}`);
}

/**
 * Refuses what destroys while a plugin is broken: it may be the guard that was to stop it.
 *
 * @throws OperationError of kind `refused`
 */
export function refuseBroken(user: UserPlugins, { path, command }: CommandEntry): void {
  const broken = user.statuses.filter(isBroken);
  if (broken.length === 0 || command.effect !== "destroy") return;
  const what = countOf(broken).toLowerCase();
  throw new OperationError(
    `Refused: ${path} destroys, and ${what} cannot be used: ${listOf(broken)}; nothing was changed`,
    {
      kind: "refused",
      code: "plugins_broken",
      hint:
        "Mend it, for it may be a guard (`observatory plugin list` tells more), or pass --no-plugins",
      details: { plugins: broken },
    },
  );
}

function countOf(broken: readonly PluginStatus[]): string {
  return broken.length === 1 ? "A plugin" : `${broken.length} plugins`;
}

function listOf(broken: readonly PluginStatus[]): string {
  return broken.map(({ name, reason }) => `"${name}" (${reason})`).join("; ");
}

/** Whether its hooks are not called: one whose own name is taken is used no more than one that fails. */
function isBroken({ status, clashes }: PluginStatus): boolean {
  return status !== "ok" && (status !== "clash" || Object.keys(clashes).length === 0);
}

/**
 * Finds a command of a user's plugin: by its name, or by `plugin run`.
 *
 * @param options.found what was found among the built-in ones
 * @throws OperationError of kind `usage` when there is none
 */
export function findUserCommand(
  user: UserPlugins | undefined,
  { found, tree, args }: {
    readonly found: FoundCommand | undefined;
    readonly tree: CommandTree;
    readonly args: readonly string[];
  },
): FoundCommand {
  if (found?.entry.path !== "plugin run") {
    try {
      return findCommand(user?.tree ?? tree, args);
    } catch (error) {
      throw besideBroken(error, user);
    }
  }
  const { leading, rest } = splitLeadingFlags(found.words);
  // `plugin run --help` is about `plugin run`.
  if (rest.length === 0) return found;
  const { entry, words } = commandOfPlugin(user, rest);
  return { entry, words: [...leading, ...words] };
}

/**
 * Finds the command of `plugin run PLUGIN COMMAND…`, by which clashing ones are reached too.
 *
 * @param words what follows `plugin run`
 * @throws OperationError of kind `usage` when there is no such plugin or command
 */
function commandOfPlugin(
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
    const name = rest.slice(0, length).join(" ");
    const found = Object.entries(commands).find(([key, { aliases = [] }]) =>
      key === name || aliases.includes(name)
    );
    if (found === undefined) continue;
    const [key, command] = found;
    // Its hooks and its help tell it apart from the command that has the name.
    const path = `plugin run ${plugin.name} ${key}`;
    return { entry: { path, plugin, command }, words: rest.slice(length) };
  }
  const [command = ""] = rest;
  throw unknown(
    command === "" || command.startsWith("-")
      ? `Name the command of plugin ${shown(name)} that is to be run`
      : `Plugin ${shown(name)} has no command ${shown(command)}`,
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
      const { foundAt } = await import("./sandbox/find.ts");
      const loader = user ?? await load({}, source);
      try {
        return await loader.check(foundAt(resolve(source.run.host.cwd, path)));
      } finally {
        if (loader !== user) await loader.close();
      }
    },
    async contract() {
      return (await import("./contract_text.ts")).CONTRACT;
    },
    async testing() {
      return (await import("./contract_text.ts")).TESTING;
    },
    async seedRows(path, options) {
      if (source.flags["no-plugins"] === true) throw withoutPlugins(path);
      const { seedRows } = await import("./seed_modules.ts");
      return await seedRows(path, { ...options, ...source, load: await optionsOf(source) });
    },
  };
}

function withoutPlugins(path: string): OperationError {
  return new OperationError("A seed module runs as plugins do, and --no-plugins is given", {
    kind: "refused",
    code: "plugins_off",
    hint: "Leave the flag out, or choose other files with --only",
    details: { path },
  });
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
    variables: [],
  };
}

/** An unknown command may be one of a plugin that cannot be used: then that is told, too. */
function besideBroken(error: unknown, user: UserPlugins | undefined): unknown {
  const broken = (user?.statuses ?? []).filter(isBroken);
  if (!(error instanceof OperationError) || broken.length === 0) return error;
  const { kind, code, hint, details } = error;
  return new OperationError(error.message, {
    kind,
    code,
    hint: [`It may be of a plugin that cannot be used: ${listOf(broken)}`, hint]
      .filter((text) => text).join("\n      "),
    details,
  });
}
