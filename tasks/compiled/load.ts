/**
 * Loads the program out of the compiled executable. It is one script, compiled through `node:vm`,
 * since only there V8 can be handed what it made of the text before: its code cache.
 */
import process from "node:process";
import { Script } from "node:vm";

/** What the script exports: see `tasks/code_cache.ts`. */
export interface Program {
  /** Runs one command line; resolves to the exit code. */
  readonly run: (args: readonly string[], host: unknown) => Promise<number>;
  readonly systemHost: () => unknown;
}

/** The program with the script that it came from. */
export interface Loaded {
  readonly script: Script;
  readonly program: Program;
}

/** Loads the script beside `entry`, a module's URL, from which it imports what it imports. */
export function load(directory: string, entry: string, cachedData?: Uint8Array): Loaded {
  const script = new Script(Deno.readTextFileSync(`${directory}/program.js`), {
    filename: entry,
    importModuleDynamically: (specifier) => import(specifier),
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const module: { exports: Partial<Program> } = { exports: {} };
  script.runInThisContext()(requireBuiltin, module, module.exports);
  const { run, systemHost } = module.exports;
  if (run === undefined || systemHost === undefined) throw new Error("The program is not whole");
  return { script, program: { run, systemHost } };
}

/** Only Node's modules are required by name; `createRequire` takes 2 ms to load. */
function requireBuiltin(name: string): unknown {
  const found = process.getBuiltinModule(name);
  if (found === undefined) throw new Error(`The runtime has no module "${name}"`);
  return found;
}
