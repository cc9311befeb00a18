/**
 * Loads the program out of the compiled executable. It is two scripts, compiled through `node:vm`,
 * since only there V8 can be handed what it made of the text before: its code cache.
 */
import process from "node:process";
import { Script } from "node:vm";

/** What the program's first modules export: see `tasks/scripts.ts`. */
export interface Program {
  /** Runs one command line; resolves to the exit code. */
  readonly run: (args: readonly string[], host: unknown) => Promise<number>;
  readonly systemHost: () => unknown;
}

/** What a module exports, by name. */
type Exports = Record<string, unknown>;
type Require = (name: string) => Exports;
type Modules = Readonly<Record<string, (require: Require, exports: Exports) => void>>;

/** The program with the scripts that were loaded so far, by name. */
export interface Loaded {
  readonly scripts: ReadonlyMap<string, Script>;
  readonly program: Program;
}

/**
 * Loads the program.
 *
 * @param directory where the scripts are
 * @param caches reads a script's code cache; where there is none, V8 compiles the text as ever
 */
export function load(
  directory: string,
  caches?: (name: string) => Uint8Array<ArrayBuffer>,
): Loaded {
  const scripts = new Map<string, Script>();

  function modulesOf(name: string): Modules {
    const script = new Script(Deno.readTextFileSync(`${directory}/${name}.js`), {
      // An address, since it is from there that a package is imported.
      filename: new URL(`${name}.js`, import.meta.url).href,
      importModuleDynamically: (specifier) => import(specifier),
      ...(caches === undefined ? {} : { cachedData: caches(name) }),
    });
    scripts.set(name, script);
    const module: { exports: { modules?: Modules } } = { exports: {} };
    script.runInThisContext()(requireBuiltin, module, module.exports, HELPERS);
    const { modules } = module.exports;
    if (modules === undefined) throw new Error("The program is not whole");
    return modules;
  }

  const start = modulesOf("start");
  let rest: Modules | undefined;
  const loaded = new Map<string, Exports>();
  function require(name: string): Exports {
    const known = loaded.get(name);
    if (known !== undefined) return known;
    if (name.startsWith("node:")) return requireBuiltin(name);
    const module = start[name] ?? (rest ??= modulesOf("rest"))[name];
    if (module === undefined) throw new Error(`The program has no module "${name}"`);
    const exports: Exports = {};
    loaded.set(name, exports);
    module(require, exports);
    return exports;
  }

  const { run } = require("core/run.ts");
  const { systemHost } = require("core/host.ts");
  // What they are is for the sources to tell: they are the same function there.
  return { scripts, program: { run, systemHost } as Program };
}

/** Only Node's modules are required by name; `createRequire` takes 2 ms to load. */
function requireBuiltin(name: string): Exports {
  const found: object | undefined = process.getBuiltinModule(name);
  if (found === undefined) throw new Error(`The runtime has no module "${name}"`);
  return found as Exports;
}

/** What TypeScript calls for imports and exports of whole modules. */
const HELPERS = {
  __importDefault: (exports: Exports) => exports["__esModule"] ? exports : { default: exports },
  __importStar: (exports: Exports) => exports,
  __exportStar: (from: Exports, to: Exports) => Object.assign(to, from),
};
