/** Puts an empty database with the same properties in the place of the old one. */
import { createHash } from "node:crypto";
import { type Context, DatabaseError, OperationError, type Session } from "../../core/plugin.ts";
import {
  commentStatement,
  createStatement,
  fits,
  privilegeStatements,
  settingStatements,
} from "../database/definition.ts";
import {
  dropStatement,
  IN_USE,
  refusedByServer,
  renaming,
  startWorkers,
  terminate,
  whileInUse,
} from "../database/changes.ts";
import { identifier, literal } from "../sql/names.ts";
import { type DatabaseFacts, inspectDatabase } from "../database/inspection.ts";

/** What became of the old database, as far as it got. */
export interface Recreation {
  /** Sessions that were terminated. */
  terminated: number;
  /** Whether the old database is gone. */
  dropped: boolean;
}

/**
 * The name under which the new database is made ready: always the same for one
 * database, so that a run that was killed in between can be taken up.
 */
export function temporaryName(database: string): string {
  const hash = createHash("sha256").update(database).digest("hex");
  return `observatory_reset_${hash.slice(0, 16)}`;
}

/** Tells our own database from one that happens to have the name. */
function markerOf(database: string): string {
  return `Made by observatory to replace ${literal(database)} in a reset`;
}

/**
 * Makes the new database under another name first, so that what the server
 * refuses there loses nothing; then drops the old one and renames the new one.
 *
 * @param state what was done, for whoever tells of a failure
 */
export async function recreate(
  context: Context,
  session: Session,
  { facts, serverVersion, state }: {
    facts: DatabaseFacts;
    serverVersion: number;
    state: Recreation;
  },
): Promise<void> {
  const { log } = context;
  const database = facts.name;
  const temporary = temporaryName(database);
  await dropLeftover(session, { database, temporary });
  await makeReady(context, session, { facts, temporary });
  try {
    log.info(`Terminating active connections to "${database}"...`);
    log.info(`Dropping database "${database}"...`);
    await replace(context, session, { facts, temporary, serverVersion, state });
  } catch (error) {
    if (state.dropped) throw error;
    await session.query(`DROP DATABASE IF EXISTS ${identifier(temporary)}`).catch((failure) =>
      log.warn(`Cannot drop "${temporary}", which was to replace "${database}": ${failure}`)
    );
    throw error;
  }
  log.info(`Created database "${database}"`);
  await startWorkers(context, database);
}

/** Takes up a reset that was killed between the drop and the renaming, if there was one. */
export async function takeUp(
  context: Context,
  session: Session,
  database: string,
): Promise<void> {
  const temporary = temporaryName(database);
  const leftover = await inspectDatabase(session, temporary);
  if (leftover === undefined) return;
  refuseForeign(leftover, database);
  context.log.info(`Taking up the reset that was broken off: "${temporary}" becomes "${database}"`);
  await takeName(context, session, { database, temporary, comment: undefined });
  await startWorkers(context, database);
}

function refuseForeign(leftover: DatabaseFacts, database: string): void {
  if (leftover.comment === markerOf(database)) return;
  throw new OperationError(
    `Refused: a database "${leftover.name}" is in the way, and its comment does not say that a reset made it; nothing was changed`,
    { kind: "refused", code: "name_taken", hint: "Rename that database, and run again" },
  );
}

async function dropLeftover(
  session: Session,
  { database, temporary }: { database: string; temporary: string },
): Promise<void> {
  const leftover = await inspectDatabase(session, temporary);
  if (leftover === undefined) return;
  refuseForeign(leftover, database);
  await session.query(`DROP DATABASE ${identifier(temporary)}`);
}

/** Everything that can be refused is done here, while the old database still stands. */
async function makeReady(
  context: Context,
  session: Session,
  { facts, temporary }: { facts: DatabaseFacts; temporary: string },
): Promise<void> {
  const template1 = await inspectDatabase(session, "template1");
  const template = template1 !== undefined && fits(facts, template1) ? template1 : {
    name: "template0",
    tablespace: (await inspectDatabase(session, "template0"))?.tablespace ?? "",
  };
  const create = createStatement(facts, { name: temporary, template });
  await attempt(facts, () => whileInUse(context, () => session.query(create)));
  try {
    const statements = [
      commentStatement(temporary, markerOf(facts.name)),
      ...settingStatements(facts.settings, temporary),
      ...privilegeStatements(facts.privileges, { name: temporary, owner: facts.owner }),
    ];
    for (const sql of statements) await attempt(facts, () => session.query(sql));
  } catch (error) {
    await session.query("RESET ROLE");
    await session.query(`DROP DATABASE ${identifier(temporary)}`);
    throw error;
  }
}

/** Words an error of what is done before the drop. */
async function attempt<T>({ name }: DatabaseFacts, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    throw refusedByServer(error, {
      what: `Cannot make a database like "${name}"`,
      left: "the old one stands as it was",
      code: "not_recreated",
      hint: error.server.hint ?? "Connect as a role that may do this, such as a superuser",
    });
  }
}

/** Terminates, drops and renames; somebody may connect in between, so it is tried again. */
async function replace(
  context: Context,
  session: Session,
  { facts, temporary, serverVersion, state }: {
    facts: DatabaseFacts;
    temporary: string;
    serverVersion: number;
    state: Recreation;
  },
): Promise<void> {
  const { name: database, comment } = facts;
  const steps = [
    dropStatement(database, serverVersion),
    renaming(temporary, database),
    commentStatement(database, comment),
  ];
  const between = async () => {
    state.terminated += (await terminate(session, database)).length;
  };
  let renamed: boolean;
  try {
    await between();
    renamed = await whileInUse(context, () => dropAndRename(session, steps), { between });
  } catch (error) {
    throw error instanceof DatabaseError ? cannotDrop(database, error) : error;
  }
  state.dropped = true;
  if (!renamed) await takeName(context, session, { database, temporary, comment });
}

/**
 * Sends drop and renaming together, so that the end of this process cannot come between them. When
 * the drop fails, the renaming meets a name that is taken, and the comment is what it was.
 *
 * @returns whether all of it was done; without that, only the drop was
 * @throws DatabaseError when the drop failed
 */
async function dropAndRename(session: Session, steps: readonly string[]): Promise<boolean> {
  try {
    await session.pipeline(steps.map((sql) => ({ sql })));
    return true;
  } catch (error) {
    if (error instanceof DatabaseError && error.step > 0) return false;
    throw error;
  }
}

function cannotDrop(database: string, error: DatabaseError): OperationError {
  return refusedByServer(error, {
    what: `Cannot drop "${database}"`,
    left: "it stands as it was",
    code: "not_dropped",
    hint: error.server.sqlstate === IN_USE
      ? "Stop what connects to it again and again, and run again"
      : "Connect as a role that may end the other sessions, such as a member of pg_signal_backend",
  });
}

/** A background worker may be in the new database already; it is ended, as others are. */
async function takeName(
  context: Context,
  session: Session,
  { database, temporary, comment }: {
    database: string;
    temporary: string;
    comment: string | undefined;
  },
): Promise<void> {
  const between = async () => void await terminate(session, temporary, { workers: true });
  await whileInUse(context, () => session.query(renaming(temporary, database)), { between });
  await session.query(commentStatement(database, comment));
}
