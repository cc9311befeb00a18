/** `plugin list`: what plugins there are. */
import type { Context, PluginStatus, Result } from "../../core/plugin.ts";
import { permissionLines, printable } from "./shown.ts";
import { strayHooks } from "./stray_hooks.ts";

/** Where a plugin comes from, in words. */
const SOURCES = {
  "built-in": "built-in",
  system: "the system's directory",
  project: "PLUGINS_DIR",
  flag: "--plugin-dir",
} as const satisfies Record<PluginStatus["source"], string>;

/** The role that a plugin's SQL has the rights of. */
interface Role {
  readonly name: string;
  /** Whether its SQL starts programs on the server, or writes files there. */
  readonly leads_out: boolean;
}

/** Milliseconds that the server is given to answer: the list is there without it, too. */
const PATIENCE = 1000;

/**
 * Lists them, with a warning where the role's SQL leads out of any sandbox.
 *
 * @returns with `check`, the plugins that are not ok as problems
 */
export async function list(context: Context, { check }: { check: boolean }): Promise<Result> {
  const plugins = await context.plugins.list();
  const users = plugins.filter(({ source }) => source !== "built-in");
  const role = users.some(isUsable) ? await roleOf(context) : undefined;
  if (role?.leads_out) {
    context.log.warn(
      `SQL of plugins runs as "${role.name}", and a superuser's leads out of any sandbox ` +
        "(COPY … TO PROGRAM): connect as a role that may only what it must",
    );
  }
  for (const told of users.filter(isUsable).flatMap((plugin) => strayHooks(plugin, plugins))) {
    context.log.warn(told);
  }
  const wrong = plugins.filter(({ status }) => status !== "ok");
  const problems = wrong.map(({ name, status, reason }) =>
    printable(`Plugin "${name}" is not ok (${status}): ${reason}`)
  );
  return {
    data: { plugins, role: role ?? null },
    text: textOf(plugins, role),
    ...(check && problems.length > 0 ? { problems } : {}),
  };
}

/** The role of the connection; undefined when the server cannot be asked at once. */
async function roleOf(context: Context): Promise<Role | undefined> {
  const ask = async () => {
    const session = await context.db.session({ wait: 0, notices: "drop" });
    const { rows } = await session.query<{ name: string; leads_out: boolean }>(
      `SELECT rolname::text AS name, rolsuper
           OR pg_has_role(oid, 'pg_execute_server_program', 'MEMBER')
           OR pg_has_role(oid, 'pg_write_server_files', 'MEMBER') AS leads_out
         FROM pg_roles WHERE rolname = current_user`,
    );
    await session.close();
    return rows[0];
  };
  const late = context.sleep(PATIENCE).then(() => undefined);
  const asked = ask().catch((error: unknown) => {
    context.log.debug(`The role of the connection is not known: ${error}`);
    return undefined;
  });
  return await Promise.race([asked, late]);
}

function textOf(plugins: readonly PluginStatus[], role: Role | undefined): string {
  const users = plugins.filter(({ source }) => source !== "built-in");
  const builtIns = plugins.filter(({ source }) => source === "built-in").map(({ name }) => name);
  const blocks = users.map((plugin) => blockOf(plugin).map(printable).join("\n"));
  if (users.length === 0) {
    blocks.push(
      "No plugins of yours: `observatory plugin new NAME` writes one, and PLUGINS_DIR names " +
        "their directory",
    );
  } else if (users.some(isUsable)) blocks.push(rightsOf(role));
  return [...blocks, `Built-in: ${builtIns.join(", ")}`].join("\n\n");
}

function rightsOf(role: Role | undefined): string {
  if (role === undefined) {
    return "A plugin's SQL has the rights of the role: a superuser's leads out of any sandbox " +
      "(COPY … TO PROGRAM). The server does not answer now, so the role is not known";
  }
  const who = printable(`"${role.name}"`);
  return role.leads_out
    ? `A plugin's SQL has the rights of ${who}: it leads out of any sandbox`
    : `A plugin's SQL has the rights of ${who}, which starts no programs on the server`;
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

function permissionsOf(plugin: PluginStatus): string {
  return isUsable(plugin) ? permissionLines(plugin).join("; ") || "none" : "";
}

function isUsable({ status }: PluginStatus): boolean {
  return status === "ok" || status === "clash";
}
