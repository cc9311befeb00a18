import assert from "assert";
import { command, definePlugin, OperationError, type Plugin } from "../../core/plugin.ts";
import { run } from "../../core/run.ts";
import { fakeHost, type FakeMachine } from "../../core/testing.ts";

const done = () => Promise.resolve({ data: null });
const EXAMPLES = [{ line: "observatory backup", note: "Do it" }];

const BACKUP = definePlugin({
  name: "backup",
  api: 1,
  summary: "Backups",
  commands: {
    "backup": command({
      summary: "Write a backup",
      aliases: ["save"],
      examples: EXAMPLES,
      flags: {
        "format": { type: "string", help: "The form", choices: ["custom", "plain"] },
        "compress": { type: "boolean", short: "z", help: "Compress it" },
        "table": { type: "string", help: "Only this table", repeatable: true },
        "jobs": { type: "number", short: "j", help: "How many at once" },
        "output": { type: "string", help: "Where to", path: "write", placeholder: "FILE" },
        "into": { type: "string", help: "Where to", path: "write", completes: "directory" },
        "key": { type: "string", help: "The key", secret: true, choices: ["a", "b"] },
      },
      effect: "read",
      dryRun: true,
      run: done,
    }),
    "backup list": command({
      summary: "List backups: all of them",
      examples: EXAMPLES,
      effect: "read",
      database: "none",
      run: done,
    }),
    "restore": command({
      summary: "Restore a backup",
      examples: EXAMPLES,
      args: {
        "name": { help: "Which", path: "read", completes: "backup" },
        "part": { help: "What of it", choices: ["schema", "data"], repeatable: true },
      },
      effect: "destroy",
      run: done,
    }),
    "tidy up": command({ summary: "Tidy up", examples: EXAMPLES, effect: "write", run: done }),
  },
  completers: {
    backup: (ctx, flags) =>
      flags["dbname"]?.includes("broken")
        ? Promise.reject(new OperationError("Cannot read the backups"))
        : Promise.resolve([
          { value: "latest", description: `of ${ctx.config.get("DB_NAME")}` },
          { value: "a\nb", description: "No line holds it" },
          { value: "it's one:2", description: "With\tspaces" },
        ]),
  },
});

async function ask(
  shell: string,
  words: readonly string[],
  { plugins = [BACKUP], ...machine }: FakeMachine & { readonly plugins?: readonly Plugin[] } = {},
) {
  const host = fakeHost(machine);
  const code = await run(["__complete", shell, "--", ...words], host, { plugins });
  return { code, ...host.written };
}

/** The candidates without their descriptions, as fish gets them. */
async function offered(...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await ask("fish", words);
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout.split("\n").slice(3, -1).map((line) => line.split("\t")[0] ?? "");
}

Deno.test("__complete: a command's name, with aliases, families and the program's own words", async () => {
  const words = ["backup", "save", "restore", "tidy", "help", "version"];
  assert.deepEqual(await offered(""), words);
  // The other shells choose by what is typed themselves, and not by the beginning alone.
  assert.deepEqual(await offered("mig"), words);
  assert.deepEqual(await offered("--quiet", "--host", "db1", ""), words);
});

Deno.test("__complete: what goes on is told, and no more", async () => {
  assert.deepEqual(await offered("backup", ""), ["list"]);
  assert.deepEqual(await offered("tidy", ""), ["up"]);
  assert.deepEqual(await offered("backup", "--compress", ""), []);
  assert.deepEqual(await offered("backup", "list", ""), []);
  assert.deepEqual(await offered("nothing", ""), []);
  assert.deepEqual(await offered("version", ""), []);
});

Deno.test("__complete: help is given of commands and topics", async () => {
  const words = await offered("help", "");
  assert.deepEqual(words.slice(0, 5), ["backup", "save", "restore", "tidy", "exit-codes"]);
  assert(words.includes("licenses"));
  assert(!words.includes("help"));
  assert.deepEqual(await offered("help", "backup", ""), ["list"]);
});

Deno.test("__complete: flags are the command's, the connection's and the program's", async () => {
  const flags = await offered("backup", "--");
  for (const flag of ["--format", "--dry-run", "--host", "--json", "-z", "-q"]) {
    assert(flags.includes(flag), flag);
  }
  assert(!flags.includes("--confirm"));
  assert((await offered("restore", "-")).includes("--confirm"));
  assert(!(await offered("backup", "list", "-")).includes("--host"));
  assert((await offered("--")).includes("--log-format"));
  assert(!(await offered("--")).includes("--format"));
});

Deno.test("__complete: a flag that is given is not offered again, unless it may be", async () => {
  const flags = await offered(
    "--json",
    "backup",
    "-zj",
    "4",
    "--format=plain",
    "--table",
    "a",
    "-",
  );
  for (const given of ["--json", "--compress", "--jobs", "--format"]) {
    assert(!flags.includes(given), given);
  }
  assert(flags.includes("--table"));
});

Deno.test("__complete: choices, in both ways to give a value", async () => {
  assert.deepEqual(await offered("backup", "--format", ""), ["custom", "plain"]);
  assert.deepEqual(await offered("backup", "--format=cu"), ["--format=custom", "--format=plain"]);
  assert.deepEqual(await offered("--log-format", ""), ["text", "json"]);
  assert.deepEqual(await offered("restore", "x", ""), ["schema", "data"]);
  assert.deepEqual(await offered("restore", "x", "data", ""), ["schema", "data"]);
  // Nothing is known of the rest.
  assert.deepEqual(await offered("backup", "--jobs", ""), []);
  assert.deepEqual(await offered("backup", "--compress=t"), []);
  assert.deepEqual(await offered("backup", "--nothing=t"), []);
  assert.deepEqual(await offered("backup", "--key", ""), []);
});

Deno.test("__complete: behind -- nothing is a flag", async () => {
  assert.deepEqual(await offered("restore", "x", "--", "-"), ["schema", "data"]);
});

Deno.test("__complete: paths are left to the shell", async () => {
  const first = async (...words: string[]) =>
    (await ask("zsh", words)).stdout.split("\n").slice(0, 2);
  assert.deepEqual(await first("backup", "--output", ""), ["files", ""]);
  assert.deepEqual(await first("backup", "--output=o"), ["files", "--output="]);
  assert.deepEqual(await first("backup", "--into", ""), ["directories", ""]);
  assert.deepEqual(await first("--plugin-dir", ""), ["directories", ""]);
  assert.deepEqual(await first("restore", ""), ["files", ""]);
  assert.deepEqual(await first("backup", ""), ["none", ""]);
});

Deno.test("__complete: each shell gets words that it reads as they are meant", async () => {
  const machine = { env: { DB_NAME: "shop" } };
  const zsh = await ask("zsh", ["restore", ""], machine);
  assert.deepEqual(zsh.stdout.split("\n").slice(3), [
    "latest:of shop",
    "it's one\\:2:With spaces",
    "",
  ]);
  const fish = await ask("fish", ["restore", ""], machine);
  assert.deepEqual(fish.stdout.split("\n").slice(3), [
    "latest\tof shop",
    "it's one:2\tWith spaces",
    "",
  ]);
  // Bash quotes them itself where it adds files.
  const bash = await ask("bash", ["observatory restore ", "20", ""]);
  assert.deepEqual(bash.stdout.split("\n"), ["files", "latest", "it's one:2", ""]);
});

Deno.test("__complete: a value that cannot be found leaves the rest, without a word", async () => {
  const words = ["--dbname", "broken", "restore", ""];
  assert.deepEqual(await ask("fish", words), {
    code: 0,
    stdout: "files\n\nNAME: Which\n",
    stderr: "",
  });
  const host = fakeHost();
  await run(["--verbose", "__complete", "fish", "--", ...words], host, { plugins: [BACKUP] });
  assert.equal(host.written.stderr, "[DEBUG] Cannot read the backups\n");
});

Deno.test("__complete: a configuration that cannot be used does not stand in the way", async () => {
  const machine = {
    env: { PLUGINS_DIR: "/nowhere", LOG_LEVEL: "loud", DATABASE_URL: "nonsense://" },
    files: { "/work/.env": "no line of settings\n" },
  };
  const { code, stdout, stderr } = await ask("fish", ["bac"], machine);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^backup\tWrite a backup$/m);
});

Deno.test("__complete: an unknown shell is told", async () => {
  const { code, stdout, stderr } = await ask("tcsh", ["bac"]);
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /The shell is one of bash, zsh, fish/);
});

/** What bash gets for a line whose end is replaced; the first line tells of paths. */
async function inBash(line: string, replaced: string, point?: number): Promise<string[]> {
  const bytes = new TextEncoder().encode(line).length;
  const { code, stdout, stderr } = await ask("bash", [line, String(point ?? bytes), replaced]);
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout.split("\n").slice(1, -1);
}

Deno.test("__complete bash: only what begins as the word does", async () => {
  assert.deepEqual(await inBash("observatory bac", "bac"), ["backup"]);
  assert.deepEqual(await inBash("observatory ", ""), [
    ...["backup", "save", "restore", "tidy", "help", "version"],
  ]);
  assert.deepEqual(await inBash("./observatory backup --fo", "--fo"), ["--format"]);
});

Deno.test("__complete bash: bash replaces what stands behind = and :", async () => {
  assert.deepEqual(await inBash("observatory backup --format=cu", "cu"), ["custom"]);
  assert.deepEqual(await inBash("observatory backup --format=", ""), ["custom", "plain"]);
  assert.deepEqual(await inBash("observatory restore it\\'s\\ one:", ""), ["2"]);
});

Deno.test("__complete bash: quotes, backslashes and the cursor's place count", async () => {
  assert.deepEqual(await inBash("observatory back --x", "back", 16), ["backup"]);
  assert.deepEqual(await inBash("observatory --dbname é bac", "bac"), ["backup"]);
  assert.deepEqual(await inBash("observatory --dbname 'a b' bac", "bac"), ["backup"]);
  assert.deepEqual(await inBash('observatory --dbname "a\\" b" bac', "bac"), ["backup"]);
  assert.deepEqual(await inBash("observatory --dbname $'a\\' b' bac", "bac"), ["backup"]);
  assert.deepEqual(await inBash("observatory --dbname a\\ b bac", "bac"), ["backup"]);
  assert.deepEqual(await inBash("observatory \\\n  bac", "bac"), ["backup"]);
  assert.deepEqual(await inBash("observatory restore \"it's", "it's"), ["it's one:2"]);
  assert.deepEqual(await inBash("observatory 'bac", "bac"), ["backup"]);
});

Deno.test("__complete bash: another command on the line, and what is set for this one, are passed over", async () => {
  assert.deepEqual(await inBash("DB_NAME=shop observatory bac", "bac"), ["backup"]);
  assert.deepEqual(await inBash("cd /tmp && observatory bac", "bac"), ["backup"]);
});
