/** Which machine a program is for. */

/** The machine that a program runs on, as its first bytes tell. */
type Machine = "linux-x86_64" | "linux-aarch64" | "darwin-x86_64" | "darwin-aarch64" | "windows";

/**
 * Makes sure that a program, or the runtime that it is put into, is for the machine that it is built
 * for.
 *
 * @throws Error when it is for another one
 */
export async function requireMachine(path: string, target: string | undefined): Promise<void> {
  const wanted = target === undefined
    ? `${Deno.build.os}-${Deno.build.arch}`
    : machineOfTarget(target);
  const made = await machineOf(path);
  if (made !== wanted) {
    throw new Error(
      `Cannot build for ${target ?? wanted}: the runtime is for ${made ?? "another machine"}; ` +
        `unset DENORT_BIN, so that Deno downloads the right one`,
    );
  }
}

function machineOfTarget(target: string): Machine | undefined {
  const arch = target.startsWith("aarch64") ? "aarch64" : "x86_64";
  if (target.includes("windows")) return "windows";
  if (target.includes("darwin")) return `darwin-${arch}`;
  return target.includes("linux") ? `linux-${arch}` : undefined;
}

/** Whether a target is this machine. */
export function isNative(target: string | undefined): boolean {
  return target === undefined || machineOfTarget(target) === `${Deno.build.os}-${Deno.build.arch}`;
}

/** Reads the header of an executable: ELF, Mach-O or PE. */
async function machineOf(path: string): Promise<Machine | undefined> {
  using file = await Deno.open(path);
  const header = new DataView(new ArrayBuffer(32));
  await file.read(new Uint8Array(header.buffer));
  if (header.getUint32(0) === 0x7f454c46) {
    const machine = header.getUint16(18, true);
    return machine === 0x3e ? "linux-x86_64" : machine === 0xb7 ? "linux-aarch64" : undefined;
  }
  if (header.getUint32(0, true) === 0xfeedfacf) {
    return header.getUint32(4, true) === 0x0100000c ? "darwin-aarch64" : "darwin-x86_64";
  }
  return header.getUint16(0) === 0x4d5a ? "windows" : undefined;
}

/** A program's file on the machine that it is for: Deno itself gives it this ending there. */
export function programName(name: string, target: string | undefined): string {
  const windows = target === undefined ? Deno.build.os === "windows" : target.includes("windows");
  return windows ? `${name}.exe` : name;
}
