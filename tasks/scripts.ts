/**
 * Puts the sources together into scripts: what most runs load is one, and of the rest each folder is
 * one, since V8 reads a script and its code cache as a whole.
 */
import { dirname, join, normalize } from "node:path/posix";
import ts from "typescript";
import { scriptOf, START_SCRIPT } from "./compiled/script_names.ts";

/** The modules of one script, by their paths below the root. */
export type Modules = ReadonlyMap<string, Module>;

/** One module, as CommonJS whose `require` takes paths below the root and names of Node's modules. */
interface Module {
  readonly text: string;
  /** What it loads before it runs itself. */
  readonly needs: readonly string[];
  /** What it loads when it has to. */
  readonly mayNeed: readonly string[];
}

/**
 * What most runs load, with all that these load at once: how a command is found and performed, help,
 * the configuration, and migrations when none is pending. One that is missing here makes runs slower.
 */
const START: readonly string[] = [
  "core/run.ts",
  "core/host.ts",
  "core/command_line.ts",
  "core/help.ts",
  "core/operation.ts",
  "core/user_plugins.ts",
  "plugins/migrate/migrate.ts",
];

/** A path that stands for the text of a file. */
const TEXT = "text:";

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.CommonJS,
  esModuleInterop: true,
  isolatedModules: true,
  // The loader gives them to the script instead, once for all modules.
  noEmitHelpers: true,
};

/**
 * Collects what the program needs.
 *
 * @param stage a copy of the sources
 * @returns the modules by the names of their scripts
 * @throws Error when a module imports what is neither a source nor one of Node's modules
 */
export async function collectModules(stage: string): Promise<ReadonlyMap<string, Modules>> {
  const all = new Map<string, Module>();
  const open = [...START];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (all.has(path)) continue;
    const module = await readModule(stage, path);
    all.set(path, module);
    open.push(...module.needs, ...module.mayNeed);
  }
  const start = new Set<string>();
  const needed = [...START];
  for (let path = needed.pop(); path !== undefined; path = needed.pop()) {
    if (start.has(path)) continue;
    start.add(path);
    needed.push(...all.get(path)?.needs ?? []);
  }
  const scripts = new Map<string, Map<string, Module>>();
  for (const [path, module] of [...all].sort(([a], [b]) => a < b ? -1 : 1)) {
    const name = start.has(path) ? START_SCRIPT : scriptOf(path);
    const modules = scripts.get(name) ?? new Map<string, Module>();
    scripts.set(name, modules.set(path, module));
  }
  return scripts;
}

/** The source of a script, before it is made smaller: a module that exports the functions by path. */
export function sourceOf(modules: Modules): string {
  const entries = [...modules].map(([path, { text }]) =>
    `${JSON.stringify(path)}: function (require, exports) {\n${text}\n}`
  );
  return `export const modules = {\n${entries.join(",\n")}\n};\n`;
}

async function readModule(stage: string, path: string): Promise<Module> {
  if (path.startsWith(TEXT)) {
    const text = JSON.stringify(await Deno.readTextFile(join(stage, path.slice(TEXT.length))));
    return {
      text: `exports.__esModule = true; exports.default = ${text};`,
      needs: [],
      mayNeed: [],
    };
  }
  const source = (await Deno.readTextFile(join(stage, path)))
    .replaceAll(/ from "([^"\n]+)" with \{ type: "text" \};/g, ` from "${TEXT}$1";`);
  const { outputText } = ts.transpileModule(source, { compilerOptions: OPTIONS });
  const needs: string[] = [];
  const mayNeed: string[] = [];
  // A package is left to the runtime, which can only be asked to import it later.
  const text = outputText.replaceAll(
    /Promise\.resolve\(\)\.then\(\(\) => __importStar\(require\("([a-z@][^":\n]*)"\)\)\)/g,
    'import("$1")',
  ).replaceAll(
    /(Promise\.resolve\(\)\.then\(\(\) => __importStar\()?\brequire\("([^"\n]+)"\)/g,
    (_, later: string | undefined, specifier: string) => {
      if (specifier.startsWith("node:")) return `${later ?? ""}require("${specifier}")`;
      const target = targetOf(specifier, path);
      (later === undefined ? needs : mayNeed).push(target);
      return `${later ?? ""}require(${JSON.stringify(target)})`;
    },
  );
  return { text, needs, mayNeed };
}

function targetOf(specifier: string, importer: string): string {
  const [scheme, relative] = specifier.startsWith(TEXT)
    ? [TEXT, specifier.slice(TEXT.length)]
    : ["", specifier];
  if (!relative.startsWith(".")) {
    throw new Error(`Cannot put the sources together: "${importer}" imports "${specifier}"`);
  }
  return `${scheme}${normalize(join(dirname(importer), relative))}`;
}
