/**
 * Loads the program out of the compiled executable. It is several scripts, compiled through
 * `node:vm`, since only there V8 can be handed what it made of the text before: its code cache.
 */
import process from "node:process";
import { Script } from "node:vm";
import { scriptOf, START_SCRIPT } from "./script_names.ts";

/** What the program's first modules export: see `tasks/scripts.ts`. */
export interface Program {
  /** Runs one command line; resolves to the exit code. */
  readonly run: (args: readonly string[], host: unknown) => Promise<number>;
  readonly systemHost: () => unknown;
}

/** What a module exports, by name. */
type Exports = Record<string, unknown>;
type Require = (name: string) => Exports;
interface Compiled {
  readonly script: Script;
  readonly modules: Modules;
}
type Modules = Readonly<Record<string, (require: Require, exports: Exports) => void>>;

/** The program. */
export interface Loaded {
  readonly program: Program;
  /** A script of it, compiled now where it was not needed yet. */
  compiled(name: string): Script;
}

/** Where the scripts are read. */
export interface Scripts {
  /** The text of one. */
  text(name: string): string;
  /** Its code cache; where there is none, V8 compiles the text as ever. */
  cache?(name: string): Uint8Array<ArrayBuffer>;
}

/** Loads the program. */
export function load({ text, cache }: Scripts): Loaded {
  const scripts = new Map<string, Compiled>();
  function scriptNamed(name: string): Compiled {
    const known = scripts.get(name);
    if (known !== undefined) return known;
    const script = new Script(text(name), {
      // An address, since it is from there that a package is imported.
      filename: new URL(`${name}.js`, import.meta.url).href,
      importModuleDynamically: (specifier) => import(specifier),
      ...(cache === undefined ? {} : { cachedData: cache(name) }),
    });
    const module: { exports: { modules?: Modules } } = { exports: {} };
    script.runInThisContext()(requireBuiltin, module, module.exports, HELPERS);
    const { modules } = module.exports;
    if (modules === undefined) throw new Error("The program is not whole");
    const compiled = { script, modules };
    scripts.set(name, compiled);
    return compiled;
  }

  const start = scriptNamed(START_SCRIPT).modules;
  const loaded = new Map<string, Exports>();
  function require(name: string): Exports {
    const known = loaded.get(name);
    if (known !== undefined) return known;
    if (name.startsWith("node:")) return requireBuiltin(name);
    const module = start[name] ?? scriptNamed(scriptOf(name)).modules[name];
    if (module === undefined) throw new Error(`The program has no module "${name}"`);
    const exports: Exports = {};
    loaded.set(name, exports);
    module(require, exports);
    return exports;
  }

  const { run } = require("core/run.ts");
  const { systemHost } = require("core/host.ts");
  // What they are is for the sources to tell: they are the same function there.
  return {
    program: { run, systemHost } as Program,
    compiled: (name) => scriptNamed(name).script,
  };
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
