/** A backup's name, taken before anything is written under it. */
import { hostname } from "node:os";
import { type Context, OperationError } from "../../core/plugin.ts";
import type { BackupKind } from "../repository/manifest.ts";
import { backupId, PARTIAL_SUFFIX, STARTED_SUFFIX } from "../repository/names.ts";
import type { Store } from "../repository/store.ts";
import type { Bucket } from "./bucket.ts";

/** A name that nobody else takes. */
export interface Reservation {
  readonly id: string;
  /** Takes the markers away: the backup is published, or nothing of it is left. */
  release(): Promise<void>;
}

/** Where a name is reserved. */
export interface Where {
  readonly kind: BackupKind;
  readonly database: string;
  /** The directory of backups, if there is one. */
  readonly directory: { readonly path: string; readonly store: Store } | undefined;
  readonly bucket: Pick<Bucket, "store" | "takeBack"> | undefined;
}

/** How many seconds those wait at most, beside the rest of this one, who have met in a bucket. */
const SPREAD = 4;

/**
 * Finds a name of this second, or of one of the next where others have been faster, and marks it in
 * every place: two machines may back up databases of one name to the same bucket.
 */
export async function reserve(ctx: Context, where: Where): Promise<Reservation> {
  for (;;) {
    const id = backupId(where.database, where.kind, ctx.now());
    const release = await take(ctx, { id, where });
    if (release !== undefined) return { id, release };
    const more = where.bucket === undefined ? 0 : Math.floor(Math.random() * SPREAD);
    await ctx.sleep(1000 - ctx.now() % 1000 + more * 1000);
  }
}

/** Takes a name, if nobody has it; returns how it is given back. */
async function take(
  ctx: Context,
  { id, where: { directory, bucket } }: { readonly id: string; readonly where: Where },
): Promise<(() => Promise<void>) | undefined> {
  if (directory !== undefined && (await filesOf(directory.store, id)).length > 0) return undefined;
  const marker = await markerOf(ctx, id);
  const local = directory && `${directory.path}/${id}${STARTED_SUFFIX}`;
  if (local !== undefined && !await mark(ctx, { path: local, marker })) return undefined;
  const releaseLocally = async () => {
    if (local !== undefined) await ctx.files.remove(local);
  };
  if (bucket === undefined) return releaseLocally;
  let inBucket: (() => Promise<void>) | undefined;
  try {
    inBucket = await claim(bucket, { id, marker });
  } catch (error) {
    // The upload will fail likewise, and tell it; what is written on this machine need not.
    if (local !== undefined && error instanceof OperationError) return releaseLocally;
    await releaseLocally();
    throw error;
  }
  const release = inBucket;
  if (release === undefined) {
    await releaseLocally();
    return undefined;
  }
  return async () => {
    await releaseLocally();
    try {
      await release();
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      ctx.log.warn(
        `Cannot remove a marker, which \`observatory backup gc\` removes later: ${error.message}`,
      );
    }
  };
}

async function filesOf(store: Store, id: string): Promise<string[]> {
  return (await store.list(id)).map(({ name }) => name)
    .filter((name) => /^[./]/.test(name.slice(id.length)));
}

async function markerOf(ctx: Context, id: string): Promise<string> {
  const { pid } = await import("node:process");
  const started_at = new Date(ctx.now()).toISOString();
  return `${JSON.stringify({ backup: id, tool: ctx.tool, host: hostname(), pid, started_at })}\n`;
}

async function mark(
  ctx: Context,
  { path, marker }: { readonly path: string; readonly marker: string },
): Promise<boolean> {
  try {
    await ctx.files.create(path, marker, { private: true });
    return true;
  } catch (error) {
    if (error instanceof OperationError && error.code === "already_exists") return false;
    throw error;
  }
}

/**
 * Takes a name in a bucket. Not every service can tell whether an object was there before, so each
 * puts a marker of its own first and looks afterwards: of two that meet at least one sees the other,
 * and whoever sees another gives way.
 */
async function claim(
  { store, takeBack }: Pick<Bucket, "store" | "takeBack">,
  { id, marker }: { readonly id: string; readonly marker: string },
): Promise<(() => Promise<void>) | undefined> {
  const own = `${id}${STARTED_SUFFIX}.${crypto.randomUUID().slice(0, 8)}${PARTIAL_SUFFIX}`;
  await store.create(own, marker);
  let alone = false;
  try {
    alone = (await filesOf(store, id)).every((name) => name === own);
  } finally {
    if (!alone) await takeBack(own);
  }
  return alone ? () => takeBack(own) : undefined;
}
