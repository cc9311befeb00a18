/** The way to the server: into the target database, or else into one that every server has. */
import { type Context, OperationError, type Session } from "../../core/plugin.ts";
import type { Reached, Server } from "./check.ts";

/**
 * Connects.
 *
 * @throws OperationError of kind `connection` when the server cannot be reached, or rejects the login
 */
export async function reach(context: Context): Promise<Reached> {
  try {
    // What the server notes about the database, such as its collation, is the checks' to tell.
    const session = await context.db.session({ notices: "drop" });
    return { server: await know(session, { context, inTarget: true }), exists: true };
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "database_missing") throw error;
  }
  try {
    const session = await context.db.maintenance({ notices: "drop" });
    return { server: await know(session, { context, inTarget: false }), exists: false };
  } catch (error) {
    // The server has answered: that it lets the role in nowhere else hinders some checks only.
    if (!(error instanceof OperationError) || error.kind !== "connection") throw error;
    context.log.debug(error.message);
    return { server: undefined, exists: false };
  }
}

async function know(
  session: Session,
  { context, inTarget }: { readonly context: Context; readonly inTarget: boolean },
): Promise<Server> {
  const { rows: [row] } = await session.query<{ version: string; number: number }>(
    `SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS number`,
  );
  const { version = "", number = 0 } = row ?? {};
  return {
    context,
    session,
    inTarget,
    // Distributions put their package's name behind it.
    version: version.split(" ")[0] ?? version,
    major: Math.floor(number / 10_000),
  };
}
