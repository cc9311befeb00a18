/**
 * What is known of a file or directory. What this process may do is found by doing it where that
 * leaves no trace, or by asking the system: the runtime's own `access` looks at permission bits
 * only, and knows nothing of file systems that are mounted read-only.
 */
import { statfsSync } from "node:fs";
import type { FileFacts } from "../plugin.ts";
import { allowedBits } from "./permissions.ts";

/**
 * Inspects what is at a path, links followed.
 *
 * @throws what the runtime throws, such as when there is nothing
 */
export function inspect(path: string): FileFacts {
  const info = Deno.statSync(path);
  const realPath = Deno.realPathSync(path);
  const kind = info.isFile ? "file" : info.isDirectory ? "directory" : "other";
  const { bsize, blocks, bavail } = statfsSync(realPath);
  return {
    realPath,
    kind,
    size: info.size,
    modified: info.mtime?.getTime() ?? 0,
    mode: (info.mode ?? 0) & 0o7777,
    owner: { uid: info.uid ?? 0, gid: info.gid ?? 0 },
    self: { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0 },
    access: accessTo(realPath, info),
    disk: { total: blocks * bsize, free: bavail * bsize },
  };
}

function accessTo(path: string, info: Deno.FileInfo): FileFacts["access"] {
  const allowed = allowedBits(info);
  const bits = { read: (allowed & 4) !== 0, execute: (allowed & 1) !== 0 };
  const write = mayWrite(path) ?? (allowed & 2) !== 0;
  // Opening a pipe or device may wait, or do something.
  if (!info.isFile && !info.isDirectory) return { ...bits, write };
  return {
    read: succeeds(() => Deno.openSync(path).close()),
    write,
    execute: info.isFile ? bits.execute : succeeds(() => Deno.statSync(`${path}/.`)),
  };
}

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether a file can be written, or files be made in a directory, by the program `test`, which asks
 * the system. To open a file for writing would wake those who watch it, and keep others from
 * starting it; a file made in the directory would stay when the run is killed.
 */
function mayWrite(path: string): boolean | undefined {
  for (const test of ["/usr/bin/test", "/bin/test"]) {
    try {
      return new Deno.Command(test, { args: ["-w", path], stdin: "null" }).outputSync().success;
    } catch {
      // It is in the other directory, or there is none.
    }
  }
  return undefined;
}
