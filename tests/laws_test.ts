/** The laws of the house: what the lint rules of `tasks/laws.ts` hold, and what needs more than one file. */

import assert from "assert";
import { join, relative } from "node:path";
import { PROJECT } from "../tasks/build.ts";
import laws from "../tasks/laws.ts";

/** Lines that a file of the product may have: what is read in one sitting. */
const LINE_LIMIT = 350;

/** The contract is handed to plugin authors as one file, so it stays one. */
const CONTRACT = "core/plugin.ts";

/** Directories whose files nobody writes by hand, or that hold no part of the project. */
const NOT_OURS = new Set([".git", "dist", "coverage", "node_modules"]);

async function filesUnder(directory: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(directory)) {
    if (NOT_OURS.has(entry.name)) continue;
    const path = join(directory, entry.name);
    files.push(...entry.isDirectory ? await filesUnder(path) : [relative(PROJECT, path)]);
  }
  return files.sort();
}

const files = await filesUnder(PROJECT);
const product = files.filter((file) => /^(main\.ts$|core\/|plugins\/)/.test(file));

function read(file: string): Promise<string> {
  return Deno.readTextFile(join(PROJECT, file));
}

/** What the lint rules say of a text if it were the file of that name. */
function findings(file: string, text: string): string[] {
  return Deno.lint.runPlugin(laws, join(PROJECT, file), text).map((each) => each.id);
}

Deno.test("laws: every file obeys the lint rules, whatever its comments ask for", async () => {
  const found: string[] = [];
  for (const file of files.filter((each) => each.endsWith(".ts"))) {
    const text = await read(file);
    // The rules and these tests name what they forbid.
    if (file === "tasks/laws.ts" || file === "tests/laws_test.ts") continue;
    found.push(...findings(file, text).map((id) => `${file}: ${id}`));
  }
  assert.deepEqual(found, []);
});

Deno.test("laws: deno lint runs the rules", async () => {
  const config: { lint: { plugins: string[] } } = JSON.parse(await read("deno.json"));
  assert.deepEqual(config.lint.plugins, ["./tasks/laws.ts"]);
});

Deno.test("laws: the globals of the runtime are left to the host", () => {
  const rule = ["laws/host-globals"];
  for (
    const text of [
      "Deno.exit(1);",
      "console.log(1);",
      "process.exit(1);",
      "globalThis.Deno;",
      'globalThis["Deno"];',
      "const { args } = Deno;",
      "const all = { Deno };",
      "let file: Deno.FsFile;",
      "`${Deno.args}`;",
    ]
  ) {
    assert.deepEqual(findings("core/run.ts", text), rule, text);
    assert.deepEqual(findings("plugins/migrate/mod.ts", text), rule, text);
    assert.deepEqual(findings("core/host.ts", text), [], text);
    assert.deepEqual(findings("core/host/files.ts", text), [], text);
    assert.deepEqual(findings("core/hosts.ts", text), rule, text);
    assert.deepEqual(findings("core/sandbox/guest.ts", text), [], text);
    assert.deepEqual(findings("tasks/demo.ts", text), [], text);
  }
  for (
    const text of [
      '"Deno.exit(1)"; // console.log',
      "log.console;",
      "const names = { Deno: 1, process: 2 };",
      "interface Names { console: string }",
      "/Deno/.test(name);",
    ]
  ) assert.deepEqual(findings("core/run.ts", text), [], text);
});

Deno.test("laws: a built-in imports the contract, its own files and Node's modules", () => {
  const rule = ["laws/built-in-imports"];
  for (
    const text of [
      'import { run } from "../../core/run.ts";',
      'import type { Host } from "../../core/host.ts";',
      'import { text } from "../config/text.ts";',
      'import pg from "pg";',
      'export * from "../../core/errors.ts";',
      'export { run } from "../../core/run.ts";',
      'await import("../../core/run.ts");',
      'let host: import("../../core/host.ts").Host;',
    ]
  ) assert.deepEqual(findings("plugins/migrate/apply.ts", text), rule, text);
  for (
    const text of [
      'import { OperationError } from "../../core/plugin.ts";',
      'import { createHash } from "node:crypto";',
      'import { split } from "./split.ts";',
      'import { text } from "../migrate/text.ts";',
      'import { scanSql } from "../sql/scanner.ts";',
      'import type { Manifest } from "../repository/manifest.ts";',
      'import { inspectDatabase } from "../database/inspection.ts";',
      'await import("./apply.ts");',
    ]
  ) assert.deepEqual(findings("plugins/migrate/apply.ts", text), [], text);
  assert.deepEqual(
    findings("plugins/sql/scanner.ts", 'import { text } from "../migrate/text.ts";'),
    rule,
  );
  const s3 = 'import("@aws-sdk/client-s3");';
  assert.deepEqual(findings("plugins/repository/packages.ts", s3), []);
  assert.deepEqual(findings("plugins/repository/s3.ts", s3), rule);
  assert.deepEqual(findings("plugins/mod.ts", 'import migrate from "./migrate/mod.ts";'), []);
  assert.deepEqual(findings("plugins/mod.ts", 'import { x } from "./migrate/apply.ts";'), rule);
});

Deno.test("laws: packages are imported by their names in the import map", () => {
  const rule = ["laws/import-source"];
  for (
    const text of [
      'import pg from "npm:pg@8";',
      'import assert from "jsr:@std/assert";',
      'import x from "https://example.com/x.ts";',
      'import x from "/etc/x.ts";',
      'await import("data:text/javascript,1");',
    ]
  ) assert.deepEqual(findings("tests/x_test.ts", text), rule, text);
  assert.deepEqual(findings("core/run.ts", "await import(name);"), rule);
  assert.deepEqual(findings("core/sandbox/guest.ts", "await import(name);"), []);
  assert.deepEqual(findings("tests/x_test.ts", "await import(name);"), []);
  assert.deepEqual(findings("core/run.ts", 'await import("dotenv");'), []);
});

Deno.test("laws: types and checks are not silenced", () => {
  const rule = ["laws/no-silencing"];
  for (
    const text of [
      "value as any;",
      "(<any> value);",
      "// @ts-ignore: it works",
      "/* @ts-nocheck */",
      "// deno-lint-ignore-file",
      "// deno-lint-ignore laws/host-globals",
      "// TODO: the rest",
      "// @ts-expect-error: it does not compile",
    ]
  ) assert.deepEqual(findings("core/run.ts", text), rule, text);
  assert.deepEqual(findings("tests/x_test.ts", "// @ts-expect-error: it proves that"), []);
  for (
    const text of [
      "value as Anything;",
      "// deno-lint-ignore no-explicit-any -- each command has flags of its own",
      '"TODO"; `as any`;',
    ]
  ) assert.deepEqual(findings("core/run.ts", text), [], text);
});

Deno.test("laws: every public export has a docstring", () => {
  const rule = ["laws/documented-exports"];
  for (
    const text of [
      "export function run() {}",
      "// Runs.\nexport function run() {}",
      "/* Runs. */\nexport const limit = 1;",
      "export interface Host {}",
      "/** The host. */\ninterface Other {}\nexport type Host = Other;",
      "export class Failure {}",
      "/** One. */\nexport const one = 1;\n\nexport const two = 2;",
      "/** One. */\nexport interface One {}\nexport interface Two {}",
      "/** One. */\nexport type One = 1;\nexport type Two = 2;",
      '"→ ✓";\n/** The host. */\ninterface Other {}\nexport type Host = Other;',
    ]
  ) assert.deepEqual(findings("core/run.ts", text), rule, text);
  for (
    const text of [
      "/** Runs. */\nexport function run() {}",
      "/** Runs. */\n// deno-lint-ignore require-await -- it throws\nexport async function run() {}",
      "/** A. */\nexport function f(a: 1): 1;\nexport function f(a: 2): 2;\nexport function f(a: unknown) { return a; }",
      '"→ ✓";\n/** Runs → there. */\nexport function run() {}',
      "/** Sizes. */\nexport const one = 1;\nexport const two = 2;\nexport const three = 3;",
      'export { run } from "./run.ts";',
      "function inner() {}",
    ]
  ) assert.deepEqual(findings("core/run.ts", text), [], text);
  assert.deepEqual(findings("tests/x.ts", "export function run() {}"), []);
});

Deno.test("laws: files of the product can be read in one sitting", async () => {
  const long: string[] = [];
  for (const file of product.filter((each) => each.endsWith(".ts") && each !== CONTRACT)) {
    const lines = (await read(file)).split("\n").length - 1;
    if (lines > LINE_LIMIT) long.push(`${file}: ${lines} lines`);
  }
  assert.deepEqual(long, []);
});

Deno.test("laws: files and folders are named for what they hold", () => {
  const empty = /^(utils?|helpers?|common|managers?|misc)$/;
  const found = files.filter((file) =>
    file.split("/").some((part) => empty.test(part.replace(/(_test)?\.[a-z]+$/, "")))
  );
  assert.deepEqual(found, []);
});

Deno.test("laws: the import map names npm packages of one exact version, and each is used", async () => {
  const { imports }: { imports: Record<string, string> } = JSON.parse(await read("deno.json"));
  const packages = Object.values(imports).map((target) => target.replace(/@[^@]*$/, ""));
  assert.equal(new Set(packages).size, packages.length, "a package is named twice");
  const texts = await Promise.all(files.filter((file) => file.endsWith(".ts")).map(read));
  for (const [name, target] of Object.entries(imports)) {
    assert.match(
      target,
      /^(node:[a-z/_]+|npm:(@[a-z0-9-]+\/)?[a-z0-9.-]+@\d+\.\d+\.\d+(-[a-z0-9.]+)?)$/,
      name,
    );
    assert.ok(texts.some((text) => text.includes(`"${name}"`)), `"${name}" is not imported`);
  }
});

Deno.test("laws: Deno's version is pinned in .dvmrc, and told nowhere else differently", async () => {
  const version = (await read(".dvmrc")).trim();
  assert.match(version, /^\d+\.\d+\.\d+$/);
  const told: string[] = [];
  for (
    const file of files.filter((each) => /(\.(md|ya?ml|json|sh|ts)|Dockerfile|run)$/.test(each))
  ) {
    for (
      const [, other] of (await read(file)).matchAll(/\bdeno(?:@|:(?=\d)|-v?)(\d+\.\d+\.\d+)/g)
    ) {
      if (other !== version) told.push(`${file}: ${other}`);
    }
  }
  assert.deepEqual(told, []);
});

/** What `deno info --json` tells of one module; only what is read here. */
interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly isDynamic?: boolean;
    readonly code?: { readonly specifier: string };
  }[];
}

Deno.test("laws: no package is loaded before a command needs it", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "main.ts"],
    cwd: PROJECT,
  }).output();
  const graph: { roots: string[]; modules: Module[] } = JSON.parse(
    new TextDecoder().decode(stdout),
  );
  const modules = new Map(graph.modules.map((module) => [module.specifier, module]));
  const reached = new Set<string>(graph.roots);
  for (const specifier of reached) {
    for (const dependency of modules.get(specifier)?.dependencies ?? []) {
      if (dependency.isDynamic !== true && dependency.code !== undefined) {
        reached.add(dependency.code.specifier);
      }
    }
  }
  assert.ok(reached.size > 1, "the graph of modules is empty");
  assert.deepEqual([...reached].filter((each) => each.startsWith("npm:")), []);
});
