/** The users' plugins: found, trusted, prepared, and declared; what is wrong with one is its status. */
import {
  type CheckedPlugin,
  type Command,
  type Hook,
  OperationError,
  type Plugin,
  type PluginState,
  type PluginStatus,
} from "./plugin.ts";
import { buildCommandTree, type CommandEntry, type CommandTree } from "./command_tree.ts";
import { reportOf } from "./errors.ts";
import { clashReason, takenNames, withoutTaken } from "./plugin_names.ts";
import type { PluginCache } from "./sandbox/cache.ts";
import {
  type CommandDeclaration,
  type PluginDeclaration,
  rememberedDeclaration,
  variablesOf,
} from "./sandbox/declaration.ts";
import { findPlugins, type FoundPlugin, type PluginDirectories } from "./sandbox/find.ts";
import type { GuestLimits } from "./sandbox/limits.ts";
import type { TrustedDirectory } from "./sandbox/trust.ts";
import type { Guest } from "./sandbox/worker.ts";

/** What plugins are loaded with. */
export interface LoadOptions {
  readonly cache: PluginCache;
  /** One more user that files may belong to: `PLUGINS_OWNER`. */
  readonly owner: number | undefined;
  readonly limits: GuestLimits;
  /** Files that no plugin reads, whatever it declares. */
  readonly hidden: readonly string[];
  /** Whether those that would have to be asked what they declare are left out. */
  readonly rememberedOnly?: boolean;
  readonly debug: (line: string) => void;
  /** Told when a plugin that was ended goes on taking memory. */
  readonly runaway: (error: Error) => void;
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
  check(found: FoundPlugin): Promise<CheckedPlugin>;
  /** Ends their workers. */
  close(): Promise<void>;
}

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
  const locked = new Set(found.map(({ directory }) => directory));
  const guests: GuestSource[] = [];
  const plugins: Plugin[] = [];
  const byPlugin = new Map<string, Plugin>();
  const statuses: PluginStatus[] = [];
  const taken = takenNames(builtIns);
  // Nothing runs a command before all are known.
  const loading: Loading = {
    ...options,
    locked,
    trusts: new Map(),
    commandOf: (name) => tree.byName.get(name),
  };
  for (const each of found) {
    const loaded = await load(each, loading);
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
  const tree = buildCommandTree([...builtIns, ...plugins]);
  return {
    plugins,
    byPlugin,
    statuses,
    tree,
    check: async (found) => checked(await load(found, { ...loading, anew: true }), builtIns),
    async close() {
      await Promise.all(guests.map((guest) => guest.end()));
      options.cache.close();
    },
  };
}

/** What there is to tell of one plugin by itself: its names may be taken by the built-in ones alone. */
function checked({ plugin, status }: Loaded, builtIns: readonly Plugin[]): CheckedPlugin {
  if (plugin === undefined) return { ...status, declared: {} };
  const declared = Object.fromEntries(
    Object.entries(plugin.commands ?? {}).map(([path, { run: _, plan: __, ...command }]) => [
      path,
      command,
    ]),
  );
  const taken = takenNames(builtIns);
  const namesake = taken.plugins.get(plugin.name);
  if (namesake !== undefined) {
    return { ...clashed(status, `the name is taken by ${namesake}`), declared };
  }
  const { clashes } = withoutTaken(plugin, taken);
  return Object.keys(clashes).length === 0
    ? { ...status, declared }
    : { ...clashed(status, clashReason(plugin.name, clashes)), clashes, declared };
}

function clashed(status: PluginStatus, reason: string): PluginStatus {
  return { ...status, status: "clash", reason };
}

interface Loaded {
  readonly status: PluginStatus;
  readonly plugin?: Plugin;
  readonly guest?: GuestSource;
}

type Loading = LoadOptions & {
  /** The directories of plugins. */
  readonly locked: ReadonlySet<string>;
  /** Each directory is looked at once for all plugins in it. */
  readonly trusts: Map<string, TrustedDirectory>;
  /** Whether it is tried although it has just failed. */
  readonly anew?: boolean;
  readonly commandOf: (name: string) => CommandEntry | undefined;
};

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
    variables: [],
  };
  try {
    const { hash, declaration } = await declarationOf(found, options);
    const guest = guestSource({ ...found, hash }, { declaration, options });
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
  const { name, api, summary, commands, hooks, permissions } = declaration;
  const effects = Object.entries(commands).map(([path, { effect }]) => [path, effect] as const);
  return {
    name,
    status: "ok",
    summary,
    api,
    commands: Object.fromEntries(effects),
    hooks,
    permissions,
    variables: variablesOf(declaration),
  };
}

/** What the plugin declares: remembered by the hash of its sources, or asked of it in a worker. */
async function declarationOf(
  found: FoundPlugin,
  options: Loading,
): Promise<{ hash: string; declaration: PluginDeclaration }> {
  const [{ preparePlugin, unchangedHash }, { trustDirectory }] = await Promise.all([
    import("./sandbox/prepare.ts"),
    import("./sandbox/trust.ts"),
  ]);
  const { cache, trusts, owner } = options;
  const { directory } = found;
  const trust = trusts.get(directory) ?? trustDirectory(directory, { owner });
  trusts.set(directory, trust);
  const known = unchangedHash(found, { cache, trust });
  const remembered = known && rememberedDeclaration(cache.recall("declaration", known));
  if (known && remembered) return { hash: known, declaration: remembered };
  if (options.rememberedOnly === true) throw new OperationError("It was not loaded yet");
  const prepared = await preparePlugin(found, options);
  const { hash } = prepared;
  for (const warning of prepared.warnings) options.debug(warning);
  const [{ startGuest }, { keepFailure, keptFailure }] = await Promise.all([
    import("./sandbox/worker.ts"),
    import("./sandbox/failures.ts"),
  ]);
  const failure = options.anew === true
    ? undefined
    : keptFailure(cache, { hash, path: found.path });
  if (failure !== undefined) throw failure;
  try {
    // It is given nothing yet: what it needs is not known before it has told.
    const guest = await startGuest({ ...options, locked: [], name: found.name, plugin: prepared });
    await guest.end();
    cache.remember("declaration", hash, guest.declaration);
    return { hash, declaration: guest.declaration };
  } catch (error) {
    keepFailure(cache, { hash, error });
    throw error;
  }
}

/** The worker of one plugin, started when it is first needed. */
interface GuestSource {
  get(): Promise<Guest>;
  end(): Promise<void>;
}

function guestSource(
  found: FoundPlugin & { readonly hash: string },
  { declaration, options }: { declaration: PluginDeclaration; options: Loading },
): GuestSource {
  let started: Promise<Guest> | undefined;
  return {
    get: () => started ??= start(found, { declaration, options }),
    async end() {
      // Why it could not be started has been told to whoever needed it.
      await (await started?.catch(() => undefined))?.end();
    },
  };
}

/** Starts it with what it has declared, if that is still what it declares. */
async function start(
  found: FoundPlugin & { readonly hash: string },
  { declaration, options }: { declaration: PluginDeclaration; options: Loading },
): Promise<Guest> {
  const { name, permissions } = declaration;
  const [{ preparePlugin }, { startGuest }, { lockedPaths }] = await Promise.all([
    import("./sandbox/prepare.ts"),
    import("./sandbox/worker.ts"),
    import("./sandbox/locked.ts"),
  ]);
  const plugin = await preparePlugin(found, options);
  const invalid = (what: string, hint: string) =>
    new OperationError(`Plugin "${name}" ${what}`, { code: "plugin_invalid", hint });
  if (plugin.hash !== found.hash) {
    throw invalid("has been changed since this run began", "Run it again");
  }
  const locked = lockedPaths([...options.locked], options.cache);
  const guest = await startGuest({ ...options, locked, name, plugin, permissions });
  if (sameDeclaration(guest.declaration, declaration)) return guest;
  await guest.end();
  throw invalid(
    "declares something else each time it is loaded",
    "Declare the same whatever the time and the machine",
  );
}

/** What is remembered has its keys in another order. */
function sameDeclaration(one: PluginDeclaration, other: PluginDeclaration): boolean {
  const told = (declaration: PluginDeclaration) =>
    JSON.stringify(rememberedDeclaration(JSON.parse(JSON.stringify(declaration))));
  return told(one) === told(other);
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
