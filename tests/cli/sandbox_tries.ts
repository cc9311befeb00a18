/** Plugins that try what they may not, in the real program. */

import assert from "assert";
import { join } from "node:path";
import { withFolder } from "../core/plugin_folder.ts";
import { type Kind, type Run, type RunOptions, startProgram } from "../program.ts";

/** What is told of a file or a program that the plugin does not declare. */
export const NOT_DECLARED = /^OperationError: Cannot .*: plugin tries does not declare that it/;

/** A plugin whose commands are the given functions; their texts are what runs. */
export function pluginOf(
  commands: Readonly<Record<string, string>>,
  { permissions = {}, effect = "read", database = "none", more = "" } = {},
): string {
  const declared = Object.entries(commands).map(([name, run]) =>
    `"${name}": { summary: "Try", examples: [], effect: "${effect}", database: "${database}", run: ${run} }`
  );
  return `import { OperationError } from "observatory";
export default { name: "tries", api: 1, summary: "Try", permissions: ${
    JSON.stringify(permissions)
  }, commands: { ${declared.join(",\n")} } };
${more}`;
}

/** How a run ended. */
export interface Ended {
  readonly code: number;
  readonly stderr: string;
  // deno-lint-ignore no-explicit-any -- each test knows what its command gives
  readonly json: any;
}

/** Runs the program with the plugin; `during` speaks to it while it runs. */
export async function withPlugin(
  kind: Kind,
  { source, args, files = {}, during, ...options }: RunOptions & {
    readonly source: string;
    readonly args: readonly string[];
    readonly files?: Readonly<Record<string, string>>;
    readonly during?: (run: Run) => Promise<void>;
  },
): Promise<Ended> {
  let ended: Ended | undefined;
  await withFolder({ "plugins/tries.js": source, ...files }, async ({ path }) => {
    const line = ["--json", "--plugin-dir", join(path, "plugins"), ...args];
    const run = await startProgram(line, { kind, cwd: path, ...options });
    await run.endInput();
    await during?.(run);
    const { code, stdout, stderr } = await run.result();
    ended = { code, stderr, json: JSON.parse(stdout) };
  });
  if (ended === undefined) throw new Error("The program did not run");
  return ended;
}

/** Tries each piece of code in the plugin; gives what came of it. */
export async function tried(
  kind: Kind,
  attempts: Readonly<Record<string, string>>,
  { permissions = {}, files = {} }: {
    readonly permissions?: Readonly<Record<string, readonly string[]>>;
    readonly files?: Readonly<Record<string, string>>;
  } = {},
): Promise<Readonly<Record<string, string>>> {
  const all = Object.entries(attempts)
    .map(([name, code]) => `${JSON.stringify(name)}: async () => (${code})`);
  const source = pluginOf({
    try: `async (ctx) => {
      const attempts = { ${all.join(",\n")} };
      const data = {};
      for (const [name, attempt] of Object.entries(attempts)) {
        data[name] = await attempt().then(
          (value) => "escaped: " + String(value), (error) => error.name + ": " + error.message);
      }
      return { data };
    }`,
  }, { permissions });
  const { code, json, stderr } = await withPlugin(kind, { source, files, args: ["try"] });
  assert.equal(code, 0, `${JSON.stringify(json)} ${stderr}`);
  return json.data;
}
