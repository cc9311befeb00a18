/** The plugins of users: what there is, what is valid, and what a new one begins with. */
import { command, definePlugin, type Flag, OperationError } from "../../core/plugin.ts";

const DIRECTORY = {
  type: "string",
  placeholder: "DIR",
  help: "The plugin directory; by default PLUGINS_DIR, else ./plugins",
  path: "write",
  completes: "directory",
} as const satisfies Flag;

const list = command({
  summary: "List the plugins, and tell what is wrong with them",
  description:
    "Each plugin is ok, or clash: some of its names are taken, and `plugin run` reaches its " +
    "commands. One that is refused (for the owner or the mode of its files, or its sum), invalid, " +
    "incompatible or failed is not used; what destroys then refuses to run.\n\n" +
    "A plugin gets no more than the permissions that it declares. Two things lead out of its " +
    "sandbox: `run`, since the programs that it starts are free, and the database of a superuser, " +
    "whose SQL starts programs on the server (COPY … TO PROGRAM). Where the server answers within " +
    "a second, a warning tells that the role is one.",
  examples: [
    { line: "observatory plugin list", note: "show all plugins" },
    { line: "observatory plugin list --check", note: "in CI: end with 3 when one is not ok" },
    { line: "observatory plugin list --json", note: "the same for programs" },
  ],
  effect: "read",
  flags: { "check": { type: "boolean", help: "End with 3 when a plugin is not ok" } },
  async run(context, { flags }) {
    const { list } = await import("./list.ts");
    return await list(context, flags);
  },
});

const check = command({
  summary: "Check one plugin without a database, and tell what it declares",
  description:
    "The plugin is loaded as in any run, in its sandbox, and nothing of it is called. What is wrong " +
    "is told with file, line and column; the exit code is then 3.",
  examples: [
    { line: "observatory plugin check plugins/vacuum.ts", note: "check one file" },
    { line: "observatory plugin check plugins/archive", note: "check a folder with a mod.ts" },
  ],
  effect: "read",
  database: "none",
  args: { "file": { help: "The plugin's file, or its folder", required: true, path: "read" } },
  async run(context, { args }) {
    const { check } = await import("./check.ts");
    return await check(context, args.file);
  },
});

const create = command({
  summary: "Write a new plugin: a command, a hook and a test that work",
  description:
    "The types for editors are written beside the first one, as `plugin types` does. Nothing is " +
    "overwritten.",
  examples: [
    { line: "observatory plugin new vacuum", note: "write vacuum.ts and vacuum_test.ts" },
    { line: "observatory plugin new vacuum --js", note: "the same in JavaScript" },
  ],
  effect: "write",
  database: "none",
  args: {
    "name": { help: "Its name, of lower-case letters, digits and dashes", required: true },
  },
  flags: {
    "js": { type: "boolean", help: "Write JavaScript instead of TypeScript" },
    "dir": DIRECTORY,
  },
  async run(context, { args, flags }) {
    const { create } = await import("./create.ts");
    return await create(context, {
      name: args.name,
      language: flags.js ? "js" : "ts",
      directory: flags.dir,
    });
  },
});

const types = command({
  summary: "Write the types and the test helper that plugins are written with",
  description:
    "They go into the folder _observatory of the plugin directory, where what an older version " +
    "wrote is replaced. deno.json and tsconfig.json lead editors there; they are written where " +
    "there are none, and yours to change.",
  examples: [
    { line: "observatory plugin types", note: "after an update: the types of this version" },
    { line: "observatory plugin types --dir ops/plugins", note: "in another directory" },
  ],
  effect: "write",
  database: "none",
  flags: { "dir": DIRECTORY },
  async run(context, { flags }) {
    const { types } = await import("./types.ts");
    return await types(context, flags.dir);
  },
});

const run = command({
  summary: "Run a command of a plugin, also when its name is taken",
  description: "The command's own flags follow its name; --help after it shows them.",
  examples: [
    { line: "observatory plugin run vacuum vacuum --limit 3", note: "run a command" },
    { line: "observatory plugin run vacuum vacuum --help", note: "show its flags" },
  ],
  effect: "write",
  database: "none",
  args: {
    "plugin": { help: "The plugin's name", required: true },
    "command": { help: "The command's name, its flags and arguments", repeatable: true },
  },
  // The program itself finds the command that is meant; only other commands come this far.
  run: () =>
    Promise.reject(
      new OperationError("`plugin run` is for the command line: run the command by its own name", {
        kind: "usage",
        code: "usage",
      }),
    ),
});

const sums = command({
  summary: "Print the sums of the plugins' files, as SHA256SUMS holds them",
  description:
    "Where the plugin directory holds SHA256SUMS, a file that it does not name, or that has " +
    "another sum, is refused.",
  examples: [
    {
      line: "observatory plugin sums",
      note: "redirect it to SHA256SUMS there to approve the files",
    },
    { line: "observatory plugin sums --dir ops/plugins", note: "of another directory" },
  ],
  effect: "read",
  database: "none",
  flags: { "dir": DIRECTORY },
  async run(context, { flags }) {
    const { sums } = await import("./sums.ts");
    return await sums(context, flags.dir);
  },
});

export default definePlugin({
  name: "plugin",
  api: 1,
  summary: "The plugins of users",
  commands: {
    "plugin list": list,
    "plugin check": check,
    "plugin new": create,
    "plugin types": types,
    "plugin run": run,
    "plugin sums": sums,
  },
});
