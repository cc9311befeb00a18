/** The pipe that a program writes its output to. */

/** Linux's number for setting a pipe's size; the runtime knows no such call itself. */
const F_SETPIPE_SZ = 1031;
/** What every user may have by default, in bytes; usual is a sixteenth. */
const WIDE_BYTES = 1_048_576;

/**
 * Gives the pipe of a program's output room for more, so that the program goes on while what it has
 * written is being worked on: a pipe of the usual size is full after 2 ms of a dump.
 *
 * @param pid the program that writes to it
 * @returns whether it holds more now; where the system or its settings do not allow it, all goes on as
 * before
 */
export function widenOutput(pid: number): boolean {
  if (Deno.build.os !== "linux") return false;
  try {
    const end = readingEnd(pid);
    if (end === undefined) return false;
    const libc = Deno.dlopen("libc.so.6", {
      fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
    });
    const bytes = libc.symbols.fcntl(end, F_SETPIPE_SZ, WIDE_BYTES);
    libc.close();
    return bytes >= WIDE_BYTES;
  } catch {
    // It has ended already, /proc is not to be seen, or the C library is another one.
    return false;
  }
}

/** The number of this process's end of the pipe. */
function readingEnd(pid: number): number | undefined {
  const pipe = Deno.readLinkSync(`/proc/${pid}/fd/1`);
  if (!pipe.startsWith("pipe:")) return undefined;
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    if (linkOf(`/proc/self/fd/${name}`) === pipe) return Number(name);
  }
  return undefined;
}

/** Undefined when it is closed by now, as the listing's own is. */
function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
