/** Databases that a run makes beside its target, works on, and drops again or puts in its place. */
import { type Context, DatabaseError, OperationError, type Session } from "../../core/plugin.ts";
import { type Locale, PROVIDER_LETTERS } from "../repository/manifest.ts";
import { identifier, literal } from "../sql/names.ts";
import { commentOf, isWork, listBeside, type Mark, nameOf, newMark, workKey } from "./beside.ts";
import {
  dropStatement,
  DURABLE,
  refusedByServer,
  terminate,
  whileInUse,
  withServerLock,
} from "./changes.ts";
import {
  commentStatement,
  createStatement,
  type Properties,
  propertyStatements,
} from "./definition.ts";
import { type DatabaseFacts, inspectDatabase, inspectRights } from "./inspection.ts";
import { dropSubscriptions } from "./subscriptions.ts";

const INSUFFICIENT_PRIVILEGE = "42501";

/** What a scratch database is made for, and like which. */
export interface ScratchOptions {
  readonly purpose: "restore" | "verify";
  /** The database that it stands beside. */
  readonly database: string;
  /** The one whose owner, encoding, locale and tablespace it has. */
  readonly like?: DatabaseFacts | undefined;
  /** Without `like`: what the manifest tells of the database that was backed up. */
  readonly source?:
    | {
      readonly encoding: string;
      readonly collate: string;
      readonly ctype: string;
      readonly locale?: Locale | null;
    }
    | undefined;
}

/** An empty database of this run. */
export interface Scratch extends AsyncDisposable {
  readonly name: string;
  readonly id: string;
  /** Tells it from every other database that may come to have its name. */
  readonly oid: string;
  /** Aborted with the run, and when the lock is lost by which others see that it is worked on. */
  readonly signal: AbortSignal;
  /** Drops it with the sessions in it, where it has its name still; a second time does nothing. */
  drop(): Promise<void>;
  /** Lets go of it: it has been put in the place of another, or is to stay. */
  release(): Promise<void>;
}

/**
 * Makes an empty database beside the target, from the server's pristine template: what a dump brings
 * would else meet what `template1` holds. While it is worked on a lock tells so. Settings, privileges
 * and the limit of connections are left to the swap; where not everybody may connect to the old
 * database, not everybody may connect to this one.
 *
 * @throws OperationError `locale_missing` of kind `refused` where the server lacks the locale or the
 *   encoding, `not_created` for anything else that the server refuses
 */
export async function createScratch(ctx: Context, options: ScratchOptions): Promise<Scratch> {
  const { purpose: kind, database, like, source } = options;
  const mark = newMark(ctx, { kind, database });
  const session = await ctx.db.maintenance({ notices: "drop", settings: DURABLE });
  try {
    const { user, serverVersion } = await inspectRights(session, database);
    const guard = await hold(ctx, nameOf(mark));
    try {
      const template = await pristine(session);
      const properties = like ?? { ...template, ...localeOf(source, template), owner: user };
      const oid = await make(ctx, session, {
        mark,
        template,
        properties: { ...properties, connectionLimit: -1 },
        like,
      });
      return scratchOf(ctx, { mark, oid, guard, serverVersion });
    } catch (error) {
      await guard.release();
      throw error;
    }
  } finally {
    await session.close();
  }
}

/** Where a manifest tells no provider, its locale is the operating system's. */
function localeOf(
  source: ScratchOptions["source"],
  { provider }: DatabaseFacts,
): Partial<Properties> {
  if (source === undefined) return {};
  const { encoding, collate, ctype, locale } = source;
  const given = PROVIDER_LETTERS[locale?.provider ?? "libc"];
  return {
    encoding,
    collate,
    ctype,
    // A server that knows none has libc alone, and refuses a name of ICU's.
    provider: provider === undefined && given === "c" ? undefined : given,
    locale: locale?.name ?? undefined,
    icuRules: locale?.rules ?? undefined,
  };
}

async function pristine(session: Session): Promise<DatabaseFacts> {
  const template = await inspectDatabase(session, "template0");
  if (template !== undefined) return template;
  throw new OperationError('Cannot make an empty database: the server has no "template0"', {
    code: "not_created",
    hint: "Make it again from template1, as the documentation of PostgreSQL tells",
  });
}

/** Makes and marks it in one round trip, so that the end of this process cannot come between them. */
async function make(
  ctx: Context,
  session: Session,
  { mark, template, properties, like }: {
    mark: Mark;
    template: DatabaseFacts;
    properties: Properties;
    like: DatabaseFacts | undefined;
  },
): Promise<string> {
  const name = nameOf(mark);
  const steps = [
    createStatement(properties, { name, template }),
    commentStatement(name, commentOf(mark)),
    ...like?.privileges === undefined
      ? []
      : [`REVOKE ALL ON DATABASE ${identifier(name)} FROM PUBLIC`],
    // What will be refused when it takes the other's place is refused now, not after hours.
    ...like === undefined
      ? []
      : ["BEGIN", ...propertyStatements(like, { ...like, name }), "ROLLBACK"],
  ];
  try {
    await whileInUse(ctx, async () => {
      try {
        await session.pipeline(steps.map((sql) => ({ sql })));
      } catch (error) {
        // It is there by then, and in the way of another try.
        if (error instanceof DatabaseError && error.step > 0) {
          await session.query(`DROP DATABASE IF EXISTS ${identifier(name)}`);
        }
        throw error;
      }
    });
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    throw notMade(error, { mark, properties });
  }
  const { rows: [row] } = await session.query<{ oid: string }>(
    "SELECT oid::text AS oid FROM pg_catalog.pg_database WHERE datname = $1",
    [name],
  );
  if (row === undefined) throw new Error(`The server has made "${name}", and has it not`);
  return row.oid;
}

/** An unknown locale, a locale of ICU that is none, an unknown encoding, and one that does not fit. */
const OF_LOCALES: ReadonlySet<string> = new Set(["42809", "22023", "42704"]);

function notMade(
  error: DatabaseError,
  { mark, properties }: { mark: Mark; properties: Properties },
): OperationError {
  const { encoding, collate, ctype } = properties;
  const what = `Cannot make a database beside "${mark.database}"`;
  const left = "nothing was changed";
  if (!OF_LOCALES.has(error.server.sqlstate)) {
    const hint = error.server.hint ?? "Connect as a role that may do this, such as a superuser";
    return refusedByServer(error, { what, left, code: "not_created", hint });
  }
  const other = `CREATE DATABASE ${identifier(mark.database)} TEMPLATE template0 ENCODING ${
    literal(encoding)
  } LOCALE 'C'`;
  return refusedByServer(error, {
    what: `${what} with the encoding ${encoding} and the locale "${collate}"${
      ctype === collate ? "" : ` ("${ctype}" for characters)`
    }`,
    left,
    kind: "refused",
    code: "locale_missing",
    hint: mark.kind === "verify"
      ? "Install the locale on that server, or verify on one that has it"
      : `Install the locale on the server; or make the database yourself with another one, such as by ${other}, and restore again`,
  });
}

/** A lock that is held until it is given back. */
interface Guard {
  readonly signal: AbortSignal;
  release(): Promise<void>;
}

/** Takes the lock that tells others of the work; before there is anything to be seen. */
async function hold(ctx: Context, name: string): Promise<Guard> {
  const lock = { key: workKey(name), purpose: `scratch database "${name}"`, wait: 0 };
  const over = Promise.withResolvers<void>();
  const guard = Promise.withResolvers<Guard>();
  const held = withServerLock(ctx, lock, (signal) => {
    const release = async () => {
      over.resolve();
      await held.catch((error) => ctx.log.debug(`Of "${name}": ${error}`));
    };
    guard.resolve({ signal, release });
    return over.promise;
  });
  held.catch(guard.reject);
  return await guard.promise;
}

function scratchOf(
  ctx: Context,
  { mark, oid, guard, serverVersion }: {
    mark: Mark;
    oid: string;
    guard: Guard;
    serverVersion: number;
  },
): Scratch {
  const name = nameOf(mark);
  let over = false;
  const end = async (work: () => Promise<void>) => {
    if (over) return;
    over = true;
    try {
      await work();
    } finally {
      await guard.release();
    }
  };
  const drop = () => end(() => dropOwn(ctx, { name, oid, serverVersion }));
  return {
    name,
    id: mark.id,
    oid,
    signal: guard.signal,
    drop,
    release: () => end(() => Promise.resolve()),
    [Symbol.asyncDispose]: drop,
  };
}

/** What cannot be dropped now is dropped by the next run, so that it stands in nobody's way here. */
async function dropOwn(
  ctx: Context,
  { name, oid, serverVersion }: { name: string; oid: string; serverVersion: number },
): Promise<void> {
  try {
    const session = await ctx.db.maintenance({ notices: "drop", lasting: true });
    try {
      const { rows } = await session.query(
        "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1 AND oid = $2",
        [name, oid],
      );
      if (rows.length === 0) return;
      await terminate(session, name);
      await dropSubscriptions(ctx, { session, database: name });
      await whileInUse(ctx, () => session.query(dropStatement(name, serverVersion)));
    } finally {
      await session.close();
    }
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    ctx.log.warn(`Cannot drop "${name}": ${cause}; the next restore does, or backup verify`);
  }
}

/**
 * Drops what runs have left that did not end by themselves: databases whose name and comment say that
 * they were made to be worked on, whose lock nobody holds, and in which there is nobody.
 *
 * @returns the names of those that were dropped
 */
export async function collectScratch(ctx: Context): Promise<string[]> {
  const session = await ctx.db.maintenance({ notices: "drop" });
  const dropped: string[] = [];
  try {
    const left = (await listBeside(session)).filter(({ mark, alive }) => isWork(mark) && !alive);
    for (const { name, mark } of left) {
      ctx.signal.throwIfAborted();
      const whose = `"${name}", which process ${mark.pid} on ${mark.host} has left`;
      try {
        await dropSubscriptions(ctx, { session, database: name });
        // Without FORCE: who is in it still may be the restore of a run that was killed.
        await session.query(`DROP DATABASE IF EXISTS ${identifier(name)}`);
        ctx.log.info(`Dropped ${whose}`);
        dropped.push(name);
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        // On a server of several owners the others' are none of ours.
        const level = error.server.sqlstate === INSUFFICIENT_PRIVILEGE ? "debug" : "warn";
        ctx.log[level](`Cannot drop ${whose}: ${error.message}`);
      }
    }
    return dropped;
  } finally {
    await session.close();
  }
}
