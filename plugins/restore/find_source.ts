/** From what a user names to the files that are restored from: a backup's, or any dump's. */
import { basename, dirname } from "node:path";
import { type Context, OperationError } from "../../core/plugin.ts";
import { type Copies, type Copy, findIn, LATEST } from "../repository/find.ts";
import { troubleOf } from "../repository/listed.ts";
import type { Manifest } from "../repository/manifest.ts";
import { fileRole, parseBackupName } from "../repository/names.ts";
import type { Store } from "../repository/store.ts";
import { type Places, withStores } from "../repository/stores.ts";
import { damaged } from "./damage.ts";
import { findDump } from "./find_dump.ts";
import type { WantedSource } from "./source.ts";

/** A file that is restored from. */
export interface FoundFile {
  /** In the store. */
  readonly name: string;
  readonly size: number;
  /** Null where no manifest tells it. */
  readonly sha256: string | null;
  readonly version?: string | undefined;
}

/** What was found. */
export interface Found {
  /** For messages: the backup's id, or the path or key. */
  readonly title: string;
  readonly store: Store;
  readonly manifest: Manifest | null;
  /** The dump, or a directory's table of contents. */
  readonly main: FoundFile;
  /** With the main one. */
  readonly files: readonly FoundFile[];
  /** The directory's name in the store; null for a dump that is one file. */
  readonly directory: string | null;
  readonly warnings: readonly string[];
}

/**
 * Finds what is to be restored, and keeps the places open for as long as `work` takes.
 *
 * @throws OperationError as `withSource` tells
 */
export async function withFound<T>(
  ctx: Context,
  wanted: WantedSource,
  work: (found: Found) => Promise<T>,
): Promise<T> {
  const { places, nameIn } = spotOf(wanted);
  return await withStores(ctx, places, async (stores) => {
    return await work(await find(ctx, stores, { ...wanted, name: nameIn(stores) }));
  });
}

/** Where to look, and what for; a path's directory is a place of its own. */
function spotOf(
  { name, where, directory, endpointUrl }: WantedSource,
): { places: Places; nameIn: (stores: readonly Store[]) => string | undefined } {
  const usual = { where, directory, endpointUrl };
  if (name === undefined || name === LATEST) return { places: usual, nameIn: () => undefined };
  const path = name.replace(/(?<=[^/])\/+$/, "");
  if (path.startsWith("s3://")) {
    return { places: { where: "s3", endpointUrl }, nameIn: (stores) => keyIn(stores, path) };
  }
  if (where === "s3") {
    return { places: usual, nameIn: (stores) => withoutPrefix(path, stores) };
  }
  const whole = wholeOf(path);
  if (!whole.includes("/") && (whole === path || isDirectory(whole))) {
    return { places: usual, nameIn: () => whole };
  }
  return {
    places: { where: "local", directory: dirname(whole) },
    nameIn: () => basename(whole),
  };
}

/** The directory that a path is a member of, where that is a dump in the directory format. */
function wholeOf(path: string): string {
  const directory = dirname(path);
  return basename(path) === "toc.dat" || isDirectory(basename(directory)) ? directory : path;
}

function isDirectory(name: string): boolean {
  return parseBackupName(name)?.rest === ".dir";
}

/** What a path into a bucket names must be what is configured: no other one can be opened. */
function keyIn(stores: readonly Store[], path: string): string {
  const [store] = stores;
  if (store !== undefined && path.startsWith(`${store.title}/`)) {
    return wholeOf(path.slice(store.title.length + 1));
  }
  throw new OperationError(`Cannot look in ${path}: backups are kept in ${store?.title}`, {
    kind: "usage",
    code: "other_bucket",
    hint: "Set S3_BACKUP_BUCKET and S3_BACKUP_PREFIX",
  });
}

/** A key stands with the prefix or without it. */
function withoutPrefix(path: string, stores: readonly Store[]): string {
  const prefix = `${stores[0]?.title.replace(/^s3:\/\/[^/]*\/?/, "") ?? ""}/`;
  return wholeOf(prefix !== "/" && path.startsWith(prefix) ? path.slice(prefix.length) : path);
}

async function find(
  ctx: Context,
  stores: readonly Store[],
  { name, at, database }: WantedSource,
): Promise<Found> {
  const role = name === undefined ? undefined : fileRole(parseBackupName(name)?.rest ?? "");
  if (role === "globals") {
    throw new OperationError(`Cannot restore ${name}: it holds roles and tablespaces`, {
      kind: "usage",
      code: "globals",
      hint: "psql runs it, before the backup itself is restored; " +
        "`observatory backup show` tells the line",
    });
  }
  let copies: Copies;
  try {
    copies = await findIn(stores, { name, at, database, now: ctx.now() });
  } catch (error) {
    const dump = name !== undefined && isNone(error)
      ? await findDump(ctx, stores, name)
      : undefined;
    if (dump === undefined) throw await hinted(ctx, error, name);
    return dump;
  }
  const copy = copies.find(({ backup }) => backup.broken === null) ?? copies[0];
  if (name !== undefined && !isPartOf(copy, name)) {
    // A copy of a backup that somebody has compressed bears its name, and is none of its files.
    const dump = await findDump(ctx, stores, name);
    if (dump !== undefined) return dump;
  }
  return foundIn(copy);
}

/** A bare name is not looked for in the working directory, where it may lie all the same. */
async function hinted(ctx: Context, error: unknown, name: string | undefined): Promise<unknown> {
  if (!(error instanceof OperationError) || name === undefined || name.includes("/")) return error;
  if (!isNone(error) || await ctx.files.inspect(name) === undefined) return error;
  const { message, code, details } = error;
  const hint = `There is "${name}" in the working directory: write it as ./${name}`;
  return new OperationError(message, { code, hint, details, cause: error });
}

function isNone(error: unknown): boolean {
  return error instanceof OperationError &&
    ["backup_not_found", "not_managed"].includes(error.code);
}

/** Whether a name is the backup's own, its manifest's, or one of the files in that. */
function isPartOf({ backup: { id, manifest } }: Copy, name: string): boolean {
  const rest = parseBackupName(name)?.rest ?? "";
  if (rest === "" || rest === ".dir" || fileRole(rest) === "manifest") return true;
  return manifest.files.some((file) => file.name === `${id}${rest}`);
}

function foundIn({ backup, store }: Copy): Found {
  const { id, manifest, broken, verified: { damage } } = backup;
  if (broken !== null) throw damaged(id, { reason: broken, location: store.title });
  const directory = manifest.format === "directory" ? `${id}.dir` : null;
  const main = manifest.files.find(({ name }) =>
    directory === null ? name !== manifest.globals : name === `${directory}/toc.dat`
  );
  if (main === undefined) {
    throw damaged(id, { reason: "its manifest names no dump", location: store.title });
  }
  const trouble = damage === null ? null : troubleOf(backup);
  return {
    title: id,
    store,
    manifest,
    main,
    files: manifest.files,
    directory,
    warnings: trouble === null ? [] : [`Backup "${id}" in ${store.title} ${trouble}`],
  };
}
