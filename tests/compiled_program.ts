/** The compiled program for the tests: built once for the sources as they are, then kept. */

import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import { BUILDERS, buildProgram, PROJECT, RuntimeMissing, SOURCES } from "../tasks/build.ts";

/** Names the environment variable with the compiled program that a whole test run shares. */
export const BINARY_VARIABLE = "OBSERVATORY_BINARY";
/** Names the environment variable with the reason why a whole test run has none. */
export const BINARY_MISSING_VARIABLE = "OBSERVATORY_BINARY_MISSING";

/** The compiled program, or why there is none. */
export type CompiledProgram =
  | { readonly path: string; readonly missing?: never }
  | { readonly path?: never; readonly missing: string };

/** How long a build of other sources is kept, in milliseconds. */
const KEPT = 20 * 60 * 1000;

/**
 * Gives the compiled program: the one that the test run names, else one built
 * from the sources as they are now. Test files that run at the same time build
 * it once.
 *
 * @throws Error when the sources cannot be compiled
 */
export async function compiledProgram(): Promise<CompiledProgram> {
  const path = Deno.env.get(BINARY_VARIABLE) ?? "";
  if (path !== "") return { path };
  const missing = Deno.env.get(BINARY_MISSING_VARIABLE) ?? "";
  if (missing !== "") return { missing };
  try {
    return { path: await buildOnce() };
  } catch (error) {
    if (!(error instanceof RuntimeMissing)) throw error;
    return { missing: error.message };
  }
}

async function buildOnce(): Promise<string> {
  const denort = await findRuntime();
  const directory = join(PROJECT, "dist", "test");
  const path = join(directory, `observatory-${await fingerprint(denort)}`);
  await Deno.mkdir(directory, { recursive: true });
  // The kernel drops the lock of a process that dies.
  using lock = await Deno.open(join(directory, "lock"), { create: true, write: true });
  await lock.lock(true);
  if (!await exists(path)) {
    await removeOld(directory);
    await buildProgram({ output: path, ...(denort === undefined ? {} : { denort }) });
  }
  return path;
}

/** The runtime to build with: named, or kept beside the project; else Deno downloads it. */
export async function findRuntime(): Promise<string | undefined> {
  const named = Deno.env.get("DENORT_BIN") ?? "";
  if (named !== "") return named;
  const shared = Deno.env.get("OBSERVATORY_SHARED") ?? join(PROJECT, "..", "shared");
  const script = join(shared, "denort", "install.sh");
  if (!await exists(script)) return undefined;
  const { success, stdout } = await new Deno.Command(script, { stdin: "null" }).output();
  return success ? new TextDecoder().decode(stdout).trim() : undefined;
}

/** Stands for everything that decides what is built. */
async function fingerprint(denort: string | undefined): Promise<string> {
  const hash = createHash("sha256").update(`${Deno.version.deno}\0${denort ?? ""}\0`);
  for (const source of [...SOURCES, ...BUILDERS]) {
    for (const file of await filesUnder(join(PROJECT, source))) {
      hash.update(`${relative(PROJECT, file)}\0`).update(await Deno.readFile(file)).update("\0");
    }
  }
  return hash.digest("hex").slice(0, 16);
}

async function filesUnder(path: string): Promise<string[]> {
  if ((await Deno.stat(path)).isFile) return [path];
  const files: string[] = [];
  for await (const entry of Deno.readDir(path)) {
    files.push(...await filesUnder(join(path, entry.name)));
  }
  return files.sort();
}

async function removeOld(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    const path = join(directory, name);
    const { mtime } = await Deno.stat(path);
    if (name !== "lock" && Date.now() - (mtime?.getTime() ?? 0) > KEPT) await Deno.remove(path);
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
