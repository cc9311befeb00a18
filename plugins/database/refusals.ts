/** What stands against putting another database in the place of one; nothing here changes anything. */
import { OperationError, type Session } from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";
import { type DatabaseFacts, inspectDatabase, inspectRights, type Rights } from "./inspection.ts";

/** How a refusal is worded. */
export interface Refused {
  /** What cannot be done, such as `reset`: `Cannot reset "shop"`. */
  readonly verb: string;
  /** The refusal's name for programs. */
  readonly code: string;
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
 * Asks for what must be known before another database takes the place of this one.
 *
 * @param session in another database of the server
 * @throws OperationError of kind `refused` when something stands against it, with all reasons
 */
export async function inspectReplaced(
  session: Session,
  database: string,
  refused: Refused,
): Promise<{ facts: DatabaseFacts | undefined; rights: Rights }> {
  refuseSystem(database);
  const rights = await inspectRights(session, database);
  const facts = await inspectDatabase(session, database);
  refuseStanding(database, { facts, rights, refused });
  return { facts, rights };
}

/**
 * Makes sure that nobody backs the database up or migrates it.
 *
 * @throws OperationError of kind `locked` that names who does
 */
export function refuseBusy(
  database: string,
  { facts, verb }: { facts: DatabaseFacts | undefined; verb: string },
): void {
  const [holder] = facts?.busy ?? [];
  if (holder === undefined) return;
  throw new OperationError(
    `Cannot ${verb} "${database}": it is being backed up or migrated by ${holder}; nothing was changed`,
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
  { facts, rights, refused: { verb, code } }: {
    facts: DatabaseFacts | undefined;
    rights: Rights;
    refused: Refused;
  },
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
  throw refusal(`Cannot ${verb} "${database}": ${reasons.join("; ")}`, {
    code,
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
