/** What is in the way in the database that is restored into, and whether there is room. */
import type { Context } from "../../core/plugin.ts";
import { unendable } from "../database/changes.ts";
import { inspectReplaced } from "../database/refusals.ts";
import { sizeText } from "../repository/size.ts";
import { collisions, entryName } from "./entries.ts";
import type { SourceFacts } from "./facts.ts";
import type { Parts, RestoreOptions } from "./options.ts";
import type { Mode } from "./prepare.ts";
import { listed, type Refusal } from "./refusal.ts";
import type { Source } from "./source.ts";
import type { Entry } from "./table_of_contents.ts";
import { keyOf, type Target } from "./target.ts";

/**
 * Finds what is there already.
 *
 * @returns what is dropped before it is made again, under `--clean`
 */
export async function checkCollisions(
  ctx: Context,
  { source, facts, target, options, brought }: {
    readonly source: Source;
    readonly facts: SourceFacts;
    readonly target: Target;
    readonly options: RestoreOptions;
    readonly brought: readonly Entry[];
  },
  refusal: Refusal,
): Promise<readonly Entry[]> {
  const met = collisions(brought, target.contents);
  if (options.clean) return met;
  const names = source.archive === null
    ? facts.tables.filter(({ schema, name }) =>
      target.contents?.objects.has(keyOf("relation", schema, name))
    ).map(({ schema, name }) => `TABLE ${schema}.${name}`)
    : met.map(entryName);
  names.push(...await largeObjectsMet(ctx, { target, brought }));
  if (names.length > 0) {
    refusal.add(
      `${names.length} of its objects are there already: ${listed(names)}`,
      source.archive === null
        ? "Restore beside the old database with --swap, or into another one with --into"
        : "--clean drops them first; --swap restores beside the old database, and keeps it",
      { collisions: names },
    );
  }
  return [];
}

const LARGE_OBJECTS = /^(?:BLOB|BLOB METADATA)$/;

/**
 * Large objects are known by their numbers.
 *
 * @returns those that are there already
 */
export async function largeObjectsMet(
  ctx: Context,
  { target, brought }: { readonly target: Target; readonly brought: readonly Entry[] },
): Promise<string[]> {
  const tags = brought.filter(({ kind }) => LARGE_OBJECTS.test(kind)).map(({ tag }) => tag);
  if (tags.length === 0 || (target.contents?.largeObjects ?? 0) === 0) return [];
  const session = await ctx.db.session({ database: target.database, notices: "drop" });
  try {
    const { rows } = await session.query<{ oid: number }>(
      "SELECT oid FROM pg_catalog.pg_largeobject_metadata",
    );
    const ranges = tags.map((tag) => {
      // `16424`; since PostgreSQL 17 `LARGE OBJECT 16424` and `LARGE OBJECTS 16424..16431`.
      const [, first, last = first] = /(\d+)(?:\.\.(\d+))?$/.exec(tag) ?? [];
      return { first: Number(first), last: Number(last) };
    });
    const met = rows.filter(({ oid }) =>
      ranges.some(({ first, last }) => first <= oid && oid <= last)
    );
    return met.map(({ oid }) => `LARGE OBJECT ${oid}`);
  } finally {
    await session.close();
  }
}

/** What would stop the exchange of names at the end, after hours perhaps. */
export async function checkSwap(ctx: Context, database: string, refusal: Refusal): Promise<void> {
  const session = await ctx.db.maintenance({ notices: "drop" });
  try {
    await inspectReplaced(session, database, { verb: "swap", code: "swap_refused" });
    const sessions = await unendable(session, database);
    if (sessions.length > 0) {
      refusal.add(
        `sessions are in it that this role may not end: ${listed(sessions)}`,
        "End them, or restore as a member of pg_signal_backend, or as a superuser",
        { sessions },
      );
    }
  } catch (error) {
    refusal.attempt(() => {
      throw error;
    });
  } finally {
    await session.close();
  }
}

/**
 * Compares what is needed with what is free, where the server's disk is this machine's.
 *
 * @returns the bytes needed, guessed; null where nothing tells
 */
export async function checkRoom(
  ctx: Context,
  { target, facts, mode, parts }: {
    readonly target: Target;
    readonly facts: SourceFacts;
    readonly mode: Mode;
    readonly parts: Parts;
  },
  refusal: Refusal,
): Promise<number | null> {
  if (facts.size === undefined || parts === "schema") return null;
  const needed = facts.size;
  const { dataDirectory, isLocal } = target;
  if (!isLocal || dataDirectory === undefined) return needed;
  const free = (await ctx.files.inspect(dataDirectory))?.disk.free;
  if (free === undefined || free === 0 || free >= needed) return needed;
  refusal.add(
    `${mode === "in place" ? "it" : "the new database"} needs about ${
      sizeText(needed)
    }, and the server's disk has ${sizeText(free)} free`,
    "Free some room, or restore to a server that has it",
    { needed_bytes: needed, free_bytes: free },
  );
  return needed;
}
