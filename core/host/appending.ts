/** Lines added to a file that others add to as well, at once: whoever is killed has told them. */
import { worded } from "./file_errors.ts";

/** Opens a file to add lines to; see `HostFiles.appending`. */
export function appending(path: string): (line: string) => void {
  const broken = worded("write", () => path, () => {
    open(path).close();
    return isBrokenOff(path);
  });
  let before = broken ? "\n" : "";
  return (line) =>
    worded("write", () => path, () => {
      // Opened each time: it may have been put aside meanwhile, as logs are.
      const file = open(path);
      try {
        const bytes = new TextEncoder().encode(before + line);
        // In one call, so that no other line comes between.
        if (file.writeSync(bytes) < bytes.length) throw noSpace();
        before = "";
      } catch (error) {
        before = "\n";
        throw error;
      } finally {
        file.close();
      }
    });
}

function open(path: string): Deno.FsFile {
  return Deno.openSync(path, { append: true, create: true, mode: 0o600 });
}

/** Whether the last line has no end, since the disk was full or a process was ended. */
function isBrokenOff(path: string): boolean {
  const { isFile, size } = Deno.statSync(path);
  if (!isFile || size === 0) return false;
  try {
    const file = Deno.openSync(path);
    try {
      const last = new Uint8Array(1);
      file.seekSync(-1, Deno.SeekMode.End);
      return file.readSync(last) === 1 && last[0] !== 10;
    } finally {
      file.close();
    }
  } catch (error) {
    // Who may add to it need not be able to read it.
    if (error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}

function noSpace(): Error {
  return Object.assign(new Error("the file took a part of the line alone"), { code: "ENOSPC" });
}
