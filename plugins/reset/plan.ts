/** What a reset would lose and do, and what stands against it; nothing here changes anything. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";
import {
  type DatabaseFacts,
  inspectDatabase,
  inspectRights,
  type Rights,
} from "../database/inspection.ts";

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

/** What the server's own administration and that of the large hosters live in. */
const SYSTEM_DATABASES: ReadonlySet<string> = new Set([
  "postgres",
  "template0",
  "template1",
  "rdsadmin",
  "cloudsqladmin",
  "azure_maintenance",
  "azure_sys",
]);

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
export async function inspect(
  session: Awaited<ReturnType<Context["db"]["session"]>>,
  database: string,
): Promise<{ facts: DatabaseFacts | undefined; rights: Rights }> {
  refuseSystem(database);
  const rights = await inspectRights(session, database);
  const facts = await inspectDatabase(session, database);
  refuseStanding(database, { facts, rights });
  return { facts, rights };
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

/**
 * Makes sure that nobody backs the database up or migrates it; asked under the lock of resets, since
 * another reset migrates too.
 *
 * @throws OperationError of kind `locked` that names who does
 */
export function refuseBusy(database: string, facts: DatabaseFacts | undefined): void {
  const [holder] = facts?.busy ?? [];
  if (holder === undefined) return;
  throw new OperationError(
    `Cannot reset "${database}": it is being backed up or migrated by ${holder}; nothing was changed`,
    {
      kind: "locked",
      code: "locked",
      hint: "Wait until that has ended, or end it with pg_terminate_backend",
    },
  );
}

function refuseSystem(database: string): void {
  if (!SYSTEM_DATABASES.has(database)) return;
  throw refusal(`"${database}" is a system database`, {
    code: "system_database",
    hint: "Set DB_NAME or DATABASE_URL to the database that is meant",
  });
}

function refuseStanding(
  database: string,
  { facts, rights }: { facts: DatabaseFacts | undefined; rights: Rights },
): void {
  const reasons: string[] = [];
  const hints: string[] = [];
  const stands = (reason: string, hint: string) => {
    reasons.push(reason);
    hints.push(hint);
  };
  if (rights.standby) {
    stands("the server is a standby, which takes no changes", "Connect to the primary");
  }
  if (facts?.isTemplate === true) {
    stands(
      `"${database}" is a template`,
      `If it is meant: ALTER DATABASE ${identifier(database)} IS_TEMPLATE false`,
    );
  }
  if (!rights.owns) {
    stands(
      `role "${rights.user}" is not its owner, "${facts?.owner}", and no member of it`,
      `GRANT ${identifier(facts?.owner ?? "")} TO ${
        identifier(rights.user)
      }, or connect as the owner`,
    );
  }
  if (!rights.mayCreate) {
    stands(
      `role "${rights.user}" may not create databases`,
      `ALTER ROLE ${identifier(rights.user)} CREATEDB`,
    );
  }
  const holders = [
    ["replication slot", facts?.slots, "drop it with pg_drop_replication_slot"],
    ["subscription", facts?.subscriptions, "drop it in the database with DROP SUBSCRIPTION"],
    ["prepared transaction", facts?.preparedTransactions, "end it with ROLLBACK PREPARED"],
  ] as const;
  for (const [what, names = [], hint] of holders) {
    if (names.length === 0) continue;
    const list = names.map((name) => `"${name}"`).join(", ");
    stands(
      `it holds ${what}${names.length === 1 ? "" : "s"} ${list}`,
      `If it is not needed, ${hint}`,
    );
  }
  if (reasons.length === 0) return;
  throw refusal(`Cannot reset "${database}": ${reasons.join("; ")}`, {
    code: "reset_refused",
    hint: hints.join("\n      "),
  });
}

function refusal(message: string, { code, hint }: { code: string; hint: string }): OperationError {
  return new OperationError(`Refused: ${message}; nothing was changed`, {
    kind: "refused",
    code,
    hint,
  });
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
