/** The target database itself: opened, or made first where it is absent. */
import { type Context, DatabaseError, OperationError, type Session } from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";
import { SQLX_SESSION } from "./history.ts";

/** Opens a session like those of sqlx; undefined when the database does not exist. */
export async function openExisting({ db }: Context): Promise<Session | undefined> {
  try {
    return await db.session(SQLX_SESSION);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * Opens a session like those of sqlx, and makes the database when it does not exist.
 *
 * @throws OperationError when it cannot be made
 */
export async function openOrCreate(
  context: Context,
): Promise<{ session: Session; created: boolean }> {
  const session = await openExisting(context);
  if (session !== undefined) return { session, created: false };
  const { database } = context.db.target;
  const created = await createDatabase(context, database);
  if (created) context.log.info(`Created database "${database}"`);
  return { session: await context.db.session(SQLX_SESSION), created };
}

function isMissing(error: unknown): error is OperationError {
  return error instanceof OperationError && error.code === "database_missing";
}

/** What the server answers when another run makes the database at the same time. */
const ALREADY_MADE = ["42P04", "23505"];
/** What it answers while somebody is connected to the template. */
const TEMPLATE_IN_USE = "55006";
const ATTEMPTS = 20;

async function createDatabase(context: Context, database: string): Promise<boolean> {
  const session = await context.db.maintenance();
  try {
    for (let attempt = 1;; attempt++) {
      try {
        await session.query(`CREATE DATABASE ${identifier(database)}`);
        return true;
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        const { sqlstate } = error.server;
        if (ALREADY_MADE.includes(sqlstate)) return false;
        if (sqlstate !== TEMPLATE_IN_USE || attempt === ATTEMPTS) {
          throw cannotCreate(database, error);
        }
        await context.sleep(100 + Math.random() * 200);
      }
    }
  } finally {
    await session.close();
  }
}

function cannotCreate(database: string, error: DatabaseError): OperationError {
  const { message, sqlstate } = error.server;
  return new OperationError(
    `Cannot create database "${database}": ${message} (SQLSTATE ${sqlstate})`,
    {
      code: "database_not_created",
      hint: sqlstate === "42501"
        ? "Let a role that may do so create it, or grant this one CREATEDB"
        : error.server.hint ?? "Create it by hand, and run again",
      details: { sqlstate, database },
      cause: error,
    },
  );
}
