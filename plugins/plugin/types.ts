/** `plugin types`: what editors and tests of plugins need, beside the plugins. */
import { rename, writeFile } from "node:fs/promises";
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { directoryOf } from "./directory.ts";

/** The folder is no plugin, since its name begins with an underscore. */
const FOLDER = "_observatory";

/** What the first line of a written file begins with; what lacks it is somebody's own. */
const MARKER = "// Written by `observatory plugin types`";

/** The contract's file, which the others import by this name. */
const CONTRACT = "plugin.ts";
const TESTING = "plugin_testing.ts";

const DENO_JSON = `{
  "imports": {
    "observatory": "./${FOLDER}/${CONTRACT}",
    "observatory/testing": "./${FOLDER}/${TESTING}"
  },
  "compilerOptions": {
    "erasableSyntaxOnly": true,
    "verbatimModuleSyntax": true
  }
}
`;

const TSCONFIG_JSON = `{
  "compilerOptions": {
    "strict": true,
    "noEmit": true,
    "target": "es2024",
    "lib": ["es2024", "esnext", "dom", "dom.iterable", "dom.asynciterable"],
    "module": "esnext",
    "moduleResolution": "bundler",
    "allowImportingTsExtensions": true,
    "erasableSyntaxOnly": true,
    "verbatimModuleSyntax": true,
    "skipLibCheck": true,
    "paths": {
      "observatory": ["./${FOLDER}/${CONTRACT}"],
      "observatory/testing": ["./${FOLDER}/${TESTING}"]
    }
  },
  "exclude": ["**/*_test.ts", "**/*_test.js"]
}
`;

/** What became of a file. */
export interface WrittenFile {
  readonly path: string;
  readonly became: "created" | "replaced" | "unchanged" | "kept";
}

/**
 * Writes the types.
 *
 * @throws OperationError of kind `refused` when a file that is not ours stands in the way
 */
export async function types(context: Context, named: string | undefined): Promise<Result> {
  const directory = directoryOf(context, named);
  const files = await writeTypes(context, directory);
  return { data: { directory, files }, text: files.map(lineOf).join("\n") };
}

/** Tells what became of a file. */
export function lineOf({ path, became }: WrittenFile): string {
  return `${became.charAt(0).toUpperCase()}${became.slice(1)} ${path}`;
}

/** Whether the types are there, of whatever version. */
export async function hasTypes({ files }: Context, directory: string): Promise<boolean> {
  return await files.inspect(`${directory}/${FOLDER}/${CONTRACT}`) !== undefined;
}

/** Writes the types into a plugin directory. */
export async function writeTypes(context: Context, directory: string): Promise<WrittenFile[]> {
  const { plugins } = context;
  const texts = { [CONTRACT]: await plugins.contract(), ...await plugins.testing() };
  const ours = Object.entries(texts).map(([name, text]): [string, string] => [
    `${directory}/${FOLDER}/${name}`,
    `${MARKER}, which replaces it.\n${text}`,
  ]);
  const theirs: [string, string][] = [
    [`${directory}/deno.json`, DENO_JSON],
    [`${directory}/tsconfig.json`, TSCONFIG_JSON],
  ];
  const written: WrittenFile[] = [];
  for (const [path, text] of ours) written.push(await replace(context, { path, text }));
  for (const [path, text] of theirs) written.push(await createOrKeep(context, { path, text }));
  return written;
}

interface WantedFile {
  readonly path: string;
  readonly text: string;
}

async function replace(context: Context, { path, text }: WantedFile): Promise<WrittenFile> {
  const there = await readIfThere(context, path);
  if (there === text) return { path, became: "unchanged" };
  if (there === undefined) {
    await context.files.create(path, text, { ownerWrites: true });
    return { path, became: "created" };
  }
  if (!there.startsWith(MARKER)) {
    throw new OperationError(`Cannot replace "${path}": it was not written by this program`, {
      kind: "refused",
      code: "already_exists",
      hint: "Move it out of the way",
      details: { path },
    });
  }
  // Whole or not at all: an editor may be reading it.
  const made = `${path}.${crypto.randomUUID()}.new`;
  await writeFile(made, text, { flag: "wx" });
  await rename(made, path);
  return { path, became: "replaced" };
}

async function createOrKeep(context: Context, { path, text }: WantedFile): Promise<WrittenFile> {
  const there = await readIfThere(context, path);
  if (there === text) return { path, became: "unchanged" };
  if (there === undefined) {
    await context.files.create(path, text, { ownerWrites: true });
    return { path, became: "created" };
  }
  if (!there.includes(`./${FOLDER}/${CONTRACT}`)) {
    context.log.warn(
      `${path} is yours and does not lead to ./${FOLDER}/${CONTRACT}: name it there`,
    );
  }
  return { path, became: "kept" };
}

async function readIfThere({ files }: Context, path: string): Promise<string | undefined> {
  if (await files.inspect(path) === undefined) return undefined;
  const [bytes = new Uint8Array()] = await files.readAll([path]);
  return new TextDecoder().decode(bytes);
}
