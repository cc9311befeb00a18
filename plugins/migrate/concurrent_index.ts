/**
 * Statements that build an index concurrently. When one fails, PostgreSQL leaves
 * an invalid index behind, which costs writes and stands in the way of the next
 * attempt; it is dropped here, and after a deadlock the build is tried again.
 */
import { type Context, DatabaseError, type Session } from "../../core/plugin.ts";
import type { SqlStatement } from "../sql/statement.ts";

/** How one build is run. */
export interface IndexBuild {
  readonly session: Session;
  readonly statement: SqlStatement;
  /** Names the place in the file, for messages. */
  readonly place: string;
  /** Runs the statement. */
  readonly run: () => Promise<unknown>;
  /** Takes what is to be told when the build fails. */
  readonly facts: string[];
}

const DEADLOCK = "40P01";
const ATTEMPTS = 3;

/** After a signal nothing more can be sent. */
const INTERRUPTED = "The interrupted build may have left an invalid index; the next run drops it";

/** Whether a statement builds indexes concurrently. */
export function buildsConcurrently({ kind, words }: SqlStatement): boolean {
  return kind === "no-transaction" && words.includes("CONCURRENTLY") &&
    (words[0] === "REINDEX" || (words[0] === "CREATE" && words.includes("INDEX")));
}

/**
 * Runs such a statement.
 *
 * @throws DatabaseError when the build fails; what it left behind is then dropped
 */
export async function buildIndex(context: Context, build: IndexBuild): Promise<void> {
  const { statement, place, facts } = build;
  await dropFromEarlierAttempt(context, build);
  for (let attempt = 1;; attempt++) {
    const before = await invalidIndexes(build);
    try {
      await build.run();
      return;
    } catch (error) {
      if (context.signal.aborted) facts.push(INTERRUPTED);
      context.signal.throwIfAborted();
      const left = await dropNew(before, { context, build });
      const deadlock = error instanceof DatabaseError && error.server.sqlstate === DEADLOCK;
      if (!deadlock || attempt === ATTEMPTS || left.remaining.length > 0) {
        facts.push(...factsOf(left));
        throw error;
      }
      context.log.warn(
        `${place}: ${statement.words[0]} INDEX CONCURRENTLY was the victim of a deadlock` +
          `${left.dropped.length === 0 ? "" : "; the invalid index it left was dropped"}; ` +
          `trying again (${attempt + 1} of ${ATTEMPTS})`,
      );
      await context.sleep(attempt * (500 + Math.random() * 500));
    }
  }
}

interface Index {
  readonly id: number;
  /** With its schema, quoted. */
  readonly name: string;
  /** Whether it is the one that the statement names. */
  readonly named: boolean;
  /** Whether somebody else may be building it. */
  readonly busy: boolean;
}

interface Leftovers {
  readonly dropped: readonly string[];
  readonly remaining: readonly string[];
}

function factsOf({ dropped, remaining }: Leftovers): string[] {
  return [
    ...dropped.map((name) => `The invalid index ${name}, which the failed build left, was dropped`),
    ...remaining.map((name) =>
      `The invalid index ${name} is left; drop it with: DROP INDEX CONCURRENTLY ${name}`
    ),
  ];
}

// An index that somebody builds at this moment is invalid too; its table is then locked.
const INVALID_INDEXES = `SELECT i.indexrelid AS id,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
    coalesce(c.relname = $1 AND i.indrelid = to_regclass($2), false) AS named,
    EXISTS (SELECT FROM pg_locks l
      WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.granted
        AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS busy
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT i.indisvalid AND c.relkind = 'i'`;

async function invalidIndexes({ session, statement }: IndexBuild): Promise<Index[]> {
  const named = namesIn(statement);
  const params = [named?.index ?? null, named?.table ?? null];
  return (await session.query<Index>(INVALID_INDEXES, params)).rows;
}

async function dropNew(
  before: readonly Index[],
  { context, build }: { context: Context; build: IndexBuild },
): Promise<Leftovers> {
  const dropped: string[] = [];
  const remaining: string[] = [];
  try {
    const known = new Set(before.map(({ id }) => id));
    for (const { id, name, named, busy } of await invalidIndexes(build)) {
      // Nobody else can be building an index of this name; any other may be theirs.
      if (known.has(id) || (busy && !named)) continue;
      remaining.push(name);
      await build.session.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`);
      dropped.push(`${remaining.pop()}`);
    }
  } catch (error) {
    // The build's own failure is what is told; this one is only why something is left.
    context.log.debug(`Cannot drop what a failed index build left: ${error}`);
  }
  return { dropped, remaining };
}

/** How long an index that may be being built is left alone before the server decides. */
const BUSY_MILLISECONDS = 10_000;

/** An attempt that was killed left an index of the name that is to be made now. */
async function dropFromEarlierAttempt(context: Context, build: IndexBuild): Promise<void> {
  if (namesIn(build.statement) === undefined) return;
  const deadline = context.now() + BUSY_MILLISECONDS;
  for (;;) {
    const index = (await invalidIndexes(build)).find(({ named }) => named);
    if (index === undefined) return;
    if (!index.busy) {
      context.log.warn(
        `${build.place}: dropping the invalid index ${index.name}, which an earlier attempt left`,
      );
      await build.session.query(`DROP INDEX CONCURRENTLY IF EXISTS ${index.name}`);
      return;
    }
    if (context.now() > deadline) return;
    await context.sleep(250);
  }
}

/** The index and the table that a CREATE INDEX names, as the server knows them. */
export function namesIn({ words }: SqlStatement): { index: string; table: string } | undefined {
  if (words[0] !== "CREATE") return undefined;
  let at = words.indexOf("CONCURRENTLY") + 1;
  if (words[at] === "IF") at += 3;
  const index = words[at];
  if (index === undefined || index === "ON" || words[at + 1] !== "ON") return undefined;
  at += words[at + 2] === "ONLY" ? 3 : 2;
  const parts = [words[at] ?? ""];
  while (words[at + 1] === ".") parts.push(words[at += 2] ?? "");
  return { index: plainName(index), table: parts.join(".") };
}

function plainName(word: string): string {
  if (word.startsWith('"')) return word.slice(1, -1).replaceAll('""', '"');
  // The server folds bare names; beyond ASCII it leaves them as they are in UTF-8.
  return word.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
