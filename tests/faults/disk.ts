/** A small disk of a test's own, which can be full or closed: a file system in memory. */
import { join } from "node:path";

/** A mounted disk, taken away at the end. */
export interface Disk extends AsyncDisposable {
  readonly path: string;
  /** Mounts it anew with other options, such as `ro` or `size=64k`. */
  change(options: string): Promise<void>;
  /** Leaves so many bytes free, of those that nobody has taken but this. */
  leave(bytes: number): Promise<void>;
}

/** Mounts a disk; root may. */
export async function mountDisk(options: string): Promise<Disk> {
  const path = await Deno.makeTempDir({ prefix: "observatory-disk-" });
  try {
    await mount(["-t", "tmpfs", "-o", options, "tmpfs", path]);
  } catch (error) {
    await Deno.remove(path);
    throw error;
  }
  const ballast = join(path, "ballast");
  return {
    path,
    change: (changes) => mount(["-o", `remount,${changes}`, path]),
    async leave(bytes) {
      await Deno.remove(ballast).catch(() => {});
      const { stdout } = await new Deno.Command("stat", {
        args: ["--file-system", "--format=%a %S", path],
      }).output();
      const [blocks = 0, size = 0] = new TextDecoder().decode(stdout).trim().split(" ").map(Number);
      await Deno.writeFile(ballast, new Uint8Array(Math.max(0, blocks * size - bytes)));
    },
    async [Symbol.asyncDispose]() {
      // Programs that were ended may have files open for a moment.
      for (let tries = 1;; tries++) {
        const { success, stderr } = await new Deno.Command("umount", { args: [path] }).output();
        if (success) break;
        if (tries === 50) throw new Error(new TextDecoder().decode(stderr));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await Deno.remove(path);
    },
  };
}

async function mount(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("mount", { args: [...args] }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
}

/** Why disks cannot be mounted here; undefined when they can. */
export async function disksMissing(): Promise<string | undefined> {
  if (Deno.uid() !== 0) return "only root can mount a disk";
  try {
    await using _ = await mountDisk("size=4k");
    return undefined;
  } catch (error) {
    return `a disk cannot be mounted: ${error instanceof Error ? error.message : error}`;
  }
}
