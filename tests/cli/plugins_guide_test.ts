/** Whoever follows `docs/PLUGINS.md` line by line gets what it shows. */
import assert from "assert";
import { dirname, join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { freshDatabase } from "../database.ts";
import { forEachKind, type Kind, programOf } from "../program.ts";
import { directoryWith, project } from "./project.ts";

/** One thing that the reader does. */
type Doing =
  | { readonly path: string; readonly text: string }
  | { readonly command: string; readonly output: string };

/** What the section has the reader do, in its order. */
function doingsOf(section: string): Doing[] {
  const doings: Doing[] = [];
  const blocks = /(?:^`(?<path>[^`\n]+)`:\n\n)?^```(?<language>\w+)\n(?<text>.*?)^```$/gms;
  for (const { groups: { path, language, text = "" } = {} } of section.matchAll(blocks)) {
    if (path !== undefined) doings.push({ path, text });
    if (language !== "console") continue;
    for (const part of text.split(/^\$ /m).slice(1)) {
      const [command = "", ...output] = part.split("\n");
      doings.push({ command, output: output.join("\n").trimEnd() });
    }
  }
  return doings;
}

/** A pattern of what is shown: … stands for whatever is there, alone for any lines. */
function patternOf(output: string): RegExp {
  const parts = output.split(/^…$/m).map((part) => RegExp.escape(part).replaceAll("…", "[^\\n]*"));
  return new RegExp(`^${parts.join("[^]*?")}$`);
}

/** A shell in which one command after the other runs, as at a terminal. */
async function reader(
  kind: Kind,
  { directory, url }: { readonly directory: string; readonly url: string },
) {
  const { command, env } = await programOf(kind);
  const bin = join(directory, "bin");
  await Deno.mkdir(bin);
  const line = command.map((word) => `'${word}'`).join(" ");
  await Deno.writeTextFile(join(bin, "observatory"), `#!/bin/sh\nexec ${line} "$@"\n`, {
    mode: 0o755,
  });
  const cwd = join(directory, "work");
  await Deno.mkdir(cwd);
  const exports: string[] = [];
  return {
    cwd,
    async run(typed: string): Promise<string> {
      if (typed.startsWith("export ")) exports.push(typed);
      const { stdout } = await new Deno.Command("sh", {
        args: ["-c", `umask 022; exec 2>&1; ${[...exports, typed].join("\n")}`],
        cwd,
        clearEnv: true,
        env: {
          ...env,
          PATH: `${bin}:${dirname(Deno.execPath())}:${Deno.env.get("PATH") ?? ""}`,
          HOME: directory,
          DATABASE_URL: url,
          NO_COLOR: "1",
          DENO_NO_UPDATE_CHECK: "1",
        },
        stdin: "null",
        stderr: "inherit",
      }).output();
      return new TextDecoder().decode(stdout).trimEnd();
    },
  };
}

forEachKind("plugins guide: every line of its ten minutes gives what it shows", async (kind) => {
  const guide = await Deno.readTextFile(join(PROJECT, "docs/PLUGINS.md"));
  const section = /^## Ten minutes$(.*?)^## /ms.exec(guide)?.[1] ?? "";
  const doings = doingsOf(section);
  assert.ok(doings.length > 10, "the section is not read as it is written");
  await using database = await freshDatabase();
  await using directory = await directoryWith({});
  const { cwd, run } = await reader(kind, { directory: directory.path, url: database.url });
  for (const doing of doings) {
    if ("path" in doing) {
      await Deno.writeTextFile(join(cwd, doing.path), doing.text);
    } else {
      const shown = await run(doing.command);
      assert.match(shown, patternOf(doing.output), `$ ${doing.command}\n${shown}`);
    }
  }
});

/** The first TypeScript after a heading. */
function pieceUnder(heading: string, text: string): string {
  return new RegExp(`^## ${heading}$.*?^\`\`\`ts\n(.*?)^\`\`\`$`, "ms").exec(text)?.[1] ?? "";
}

Deno.test("plugins guide: its other pieces of code compile, and the README's", async () => {
  const readme = await Deno.readTextFile(join(PROJECT, "README.md"));
  const guide = await Deno.readTextFile(join(PROJECT, "docs/PLUGINS.md"));
  await using directory = await directoryWith({
    "deno.json": JSON.stringify({ imports: { observatory: join(PROJECT, "core/plugin.ts") } }),
    "hooks.ts": `import { definePlugin, OperationError } from "observatory";
export default definePlugin({ name: "hooks", api: 1, summary: "", ${
      pieceUnder("Hooks", guide)
    } });`,
    "logins.ts": pieceUnder("Your own commands", readme),
  });
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "hooks.ts", "logins.ts"],
    cwd: directory.path,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
});

forEachKind("plugins guide: the README's example runs", async (kind) => {
  const readme = await Deno.readTextFile(join(PROJECT, "README.md"));
  const example = pieceUnder("Your own commands", readme);
  await using given = await project(kind, { "plugins/logins.ts": example });
  const run = await given.run(["logins", "--role", "nobody-of-this-name", "-q"], {
    env: { PLUGINS_DIR: "plugins" },
  });
  assert.deepEqual([run.code, run.stdout, run.stderr], [0, "0 sessions\n", ""]);
});
