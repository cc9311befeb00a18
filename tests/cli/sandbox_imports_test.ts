/**
 * Imports that would lead out of a plugin's folder, in the real program, whose module loader checks
 * none of them: each is refused before anything of the plugin runs.
 */

import assert from "assert";

import { withFolder } from "../core/plugin_folder.ts";
import { forEachKind, runProgram } from "../program.ts";

/** What is imported, by the name of the plugin that tries; and why it is refused. */
const IMPORTS: Readonly<Record<string, readonly [text: string, reason: RegExp]>> = {
  "json-outside": [
    'import x from "../secret.json" with { type: "json" };',
    /leads out of the plugin's folder/,
  ],
  "json-outside-later": ['await import("../secret.json");', /JSON is imported without saying so/],
  "js-outside": ['import "../_outside.js";', /leads out of the plugin's folder/],
  "ts-outside": ['import "../_outside.ts";', /leads out of the plugin's folder/],
  "script-outside": ['await import("../_outside.js");', /leads out of the plugin's folder/],
  "shadow": ['import "/etc/shadow";', /cannot be imported by a plugin/],
  "shadow-url": ['import "file:///etc/shadow";', /cannot be imported by a plugin/],
  "text": [
    'import x from "./data.json" with { type: "text" };',
    /attribute `type: "text"`/,
  ],
  "bytes": [
    'import x from "./data.json" with { type: "bytes" };',
    /attribute `type: "bytes"`/,
  ],
  "link-json": [
    'import x from "./link.json" with { type: "json" };',
    /it leads out of the plugin directory|leads out of the plugin's folder/,
  ],
  "link-js": ['import "./link.js";', /it leads out of the plugin directory|out of the plugin's/],
  "link-folder": ['import "./away/_outside.js";', /it leads out of the plugin directory/],
  "https": ['import "https://example.com/x.js";', /plugins download nothing/],
  "http": ['import "http://example.com/x.js";', /plugins download nothing/],
  "npm": ['import "npm:left-pad@1.3.0";', /plugins download nothing/],
  "jsr": ['import "jsr:@std/assert@1";', /plugins download nothing/],
  "data": ['import "data:text/javascript,1";', /cannot be imported by a plugin/],
  "blob": ['import "blob:null/1";', /cannot be imported by a plugin/],
  "wasm": ['import "./x.wasm";', /is no name of a TypeScript/],
  // A parser of addresses drops tabs, so that this leads to ../_outside.js.
  "tabs": ['import "./.\\t./_outside.js";', /has characters that are not allowed/],
  "tab-itself": ['import "./.\t./_outside.js";', /has characters that are not allowed/],
  "percent": ['import "./%2e%2e/_outside.js";', /has characters that are not allowed/],
  "computed": [
    'const x = "../_outside.js"; await import(x);',
    /of a name that is made at run time/,
  ],
  "template": ["await import(`../_outside.js`);", /of a name that is made at run time/],
  "options": ['await import("./data.json", { with: { type: "json" } });', /with options/],
  "meta": ["export const here = import.meta.url;", /`import\.meta` tells of files/],
  // What one parser takes for types, and another for a regular expression or none.
  "differs-ts": [
    'let q = 1, b = 2;\nq < (b as any) > /import("data:,1")/g;',
    /looks like an import, and is none/,
  ],
  "differs-function": [
    'const f = function(){} /import("file:///etc/passwd")/ 1;',
    /looks like an import|cannot be imported/,
  ],
  "differs-class": [
    'const f = class {} /import("file:///etc/passwd")/ 1;',
    /looks like an import|cannot be imported/,
  ],
  "made-of-two": [
    "export const run = () => new Function('return impo' + 'rt(\"../_outside.js\")')();",
    /./,
  ],
  ...Object.fromEntries(
    "fs fs/promises os process child_process module vm v8 worker_threads inspector net http sqlite ffi"
      .split(" ").map((name) => [
        `node-${name.replaceAll(/[^a-z0-9]/g, "-")}`,
        [`import "node:${name}";`, /cannot be imported by a plugin/] as const,
      ]),
  ),
  "bare-fs": ['import "fs";', /cannot be imported by a plugin/],
  // The program's own sources, as they lie in a compiled one.
  "embedded": [
    'import "file:///tmp/deno-compile-observatory/core/plugin.ts";',
    /cannot be imported/,
  ],
  "packed": ['import "acorn";', /cannot be imported by a plugin/],
};

/** Runs only when its text is taken for code. */
const OUTSIDE = 'throw new Error("what was outside has run");\n';

forEachKind("sandbox: no import leads out of a plugin's folder", async (kind) => {
  const plugins = Object.fromEntries(
    Object.entries(IMPORTS).map(([name, [text]]) => [
      `plugins/${name}/mod.${name.endsWith("ts") ? "ts" : "js"}`,
      `${text}\nexport default { name: "${name}", api: 1, summary: "Try" };\n`,
    ]),
  );
  const inside = Object.fromEntries(
    ["text", "bytes", "options"].map((name) => [`plugins/${name}/data.json`, "{}"]),
  );
  // Where tabs are not dropped, these are what is named.
  const decoys = Object.fromEntries(
    ["tabs", "tab-itself"].map((name) => [`plugins/${name}/.\t./_outside.js`, ""]),
  );
  await withFolder({
    ...plugins,
    ...inside,
    ...decoys,
    "plugins/_outside.js": OUTSIDE,
    "plugins/_outside.ts": OUTSIDE,
    "plugins/secret.json": '{ "key": "s3cr3t-outside" }',
    "plugins/link-json/link.json": { link: "../secret.json" },
    "plugins/link-js/link.js": { link: "../../beside.js" },
    "plugins/link-folder/away": { link: "../../away" },
    "beside.js": OUTSIDE,
    "away/_outside.js": OUTSIDE,
  }, async ({ path }) => {
    const { code, stdout, stderr } = await runProgram(["plugin", "list", "--json"], {
      kind,
      cwd: path,
      env: { PLUGINS_DIR: "plugins" },
    });
    assert.equal(code, 0, stderr);
    const listed: { name: string; status: string; reason?: string; path: string | null }[] = JSON
      .parse(stdout).data.plugins.filter(({ path }: { path: string | null }) => path !== null);
    for (const [name, [, reason]] of Object.entries(IMPORTS)) {
      const plugin = listed.find(({ path }) => path?.includes(`/${name}/mod.`));
      if (name === "made-of-two") {
        // The strings are nothing yet; that no code is made of them is seen when it runs.
        assert.equal(plugin?.status, "ok", String(plugin?.reason));
        continue;
      }
      assert.match(plugin?.status ?? "", /^(refused|invalid)$/, `${name}: ${plugin?.reason}`);
      assert.match(plugin?.reason ?? "", reason, name);
      assert.match(plugin?.reason ?? "", /plugins\/.*mod\.[jt]s:\d+:\d+"|plugins\/link/, name);
    }
    assert.equal(listed.length, Object.keys(IMPORTS).length);
    assert.doesNotMatch(stdout + stderr, /s3cr3t-outside|was outside has run|root:/);
  });
});
