/**
 * The databases that stand beside a target: made for it, or kept of it. Each is known by its name and
 * by its comment, and only by both together: whatever else has such a name is somebody else's.
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { pid } from "node:process";
import { type Context, DatabaseError, type Session } from "../../core/plugin.ts";

/**
 * `restore`, `verify`: made to be worked on, by one run. `before`: what a restore has replaced.
 * `undone`: what an undo has replaced.
 */
export type BesideKind = "restore" | "verify" | "before" | "undone";

/** What is written down about a database beside another one, in its comment. */
export interface Mark {
  readonly kind: BesideKind;
  /** The database that it belongs to, by its whole name. */
  readonly database: string;
  /** Such as `20261126t2201_ab12`: ids sort by their minute. */
  readonly id: string;
  /** When it was made or put aside, in ISO 8601. */
  readonly at: string;
  /** The machine and the process that did it. */
  readonly host: string;
  readonly pid: number;
  /** What was restored by the restore that a kept one is of; null where nobody said. */
  readonly of: string | null;
  /** The comment that a kept one had; null where it had none. */
  readonly comment: string | null;
  /** Whether a kept one let sessions in. */
  readonly open: boolean;
}

/** A database beside another one. */
export interface Beside {
  readonly name: string;
  readonly oid: string;
  readonly mark: Mark;
  /** Bytes; null where nobody can tell. */
  readonly size: number | null;
  /** Sessions in it. */
  readonly sessions: number;
  /** Whether the run that works on it is alive; always false of kept ones. */
  readonly alive: boolean;
}

/** The most bytes that the server keeps of a name. */
const NAME_BYTES = 63;

const SENTENCES: Readonly<Record<BesideKind, string>> = {
  restore:
    "Made by observatory to restore into. It is dropped with its run, or else by the next restore",
  verify:
    "Made by observatory to verify a backup in. It is dropped with its run, or else by the next one",
  before:
    "Kept by observatory: a restore has replaced it. `restore --undo` brings it back, `restore --finish` drops it",
  undone:
    "Kept by observatory: `restore --undo` has replaced it by what was before. `restore --finish` drops it",
};

/** A new mark of this run. */
export function newMark(
  { now }: Pick<Context, "now">,
  known: Pick<Mark, "kind" | "database"> & Partial<Mark>,
): Mark {
  const at = new Date(now()).toISOString();
  const random = crypto.getRandomValues(new Uint8Array(2));
  const digits = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const id = `${at.slice(0, 16).replace("T", "t").replaceAll(/[-:]/g, "")}_${digits}`;
  return { id, at, host: hostname(), pid, of: null, comment: null, open: true, ...known };
}

/** The name of a database with the mark; where it would be too long, the target's part is cut. */
export function nameOf({ database, kind, id }: Pick<Mark, "database" | "kind" | "id">): string {
  const tail = `_${kind}_${id}`;
  return `${cutTo(database, NAME_BYTES - tail.length)}${tail}`;
}

/** As much of a text as fits into so many bytes, without half a character. */
function cutTo(text: string, bytes: number): string {
  let cut = "";
  let left = bytes;
  for (const character of text) {
    left -= new TextEncoder().encode(character).length;
    if (left < 0) break;
    cut += character;
  }
  return cut;
}

/** The comment that tells what it is: a sentence for people, and the mark in ASCII, whatever the server's encoding is. */
export function commentOf(mark: Mark): string {
  const json = JSON.stringify(mark).replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${SENTENCES[mark.kind]}: ${json}`;
}

/** The mark of a database; undefined where its name or its comment says otherwise. */
export function markOf(name: string, comment: string | null): Mark | undefined {
  const json = /^(?:Made|Kept) by observatory[^{]*(\{.*\})$/s.exec(comment ?? "")?.[1];
  if (json === undefined) return undefined;
  let read: unknown;
  try {
    read = JSON.parse(json);
  } catch {
    // Somebody has changed the comment: it is none of ours any more.
    return undefined;
  }
  return isMark(read) && nameOf(read) === name ? read : undefined;
}

function isMark(value: unknown): value is Mark {
  if (typeof value !== "object" || value === null) return false;
  const mark: Partial<Record<keyof Mark, unknown>> = value;
  const texts = [mark.database, mark.id, mark.at, mark.host];
  return typeof mark.kind === "string" && Object.hasOwn(SENTENCES, mark.kind) &&
    texts.every((text) => typeof text === "string") && typeof mark.pid === "number" &&
    [mark.of, mark.comment].every((text) => text === null || typeof text === "string") &&
    typeof mark.open === "boolean";
}

/** The key of the lock that a run holds while it works on a database that it has made. */
export function workKey(name: string): bigint {
  return createHash("sha256").update(`observatory scratch ${name}`).digest().readBigInt64BE();
}

const BESIDE = `
  SELECT d.datname::text AS name, d.oid::text AS oid, pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
    (SELECT count(*)::int FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid) AS sessions
  FROM pg_catalog.pg_database d
  WHERE d.datname ~ '_(restore|verify|before|undone)_[0-9]{8}t[0-9]{4}_[0-9a-f]{4}$'`;

// A lock belongs to the database that it is taken in, and a key of 64 bits is shown in two halves.
const HELD = `
  SELECT ((l.classid::bigint << 32) | l.objid::bigint) AS key FROM pg_catalog.pg_locks l
  WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1`;

/**
 * All databases of the server that stand beside another one, the newest first.
 *
 * @param session in any database of the server
 */
export async function listBeside(session: Session): Promise<Beside[]> {
  const { rows } = await session.query<
    { name: string; oid: string; comment: string | null; sessions: number }
  >(BESIDE);
  const marked = rows.flatMap((row) => {
    const mark = markOf(row.name, row.comment);
    return mark === undefined ? [] : [{ ...row, mark }];
  });
  if (marked.length === 0) return [];
  // Asked after the names: who has been seen holds its lock since before.
  const { rows: held } = await session.query<{ key: bigint }>(HELD);
  const keys = new Set(held.map(({ key }) => key));
  const beside: Beside[] = [];
  for (const { name, oid, mark, sessions } of marked) {
    const alive = isWork(mark) && keys.has(workKey(name));
    beside.push({ name, oid, mark, size: await sizeOf(session, name), sessions, alive });
  }
  return beside.sort((a, b) => a.mark.at < b.mark.at ? 1 : a.mark.at > b.mark.at ? -1 : 0);
}

async function sizeOf(session: Session, name: string): Promise<number | null> {
  try {
    const { rows: [row] } = await session.query<{ size: bigint | null }>(
      `SELECT CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT')
           OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
         THEN pg_catalog.pg_database_size(oid) END AS size
       FROM pg_catalog.pg_database WHERE datname = $1`,
      [name],
    );
    return row === undefined || row.size === null ? null : Number(row.size);
  } catch (error) {
    // It may be dropped while it is looked at.
    if (error instanceof DatabaseError) return null;
    throw error;
  }
}

/** Whether it was made to be worked on. */
export function isWork({ kind }: Mark): boolean {
  return kind === "restore" || kind === "verify";
}

/**
 * What restores have kept of a database, the newest first: `before` and `undone`.
 *
 * @param session in any database of the server
 */
export async function listKept(session: Session, database: string): Promise<Beside[]> {
  return (await listBeside(session))
    .filter(({ mark }) => !isWork(mark) && mark.database === database);
}
