/** The users' plugins: found, trusted, prepared, and declared; what is wrong with one is its status. */
import {
  type Command,
  type Hook,
  OperationError,
  type Plugin,
  type PluginState,
  type PluginStatus,
} from "./plugin.ts";
import { buildCommandTree, type CommandTree } from "./command_tree.ts";
import { reportOf } from "./errors.ts";
import type { PluginCache } from "./sandbox/cache.ts";
import {
  type CommandDeclaration,
  type PluginDeclaration,
  rememberedDeclaration,
} from "./sandbox/declaration.ts";
import { findPlugins, type FoundPlugin, type PluginDirectories } from "./sandbox/find.ts";
import type { PreparedPlugin } from "./sandbox/prepare.ts";
import type { GuestLimits } from "./sandbox/limits.ts";
import type { Guest } from "./sandbox/worker.ts";

/** What plugins are loaded with. */
export interface LoadOptions {
  readonly cache: PluginCache;
  /** One more user that files may belong to: `PLUGINS_OWNER`. */
  readonly owner: number | undefined;
  readonly limits: GuestLimits;
  /** Files that no plugin reads, whatever it declares. */
  readonly hidden: readonly string[];
  readonly debug: (line: string) => void;
}

/** The users' plugins of one run. */
export interface UserPlugins {
  /** Those that can be used, in the order found. */
  readonly plugins: readonly Plugin[];
  readonly statuses: readonly PluginStatus[];
  /** The built-in commands and those of the plugins. */
  readonly tree: CommandTree;
  /** The commands of every usable plugin by its name, those whose names are taken included. */
  readonly byPlugin: ReadonlyMap<string, Plugin>;
  /** Loads one more file, which is not used otherwise. */
  check(path: FoundPlugin): Promise<PluginStatus>;
  /** Ends their workers. */
  close(): Promise<void>;
}

/** The first words that belong to the program itself. */
const RESERVED: ReadonlySet<string> = new Set(["help", "version"]);

/**
 * Finds and loads the users' plugins.
 *
 * @param builtIns the built-in plugins, whose names are taken
 * @throws OperationError of kind `usage` when a directory that was named is not there
 */
export async function loadPlugins(
  directories: PluginDirectories,
  builtIns: readonly Plugin[],
  options: LoadOptions,
): Promise<UserPlugins> {
  const found = await findPlugins(directories);
  const locked = [...new Set(found.map(({ directory }) => directory))];
  const guests: GuestSource[] = [];
  const plugins: Plugin[] = [];
  const byPlugin = new Map<string, Plugin>();
  const statuses: PluginStatus[] = [];
  const taken = takenNames(builtIns);
  for (const each of found) {
    const loaded = await load(each, { ...options, locked });
    if (loaded.guest !== undefined) guests.push(loaded.guest);
    const { plugin } = loaded;
    if (plugin === undefined) {
      statuses.push(loaded.status);
      continue;
    }
    const namesake = taken.plugins.get(plugin.name);
    if (namesake !== undefined) {
      statuses.push(clashed(loaded.status, `the name is taken by ${namesake}`));
      continue;
    }
    taken.plugins.set(plugin.name, `the plugin at ${each.path}`);
    byPlugin.set(plugin.name, plugin);
    const { usable, clashes } = withoutTaken(plugin, taken);
    plugins.push(usable);
    statuses.push(
      Object.keys(clashes).length === 0
        ? loaded.status
        : { ...clashed(loaded.status, clashReason(plugin.name, clashes)), clashes },
    );
  }
  return {
    plugins,
    byPlugin,
    statuses,
    tree: buildCommandTree([...builtIns, ...plugins]),
    async check(path) {
      const { status, guest } = await load(path, { ...options, locked });
      await guest?.end();
      return status;
    },
    async close() {
      await Promise.all(guests.map((guest) => guest.end()));
      options.cache.close();
    },
  };
}

/** What no plugin can call itself or its commands any more, with whose it is. */
interface TakenNames {
  readonly plugins: Map<string, string>;
  readonly commands: Map<string, string>;
  /** Commands that take what follows their names for arguments. */
  readonly greedy: Set<string>;
}

function takenNames(builtIns: readonly Plugin[]): TakenNames {
  const taken: TakenNames = { plugins: new Map(), commands: new Map(), greedy: new Set() };
  for (const plugin of builtIns) {
    taken.plugins.set(plugin.name, "a built-in plugin");
    take(plugin, { taken, owner: "the program itself" });
  }
  return taken;
}

function take(plugin: Plugin, { taken, owner }: { taken: TakenNames; owner: string }): void {
  for (const [path, command] of Object.entries(plugin.commands ?? {})) {
    for (const name of namesOf(path, command)) {
      taken.commands.set(name, owner);
      if (Object.keys(command.args ?? {}).length > 0) taken.greedy.add(name);
    }
  }
}

function namesOf(path: string, command: Command): string[] {
  return [path, ...command.aliases ?? []];
}

/** Leaves out the commands whose names are taken: what stood there first is never shadowed. */
function withoutTaken(
  plugin: Plugin,
  taken: TakenNames,
): { usable: Plugin; clashes: Record<string, string> } {
  const clashes: Record<string, string> = {};
  const commands = Object.entries(plugin.commands ?? {}).filter(([path, command]) => {
    const owner = namesOf(path, command).map((name) => ownerOf(name, taken))
      .find((each) => each !== undefined);
    if (owner !== undefined) clashes[path] = owner;
    return owner === undefined;
  });
  const usable = { ...plugin, commands: Object.fromEntries(commands) };
  take(usable, { taken, owner: `plugin ${plugin.name}` });
  return { usable, clashes };
}

function ownerOf(name: string, { commands, greedy }: TakenNames): string | undefined {
  const words = name.split(" ");
  if (RESERVED.has(words[0] ?? "")) return "the program itself";
  const before = words.slice(0, -1).map((_, index) => words.slice(0, index + 1).join(" "));
  const eater = before.find((prefix) => greedy.has(prefix));
  return commands.get(name) ?? (eater === undefined ? undefined : commands.get(eater));
}

function clashReason(plugin: string, clashes: Readonly<Record<string, string>>): string {
  const [[path, owner] = ["", ""]] = Object.entries(clashes);
  const more = Object.keys(clashes).length - 1;
  return `the name "${path}" is taken by ${owner}${
    more === 0 ? "" : `, and ${more} more are taken`
  }` +
    `; \`observatory plugin run ${plugin} ${path}\` reaches it`;
}

function clashed(status: PluginStatus, reason: string): PluginStatus {
  return { ...status, status: "clash", reason };
}

interface Loaded {
  readonly status: PluginStatus;
  readonly plugin?: Plugin;
  readonly guest?: GuestSource;
}

type Loading = LoadOptions & { readonly locked: readonly string[] };

async function load(found: FoundPlugin, options: Loading): Promise<Loaded> {
  const { name, path, origin } = found;
  const base = {
    name,
    source: origin,
    path,
    commands: {},
    clashes: {},
    hooks: [],
    permissions: {},
  };
  try {
    const { preparePlugin } = await import("./sandbox/prepare.ts");
    const prepared = await preparePlugin(found, { cache: options.cache, owner: options.owner });
    for (const warning of prepared.warnings) options.debug(warning);
    const declaration = await declarationOf(prepared, { name, options });
    const guest = guestSource(prepared, { declaration, options });
    return {
      plugin: pluginOf(declaration, guest),
      guest,
      status: { ...base, ...told(declaration) },
    };
  } catch (error) {
    const { message, hint } = reportOf(error);
    if (!(error instanceof OperationError)) throw error;
    return {
      status: {
        ...base,
        status: STATES[error.code] ?? "failed",
        reason: message,
        ...(hint === undefined ? {} : { hint }),
      },
    };
  }
}

const STATES: Readonly<Record<string, PluginState>> = {
  plugin_refused: "refused",
  plugin_invalid: "invalid",
  plugin_incompatible: "incompatible",
};

function told(declaration: PluginDeclaration): Omit<PluginStatus, "source" | "path" | "clashes"> {
  const { name, summary, commands, hooks, permissions } = declaration;
  const effects = Object.entries(commands).map(([path, { effect }]) => [path, effect] as const);
  return {
    name,
    status: "ok",
    summary,
    commands: Object.fromEntries(effects),
    hooks,
    permissions,
  };
}

/** What the plugin declares: remembered by the hash of its sources, or asked of it in a worker. */
async function declarationOf(
  prepared: PreparedPlugin,
  { name, options }: { name: string; options: Loading },
): Promise<PluginDeclaration> {
  const remembered = rememberedDeclaration(options.cache.declarationOf(prepared.hash));
  if (remembered !== undefined) return remembered;
  const { startGuest } = await import("./sandbox/worker.ts");
  // It is given nothing yet: what it needs is not known before it has told.
  const guest = await startGuest({ ...options, name, plugin: prepared });
  await guest.end();
  options.cache.rememberDeclaration(prepared.hash, guest.declaration);
  return guest.declaration;
}

/** The worker of one plugin, started when it is first needed. */
interface GuestSource {
  get(): Promise<Guest>;
  end(): Promise<void>;
}

function guestSource(
  prepared: PreparedPlugin,
  { declaration, options }: { declaration: PluginDeclaration; options: Loading },
): GuestSource {
  let started: Promise<Guest> | undefined;
  const { name, permissions } = declaration;
  return {
    async get() {
      started ??= import("./sandbox/worker.ts").then(async ({ startGuest }) => {
        const guest = await startGuest({ ...options, name, plugin: prepared, permissions });
        if (JSON.stringify(guest.declaration) === JSON.stringify(declaration)) return guest;
        await guest.end();
        throw new OperationError(
          `Plugin "${name}" declares something else each time it is loaded`,
          {
            code: "plugin_invalid",
            hint: "Declare the same whatever the time and the machine",
          },
        );
      });
      return await started;
    },
    async end() {
      // Why it could not be started has been told to whoever needed it.
      await (await started?.catch(() => undefined))?.end();
    },
  };
}

/** The plugin as the program knows it; what it does happens in its worker. */
function pluginOf(declaration: PluginDeclaration, guest: GuestSource): Plugin {
  const { name, api, summary, commands, hooks, permissions } = declaration;
  return {
    name,
    api,
    summary,
    permissions,
    commands: Object.fromEntries(
      Object.entries(commands).map(([path, command]) => [path, commandOf(path, command, guest)]),
    ),
    hooks: Object.fromEntries(
      hooks.map((hook): [string, Hook] => [
        hook,
        async (context, event) => await (await guest.get()).hook(hook, event, context),
      ]),
    ),
  };
}

function commandOf(
  path: string,
  { plans, ...declared }: CommandDeclaration,
  guest: GuestSource,
): Command {
  return {
    ...declared,
    ...(plans
      ? { plan: async (context, input) => await (await guest.get()).plan(path, input, context) }
      : {}),
    run: async (context, input) => await (await guest.get()).run(path, input, context),
  };
}
