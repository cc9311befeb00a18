/**
 * What the host writes. A file is there under its name when it is whole and on the disk, its name
 * too, and nothing takes the place of a file unless that was asked for. Whatever may take long waits
 * in another thread, so that signals are heard while a disk hangs.
 */
import { dirname } from "node:path";
import type { CreateOptions, DirectoryOptions, SaveOptions } from "../plugin.ts";
import { attempt, isMissing, systemCode } from "./file_errors.ts";

/** Writes a file at once; see `Files.create`. */
export async function create(
  path: string,
  contents: string | Uint8Array,
  { ownerWrites = false, private: isPrivate = false, replace = false }: CreateOptions = {},
): Promise<void> {
  const [file, directory] = isPrivate ? [0o600, 0o700] : ownerWrites ? [0o644, 0o755] : [];
  const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
  // What is left of another one, which was ended meanwhile, is not in the way.
  const partial = `${path}.${crypto.randomUUID().slice(0, 8)}.partial`;
  await attempt("create", path, async () => {
    await makeMissing(dirname(path), directory);
    await refuseTaken(path, { replace });
    await removedOnFailure(partial, await openNew(partial, file), async (opened) => {
      await writeAll(opened, bytes);
      await opened.sync();
      await publish(partial, path, { replace });
    });
    await syncDirectory(dirname(path));
  });
}

/** Writes a file from a stream; see `Files.save`. */
export async function save(
  path: string,
  data: ReadableStream<Uint8Array>,
  { partial = `${path}.partial`, private: isPrivate = false, replace = false }: SaveOptions = {},
): Promise<void> {
  const reader = data.getReader();
  try {
    await attempt("save", path, () => refuseTaken(path, { replace }));
    const mode = isPrivate ? 0o600 : undefined;
    const file = await attempt("create", partial, () => openNew(partial, mode));
    const write = chunkWriter(file);
    await removedOnFailure(partial, file, async () => {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        await attempt("write", partial, () => write(value));
      }
      await attempt("write", partial, () => file.sync());
      await attempt("save", path, () => publish(partial, path, { replace }));
    });
    await attempt("save", path, () => syncDirectory(dirname(path)));
  } catch (error) {
    // What it gives is not wanted any more; when it has failed itself, that is what is thrown.
    reader.cancel(error).catch(() => {});
    throw error;
  }
}

/** Renames a file or directory; see `Files.rename`. */
export async function rename(from: string, to: string): Promise<void> {
  const { isDirectory } = await attempt("rename", from, () => Deno.lstat(from));
  await attempt(`rename "${from}" to`, to, async () => {
    await refuseTaken(to, { replace: false });
    // A directory has one name. Should another one come to be there meanwhile, nothing is lost: the
    // system lets it take the place of an empty directory alone.
    if (isDirectory) await Deno.rename(from, to);
    else await publish(from, to, { replace: false });
    for (const directory of new Set([dirname(to), dirname(from)])) await syncDirectory(directory);
  });
}

/** Removes a file or directory; see `Files.remove`. */
export async function remove(path: string): Promise<boolean> {
  return await attempt("remove", path, async () => {
    // With a slash at its end it would be what a link leads to.
    const name = path.replace(/(?<=[^/])\/+$/, "");
    if (/^(\/+|(.*\/)?\.\.?)$/s.test(name)) throw new Error("it is no name in a directory");
    try {
      const { isDirectory } = await Deno.lstat(name);
      await Deno.remove(name, { recursive: isDirectory });
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  });
}

/** Makes a directory; see `Files.makeDirectory`. */
export async function makeDirectory(
  path: string,
  { private: isPrivate = false }: DirectoryOptions = {},
): Promise<void> {
  const mode = isPrivate ? 0o700 : 0o777;
  await attempt("make directory", path, async () => {
    await makeMissing(dirname(path), mode);
    await Deno.mkdir(path, { mode });
    await syncDirectory(dirname(path));
  });
}

/** Makes a directory and those above it, each of them on the disk; those that are there stay. */
async function makeMissing(path: string, mode = 0o777): Promise<void> {
  const missing: string[] = [];
  for (let each = path; !await isThere(each); each = dirname(each)) missing.unshift(each);
  for (const each of missing) {
    try {
      await Deno.mkdir(each, { mode });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      // Somebody else has made it meanwhile, or it is a link that leads nowhere.
      if (!await isThere(each)) throw new Deno.errors.NotADirectory();
    }
    await syncDirectory(dirname(each));
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Told at once, not when all has been written; what comes to be there later is not overwritten either. */
async function refuseTaken(
  path: string,
  { replace }: { readonly replace: boolean },
): Promise<void> {
  let taken: Deno.FileInfo;
  try {
    taken = await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (!replace) throw new Deno.errors.AlreadyExists();
  if (taken.isDirectory) throw new Deno.errors.IsADirectory();
}

async function openNew(path: string, mode?: number): Promise<Deno.FsFile> {
  const file = await Deno.open(path, { write: true, createNew: true, mode: mode ?? 0o666 });
  if (mode === undefined) return file;
  try {
    // The umask may have taken this user's own rights.
    const { mode: given } = await file.stat();
    if (((given ?? mode) & 0o600) !== 0o600) await Deno.chmod(path, mode);
    return file;
  } catch (error) {
    file.close();
    await Deno.remove(path);
    throw error;
  }
}

/** Closes a new file after `work`; when that has failed, the file is removed. */
async function removedOnFailure(
  path: string,
  file: Deno.FsFile,
  work: (file: Deno.FsFile) => Promise<void>,
): Promise<void> {
  try {
    await work(file);
  } catch (error) {
    // Why it failed is what has to be told, whatever becomes of the rest of it.
    await Deno.remove(path).catch(() => {});
    throw error;
  } finally {
    file.close();
  }
}

/** A write that takes longer has met the disk, and not the memory before it. */
const SLOW_MILLISECONDS = 50;
/** How many writes after a slow one are made in another thread. */
const PATIENT_WRITES = 1000;

/**
 * Writes chunk by chunk. A trip to another thread takes several times as long as a write into
 * memory; it is made only while the disk cannot keep up.
 */
function chunkWriter(file: Deno.FsFile): (bytes: Uint8Array) => Promise<void> {
  let patient = 0;
  return async (bytes) => {
    if (patient > 0) {
      patient--;
      return await writeAll(file, bytes);
    }
    const started = performance.now();
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    if (performance.now() - started > SLOW_MILLISECONDS) patient = PATIENT_WRITES;
  };
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** Gives a file the name that it is to have. */
async function publish(
  from: string,
  to: string,
  { replace }: { readonly replace: boolean },
): Promise<void> {
  if (replace) return await Deno.rename(from, to);
  try {
    // A second name fails where there is one already; renaming would overwrite what has it.
    await Deno.link(from, to);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotFound) {
      throw error;
    }
    return await takePlace(from, to);
  }
  await Deno.remove(from);
}

/** The same where files have one name only: an empty file of the new name is taken first, and replaced. */
async function takePlace(from: string, to: string): Promise<void> {
  try {
    (await Deno.open(to, { write: true, createNew: true })).close();
  } catch (error) {
    if (systemCode(error) !== "ENOSPC") throw error;
    // A disk on which there is no room for another file takes the new name for the old one: what
    // is renamed may be what is to make room.
    await refuseTaken(to, { replace: false });
    return await Deno.rename(from, to);
  }
  try {
    await Deno.rename(from, to);
  } catch (error) {
    await Deno.remove(to);
    throw error;
  }
}

/** Sees to it that the names in a directory are on the disk. */
async function syncDirectory(path: string): Promise<void> {
  let directory: Deno.FsFile;
  try {
    directory = await Deno.open(path);
  } catch (error) {
    // One that this user may write to and not read: there is no other way.
    if (error instanceof Deno.errors.PermissionDenied) return;
    throw error;
  }
  try {
    await directory.sync();
  } catch (error) {
    // Some file systems, such as those of other systems' shares, know no such thing.
    if (!["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(systemCode(error) ?? "")) {
      throw error;
    }
  } finally {
    directory.close();
  }
}
