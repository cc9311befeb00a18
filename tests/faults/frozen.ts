/**
 * A disk that takes no more changes after a moment: what it holds then is what a process leaves that
 * was killed there. It stands between this isolate and the file system, so that one test file at a
 * time uses it.
 */

/** Thrown by every change that comes too late. */
export class Frozen extends Error {
  override name = "Frozen";
}

/** What was done. */
export interface FrozenRun<T> {
  /** Whether the moment came before the work ended. */
  readonly frozen: boolean;
  /** The change that did not happen any more, such as `link`. */
  readonly at: string | undefined;
  /** The result; undefined when the work failed. */
  readonly result: T | undefined;
}

/** A disk that freezes. */
export interface FrozenDisk {
  /** Only changes of paths that begin so are counted and held back. */
  readonly below: string;
  /** Whether a file may have several names, as on the disks of most systems; some shares know none. */
  readonly links?: boolean;
}

/** Functions that change what is on the disk. */
const CHANGES = ["link", "rename", "remove", "mkdir", "chmod"] as const;

/**
 * Does work on a disk that freezes.
 *
 * @param after how many changes still happen
 */
export async function frozenAfter<T>(
  after: number,
  { below, links = true }: FrozenDisk,
  work: () => Promise<T>,
): Promise<FrozenRun<T>> {
  let changes = 0;
  let at: string | undefined;
  const step = (name: string, path: string) => {
    if (!path.startsWith(below)) return;
    if (at === undefined && changes++ < after) return;
    at ??= `${name} ${path}`;
    throw new Frozen(`Too late to ${name} ${path}`);
  };
  const { open } = Deno;
  const kept: Record<string, unknown> = { open };
  for (const name of CHANGES) {
    const real = Deno[name];
    kept[name] = real;
    Reflect.set(Deno, name, async (...args: unknown[]) => {
      if (name === "link" && !links) throw new Deno.errors.NotSupported();
      step(name, String(args[0]));
      await Reflect.apply(real, Deno, args);
    });
  }
  Reflect.set(Deno, "open", async (path: string, options?: Deno.OpenOptions) => {
    if (options?.createNew === true) step("open", path);
    const file = await open(path, options);
    const { write, sync } = file;
    file.write = async (bytes) => {
      step("write", path);
      return await write.call(file, bytes);
    };
    file.sync = async () => {
      step("sync", path);
      await sync.call(file);
    };
    return file;
  });
  let result: T | undefined;
  try {
    result = await work();
  } catch (error) {
    if (at === undefined) throw error;
  } finally {
    Object.assign(Deno, kept);
  }
  return { frozen: at !== undefined, at, result };
}
