/** What a reset would lose and do, and what stands against it; nothing here changes anything. */
import type { Context, Session } from "../../core/plugin.ts";
import type { DatabaseFacts, Rights } from "../database/inspection.ts";
import { inspectReplaced, type Refused } from "../database/refusals.ts";

/** What is asked for. */
export interface ResetOptions {
  readonly seed: boolean;
  /** Whether a full backup is made before anything is dropped. */
  readonly backupFirst: boolean;
  /** The environment whose seeds are loaded; by default the configured one. */
  readonly env: string | undefined;
  /** Seconds to wait for another reset. */
  readonly wait: number;
}

/** How reasons against a reset are worded. */
const REFUSED: Refused = { verb: "reset", code: "reset_refused" };

/**
 * Describes the reset.
 *
 * @throws OperationError of kind `refused` when something stands against it
 */
export async function plan(context: Context, options: ResetOptions): Promise<string> {
  const { db } = context;
  const session = await db.maintenance();
  try {
    const { facts, rights } = await inspect(session, db.target.database);
    const migrations = await checkMigrations(context);
    return describe(context, { facts, rights, migrations, options });
  } finally {
    await session.close();
  }
}

/**
 * Asks for what must be known before anything is dropped.
 *
 * @throws OperationError of kind `refused` when something stands against dropping it
 */
export async function inspect(session: Session, database: string) {
  return await inspectReplaced(session, database, REFUSED);
}

/** How many migrations will be applied; their files are checked before anything is lost. */
async function checkMigrations({ run }: Context): Promise<number> {
  const { data } = await run("migrate check");
  const list = typeof data === "object" && data !== null && "migrations" in data
    ? data.migrations
    : undefined;
  if (Array.isArray(list)) return list.length;
  throw new Error("migrate check tells no migrations");
}

function describe(
  { db, config }: Context,
  { facts, rights, migrations, options }: {
    facts: DatabaseFacts | undefined;
    rights: Rights;
    migrations: number;
    options: ResetOptions;
  },
): string {
  const { host, port, database } = db.target;
  const environment = options.env ?? config.get("ENVIRONMENT") ?? "development";
  const steps = [
    ...(options.backupFirst && facts !== undefined
      ? [`Back it up to "${config.get("BACKUPS_DIR") ?? "./backups"}"`]
      : []),
    facts === undefined ? "Terminate no connections" : `Terminate ${connectionsOf(facts)}`,
    facts === undefined
      ? "Drop nothing: there is no such database"
      : "Drop the database; ALL ITS DATA IS LOST",
    facts === undefined ? "Create the database" : `Create it again: ${propertiesOf(facts)}`,
    `Apply ${counted(migrations, "migration")} from "${
      config.get("MIGRATIONS_DIR") ?? "migrations"
    }"`,
    options.seed ? `Load the seeds of "${environment}"` : "Load no seeds (--no-seed)",
  ];
  const size = facts === undefined
    ? "absent"
    : facts.size === undefined
    ? "size unknown"
    : byteText(facts.size);
  return [
    `Reset of database "${database}" (${size}) on ${host}:${port} as "${rights.user}":`,
    ...steps.map((step, index) => `  ${index + 1}. ${step}`),
    ...((facts?.securityLabels ?? 0) === 0 ? [] : ["Its security labels are not kept"]),
  ].join("\n");
}

function connectionsOf({ connections }: DatabaseFacts): string {
  const total = connections.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return "active connections: there are none now";
  const shown = connections.slice(0, 5).map(({ program, role, count }) =>
    `${count} × ${program}${role === "" ? "" : ` as ${role}`}`
  );
  const more = connections.length > shown.length ? ", …" : "";
  return `${counted(total, "active connection")}: ${shown.join(", ")}${more}`;
}

function propertiesOf(facts: DatabaseFacts): string {
  return [
    `owner "${facts.owner}"`,
    facts.encoding,
    `locale ${facts.locale ?? facts.ctype}`,
    `tablespace "${facts.tablespace}"`,
    counted(facts.settings.length, "setting"),
    facts.privileges === undefined
      ? "default privileges"
      : counted(facts.privileges.length, "privilege"),
  ].join(", ");
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Bytes in the unit that gives one to three digits before the point. */
export function byteText(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
