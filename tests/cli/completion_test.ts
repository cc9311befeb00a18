import assert from "assert";
import { join } from "node:path";
import { forEachKind, kinds, type Run, runProgram } from "../program.ts";
import {
  inShell,
  type Installed,
  installed,
  shellMissing,
  type ShellName,
  startShell,
} from "../shells.ts";
import { skipWhenMissing } from "../skip.ts";
import { HELLO } from "./plugin_sources.ts";
import { type Directory, directoryWith, type FilesByPath } from "./project.ts";

const BACKUP = "shop_backup_20240101_120000";

const FILES: FilesByPath = {
  ".env": "PLUGINS_DIR=plugins\n",
  ".env.test": "",
  "plugins/hello.ts": HELLO,
  "migrations/1_create_users.up.sql": "SELECT 1;\n",
  "migrations/1_create_users.down.sql": "SELECT 1;\n",
  "migrations/20240101000000_add_email.sql": "SELECT 1;\n",
  "seeds/base/010_models.csv": "id\n1\n",
  "seeds/staging/020_users.csv": "id\n1\n",
  [`backups/${BACKUP}.dump`]: "",
  [`backups/${BACKUP}.manifest.json`]: "{}",
  ["backups/shop_backup_20240102_120000_schema.manifest.json"]: "{}",
  "backups/by hand.dump": "",
  "scripts/nightly-report.sh": "#!/bin/sh\n",
  "scripts/notes.txt": "",
  "data/fix it.sql": "SELECT 1;\n",
  // Bash must not take a command for it.
  "migrate/README": "",
};

interface Place extends AsyncDisposable {
  readonly directory: string;
  readonly program: Installed;
}

async function place(kind = kinds.at(-1) ?? "sources"): Promise<Place> {
  const directory: Directory = await directoryWith(FILES);
  const program = await installed(kind);
  const scripts = join(directory.path, "scripts");
  await Deno.chmod(join(scripts, "nightly-report.sh"), 0o755);
  await Deno.chmod(join(directory.path, "plugins"), 0o755);
  await Deno.chmod(join(directory.path, "plugins", "hello.ts"), 0o644);
  return {
    directory: directory.path,
    program,
    async [Symbol.asyncDispose]() {
      await Promise.all([directory, program].map((each) => each[Symbol.asyncDispose]()));
    },
  };
}

/** The candidates with their descriptions, as fish gets them. */
async function offered(
  words: readonly string[],
  options: { readonly kind: (typeof kinds)[number]; readonly cwd: string; readonly cache?: string },
): Promise<Map<string, string>> {
  const { cache, ...where } = options;
  const { code, stdout, stderr } = await runProgram(["__complete", "fish", "--", ...words], {
    ...where,
    env: cache === undefined ? {} : { XDG_CACHE_HOME: cache },
  });
  assert.deepEqual([code, stderr], [0, ""]);
  return new Map(
    stdout.split("\n").slice(3, -1).map((line) => {
      const [value = "", description = ""] = line.split("\t");
      return [value, description];
    }),
  );
}

forEachKind("__complete: what is found on this machine is offered", async (kind) => {
  await using site = await place(kind);
  const at = { kind, cwd: site.directory };
  const names = async (...words: string[]) => [...(await offered(words, at)).keys()];
  assert.deepEqual(
    await offered(["migrate", "--to", ""], at),
    new Map([
      ["1", "create users"],
      ["20240101000000", "add email"],
    ]),
  );
  assert.deepEqual(await names("migrate", "resolve", ""), ["1", "20240101000000"]);
  assert.deepEqual(await names("migrate", "--dir", "nowhere", "--to", ""), []);
  assert.deepEqual(
    await offered(["backup", "show", ""], at),
    new Map([
      ["latest", "The newest full backup"],
      ["shop_backup_20240102_120000_schema", "Backup of 2024-01-02 12:00:00 UTC"],
      [BACKUP, "Backup of 2024-01-01 12:00:00 UTC"],
    ]),
  );
  assert.deepEqual(await names("restore", ""), [
    ...["latest", "shop_backup_20240102_120000_schema", BACKUP, "by hand.dump"],
  ]);
  assert.deepEqual(await names("restore", "--s3-download", ""), ["latest"]);
  assert.deepEqual(await names("backup", "verify", "--output-dir", "nowhere", ""), []);
  assert.deepEqual(await names("script", ""), ["nightly-report.sh"]);
  assert.deepEqual(await names("sql", ""), ["fix it.sql"]);
  assert.deepEqual(await names("seed", "--env", ""), ["staging"]);
  assert.deepEqual(await names("seed", "--only", ""), ["010_models.csv", "020_users.csv"]);
  assert.deepEqual(await names("--env-file", ""), [".env", ".env.test"]);
  assert.deepEqual(await names("completion", ""), ["bash", "zsh", "fish"]);
});

forEachKind("__complete: plugins are asked nothing; what they declared is known", async (kind) => {
  await using site = await place(kind);
  const cache = await Deno.makeTempDir();
  const at = { kind, cwd: site.directory, cache };
  // It was never loaded, and is not now: a plugin runs when it is called.
  assert(!(await offered([""], at)).has("hello"));
  assert(!(await offered([""], at)).has("hello"));
  const { code } = await runProgram(["plugin", "list"], {
    kind,
    cwd: site.directory,
    env: { XDG_CACHE_HOME: cache },
  });
  assert.equal(code, 0);
  assert.equal((await offered([""], at)).get("hello"), "Say hello to somebody");
  assert.deepEqual([...(await offered(["hello", "--manner", ""], at)).keys()], ["warm", "cool"]);
  assert((await offered(["hello", "-"], at)).has("--times"));
  assert.deepEqual(await offered(["plugin", "run", ""], at), new Map([["hello", "Say hello"]]));
  assert.deepEqual([...(await offered(["plugin", "run", "hello", ""], at)).keys()], ["hello"]);
  const inPlugin = await offered(["plugin", "run", "hello", "hello", "--manner="], at);
  assert.deepEqual([...inPlugin.keys()], ["--manner=warm", "--manner=cool"]);
  assert(!(await offered(["--no-plugins", ""], at)).has("hello"));
  // Its file is broken: the rest is there, and nothing is said.
  await Deno.writeTextFile(join(site.directory, "plugins", "hello.ts"), "export default {");
  const rest = await offered([""], at);
  assert(rest.has("migrate") && !rest.has("hello"));
  await Deno.remove(cache, { recursive: true });
});

forEachKind(
  "completion: prints the script of each shell, and nothing for another one",
  async (kind) => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const { code, stdout, stderr } = await runProgram(["completion", shell], { kind });
      assert.deepEqual([code, stderr], [0, ""]);
      assert.match(stdout, new RegExp(`in ${shell}: `));
      assert.match(stdout, /__complete/);
      const { stdout: json } = await runProgram(["completion", shell, "--json"], { kind });
      assert.deepEqual(JSON.parse(json).data, { shell, script: stdout });
    }
    // A shell may start anywhere.
    const elsewhere = { kind, env: { PLUGINS_DIR: "nowhere" } };
    const started = await runProgram(["completion", "bash"], elsewhere);
    assert.deepEqual([started.code, started.stderr], [0, ""]);
    const { code, stderr } = await runProgram(["completion", "bsh"], { kind });
    assert.equal(code, 2);
    assert.match(stderr, /"bsh" of SHELL is not one of bash, zsh, fish; did you mean "bash"\?/);
  },
);

/** Registers a test in one shell, which is skipped where that is missing. */
async function shellTest(
  shell: ShellName,
  name: string,
  test: (site: Place) => Promise<void>,
): Promise<void> {
  Deno.test({
    name: `${shell}: ${name}`,
    ignore: skipWhenMissing(`completion in ${shell}`, await shellMissing(shell)),
    async fn() {
      await using site = await place();
      await test(site);
    },
  });
}

/** A shell at its prompt, in which lines are typed. */
interface Terminal extends AsyncDisposable {
  /** Types a line and TAB, and gives what the line has become. */
  completed(typed: string): Promise<string>;
  readonly run: Run;
}

/** Starts one, with a key that shows the line. */
async function terminal(
  shell: ShellName,
  { directory, program }: Place,
  setup: string,
): Promise<Terminal> {
  const run = await startShell(shell, { cwd: directory, program: program.directory });
  await run.write(`${setup}\n`);
  await run.until(/READY> /);
  let shown = 0;
  return {
    run,
    async completed(typed) {
      // TAB, and the key that shows the line and clears it.
      await run.write(`${typed}\t\x07`);
      const count = ++shown;
      await run.until(new RegExp(`(?:LINE<[^\\n]*>\\r?\\n(?:(?!LINE<)[^])*){${count}}`));
      return [...run.stdout.matchAll(/LINE<([^\n]*?)>\r?\n/g)][count - 1]?.[1] ?? "";
    },
    async [Symbol.asyncDispose]() {
      // A shell that is killed may still write to its home.
      await run.write("\x07exit\n");
      await run.result();
    },
  };
}

const BASH_SETUP = [
  "source <(observatory completion bash)",
  `show() { printf 'LINE<%s>\\n' "$READLINE_LINE"; READLINE_LINE=""; READLINE_POINT=0; }`,
  `bind -x '"\\C-g": show'`,
  "bind 'set enable-bracketed-paste off'",
  "PS1='RE''ADY> '",
].join("; ");

await shellTest(
  "bash",
  "a line is completed at TAB, with quotes where they are needed",
  async (site) => {
    await using shell = await terminal("bash", site, BASH_SETUP);
    // A command is none of the directory of its name.
    assert.equal(await shell.completed("observatory migrate stat"), "observatory migrate status ");
    assert.equal(await shell.completed("observatory migrate-s"), "observatory migrate-status ");
    assert.equal(
      await shell.completed("observatory backup --forma"),
      "observatory backup --format ",
    );
    assert.equal(
      await shell.completed("observatory backup --format=cu"),
      "observatory backup --format=custom ",
    );
    assert.equal(
      await shell.completed("observatory backup --format cu"),
      "observatory backup --format custom ",
    );
    assert.equal(
      await shell.completed("DB_NAME=shop observatory --quiet exe"),
      "DB_NAME=shop observatory --quiet exec ",
    );
    assert.equal(
      await shell.completed("observatory backup show shop_backup_20240101"),
      `observatory backup show ${BACKUP} `,
    );
    // Names of backups and files, in both of the ways to quote.
    assert.equal(
      await shell.completed("observatory restore by"),
      "observatory restore by\\ hand.dump ",
    );
    assert.equal(
      await shell.completed('observatory restore "by'),
      'observatory restore "by hand.dump" ',
    );
    assert.equal(await shell.completed("observatory restore back"), "observatory restore backups/");
    assert.equal(
      await shell.completed("observatory restore backups/by"),
      "observatory restore backups/by\\ hand.dump ",
    );
    assert.equal(
      await shell.completed("observatory --plugin-dir=plug"),
      "observatory --plugin-dir=plugins/",
    );
    assert.equal(
      await shell.completed("observatory backup --metrics-file=scripts/no"),
      "observatory backup --metrics-file=scripts/notes.txt ",
    );
    assert.equal(await shell.completed("observatory help exi"), "observatory help exit-codes ");
    // What may be anything is left as it is.
    assert.equal(
      await shell.completed("observatory backup --note scr"),
      "observatory backup --note scr",
    );
  },
);

await shellTest("bash", "all candidates are given to the shell", async (site) => {
  const script = [
    "source <(observatory completion bash)",
    "COMP_LINE='observatory migrate '; COMP_POINT=${#COMP_LINE}",
    "COMP_WORDS=(observatory migrate ''); COMP_CWORD=2",
    "_observatory observatory '' migrate",
    `printf '%s\\n' "\${COMPREPLY[@]}"`,
    // By another name of the program, which is none on PATH.
    "COMP_LINE='o completion '; COMP_POINT=${#COMP_LINE}",
    "_observatory o '' completion",
    `printf '%s\\n' "\${COMPREPLY[@]}"`,
    "complete -p observatory",
  ].join("\n");
  const stdout = await inShell("bash", script, {
    cwd: site.directory,
    program: site.program.directory,
  });
  assert.deepEqual(stdout.split("\n"), [
    ...["status", "check", "rollback", "add", "resolve", "repair", "baseline"],
    ...["bash", "zsh", "fish"],
    "complete -F _observatory observatory",
    "",
  ]);
});

const ZSH_SETUP = [
  "autoload -Uz compinit && compinit -u -D",
  "source <(observatory completion zsh)",
  "zstyle ':completion:*' list-grouped false",
  `show() { zle -I; print -r -- "LINE<$BUFFER>"; BUFFER= }`,
  "zle -N show; bindkey '^G' show; bindkey '^X' list-choices",
  "PS1='RE''ADY> '",
].join("; ");

await shellTest(
  "zsh",
  "a line is completed at TAB, with quotes where they are needed",
  async (site) => {
    await using shell = await terminal("zsh", site, ZSH_SETUP);
    assert.equal(await shell.completed("observatory migrate stat"), "observatory migrate status ");
    assert.equal(await shell.completed("observatory migrate-s"), "observatory migrate-status ");
    assert.equal(
      await shell.completed("observatory backup --format=cu"),
      "observatory backup --format=custom ",
    );
    assert.equal(
      await shell.completed("observatory --quiet backup show shop_backup_20240101"),
      `observatory --quiet backup show ${BACKUP} `,
    );
    assert.equal(
      await shell.completed("observatory restore by"),
      "observatory restore by\\ hand.dump ",
    );
    assert.equal(
      await shell.completed("observatory restore 'by"),
      "observatory restore 'by hand.dump' ",
    );
    assert.equal(
      await shell.completed("observatory restore backups/by"),
      "observatory restore backups/by\\ hand.dump ",
    );
    assert.equal(
      await shell.completed("observatory --plugin-dir=plug"),
      "observatory --plugin-dir=plugins/",
    );
    assert.equal(await shell.completed("observatory help exi"), "observatory help exit-codes ");
  },
);

await shellTest("zsh", "candidates are listed with what they are", async (site) => {
  await using shell = await terminal("zsh", site, ZSH_SETUP);
  await shell.run.write("observatory migrate --to \x18");
  await shell.run.until(/20240101000000 +-- add email/);
  await shell.run.write("\x07observatory migrate re\x18");
  await shell.run.until(/repair +-- Accept applied files/);
  await shell.run.write("\x07observatory backup --lock-wait \x18");
  await shell.run.until(/SECONDS: How long to wait/);
});

await shellTest("zsh", "the script is found in a directory of fpath, too", async (site) => {
  const functions = join(site.directory, "functions");
  await Deno.mkdir(functions);
  const { stdout } = await runProgram(["completion", "zsh"]);
  await Deno.writeTextFile(join(functions, "_observatory"), stdout);
  const setup = [
    `fpath=('${functions}' $fpath)`,
    ZSH_SETUP.replace("source <(observatory completion zsh); ", ""),
  ].join("; ");
  await using shell = await terminal("zsh", site, setup);
  assert.equal(await shell.completed("observatory migrate-s"), "observatory migrate-status ");
});

await shellTest("fish", "candidates are given with what they are", async (site) => {
  const complete = async (line: string) => {
    const script = [
      "observatory completion fish | source",
      `complete --do-complete '${line.replaceAll("'", "\\'")}'`,
    ].join("\n");
    const stdout = await inShell("fish", script, {
      cwd: site.directory,
      program: site.program.directory,
    });
    return stdout.split("\n").slice(0, -1);
  };
  assert.deepEqual(await complete("observatory migrate sta"), [
    "status\tShow applied and pending migrations with their checksums",
  ]);
  assert.deepEqual(await complete("observatory migrate --to 20"), ["20240101000000\tadd email"]);
  assert.deepEqual(await complete("DB_NAME=shop observatory backup --format=cu"), [
    "--format=custom",
  ]);
  assert.deepEqual(await complete("observatory backup show shop_backup_20240101"), [
    `${BACKUP}\tBackup of 2024-01-01 12:00:00 UTC`,
  ]);
  assert.deepEqual(await complete("observatory --plugin-dir=plu"), [
    "--plugin-dir=plugins/\tDirectory",
  ]);
  assert((await complete("observatory restore backups/by")).includes("backups/by hand.dump"));
  assert.deepEqual(await complete("observatory restore by"), [
    "by hand.dump\tDump without a manifest",
  ]);
  assert.deepEqual(await complete("observatory restore 'by"), [
    "by hand.dump\tDump without a manifest",
  ]);
  assert.deepEqual(await complete("observatory backup --note scr"), []);
  const names = (await complete("observatory ")).map((line) => line.split("\t")[0]);
  assert.deepEqual(names.slice(0, 2), ["migrate", "migrate-status"]);
});
