/** Every example of every command's help, run as it stands. */
import assert from "assert";
import { join } from "node:path";
import { buildCommandTree } from "../../core/command_tree.ts";
import { builtIns } from "../../plugins/mod.ts";
import { clientToolsMissing } from "../database.ts";
import { DATABASE, type ExampleCopy, type ExampleSite, exampleSite } from "../example_site.ts";
import { kinds, terminalMissing } from "../program.ts";
import { shellMissing, type ShellName } from "../shells.ts";
import { skipWhenMissing } from "../skip.ts";

/** What an example takes for granted beyond the project that all of them find. */
interface SetUp {
  /** Lines of bash before it, which must work. */
  readonly before?: string;
  /** SQL in the database before it. */
  readonly sql?: string;
  /** SQL beside the database before it. */
  readonly beside?: string;
  /** A file in the directory of the backups that the bucket has, too. */
  readonly uploaded?: string;
  /** What is typed when it asks. */
  readonly typed?: string;
  readonly stdin?: string;
  readonly shell?: ShellName;
  /** In that shell, before the example, in the same line. */
  readonly first?: string;
  /** By default 0 alone. */
  readonly exits?: readonly number[];
  /** An address that stands in the example, in whose place one is put that is reached here. */
  readonly address?: string;
}

/** What is typed where the database's name is asked for. */
const CONFIRMED: SetUp = { typed: `${DATABASE}\n` };
const DIRTY: SetUp = { sql: "UPDATE _sqlx_migrations SET success = false WHERE version = 42" };
const SWAPPED = "observatory restore latest --swap --force --quiet";
const BY_HAND = `cp backups/${DATABASE}_backup_20240101_120000.dump backups/backup-file.dump`;

const SET_UPS: Readonly<Record<string, SetUp>> = {
  "observatory migrate --to 20240101000000": {
    before: "observatory migrate rollback --quiet --to 0",
  },
  "observatory migrate resolve 42 --unapplied": DIRTY,
  "observatory migrate resolve 42 --applied": DIRTY,
  "observatory migrate repair": { before: "printf '\\n' >> migrations/42_create_notes.up.sql" },
  "observatory migrate repair --force 42": {
    before: "echo 'SELECT 1;' >> migrations/42_create_notes.up.sql",
  },
  "observatory migrate baseline 20240101000000": { sql: "DROP TABLE _sqlx_migrations" },
  "observatory seed status --env test --exit-code": {},
  "observatory reset": CONFIRMED,
  "observatory reset --backup-first": CONFIRMED,
  "observatory backup status --max-age 8d --verified restore": {
    before: "observatory backup verify latest --level restore --quiet",
  },
  "observatory backup verify latest --level restore --on postgres://trial@spare/postgres": {
    address: "postgres://trial@spare/postgres",
  },
  "observatory backup verify latest --identity key.txt": {
    before: 'observatory backup --quiet --encrypt "$RECIPIENT"',
  },
  "observatory restore latest --plan": {
    sql: "DROP SCHEMA public, observatory CASCADE; CREATE SCHEMA public",
  },
  "observatory restore latest --swap": CONFIRMED,
  "observatory restore --undo": { before: SWAPPED },
  "observatory restore --finish": { before: SWAPPED, ...CONFIRMED },
  "observatory restore backup-file.dump --clean": { before: BY_HAND, ...CONFIRMED },
  "observatory restore backup-file.dump --s3-download --create --force": {
    before: BY_HAND,
    uploaded: "backup-file.dump",
    beside: `DROP DATABASE ${DATABASE}`,
  },
  "observatory restore latest --tables projects,models": {
    sql: "DROP TABLE projects, models",
    ...CONFIRMED,
  },
  "observatory restore backup.dir --into copy --jobs 8": {
    before: "observatory backup --quiet --format directory && mv backups/*.dir backups/backup.dir",
  },
  "observatory sql -": { stdin: "SELECT 1;\n" },
  "observatory shell": { typed: "\\q\n" },
  "observatory shell --read-only": { typed: "\\q\n" },
  // What is a warning depends on the machine, too.
  "observatory verify --strict --skip rights": { exits: [0, 3] },
  "observatory config --targets fleet.txt --target-index 0": {
    before: "echo 'shop postgres://app@db1/shop' > fleet.txt",
  },
  "observatory plugin new vacuum": { before: "rm -r plugins/*" },
  "observatory plugin new vacuum --js": { before: "rm -r plugins/*" },
  "source <(observatory completion zsh)": {
    shell: "zsh",
    first: "autoload -Uz compinit && compinit -u -D && ",
  },
  "observatory completion fish | source": { shell: "fish" },
  "observatory completion fish > ~/.config/fish/completions/observatory.fish": {
    before: "mkdir -p ~/.config/fish/completions",
  },
};

const TREE = buildCommandTree(builtIns);
const LINES = TREE.entries.flatMap(({ command }) => command.examples.map(({ line }) => line));

Deno.test("examples: what is set up is for an example that there is", () => {
  assert.deepEqual(Object.keys(SET_UPS).filter((line) => !LINES.includes(line)), []);
});

const missing = [await clientToolsMissing(), await terminalMissing()].find((each) => each);
const without = new Set<string>();
for (const shell of ["zsh", "fish"] as const) {
  const missing = await shellMissing(shell);
  if (skipWhenMissing(`examples in ${shell}`, missing)) without.add(shell);
}

Deno.test({
  name: "examples: each one of every command works as it stands",
  ignore: skipWhenMissing("examples of the help", missing),
  async fn(t) {
    await using site = await exampleSite(kinds.at(-1) ?? "sources");
    for (const line of LINES) {
      const setUp = SET_UPS[line] ?? {};
      await t.step({
        name: line,
        ignore: without.has(setUp.shell ?? ""),
        fn: () => site.withCopy((copy) => tryExample(line, { copy, setUp, site })),
      });
    }
  },
});

async function tryExample(
  line: string,
  { copy, setUp, site: { bucket, server } }: {
    readonly copy: ExampleCopy;
    readonly setUp: SetUp;
    readonly site: ExampleSite;
  },
): Promise<void> {
  const { before, sql, beside, uploaded, typed, stdin, shell, first = "", exits = [0], address } =
    setUp;
  if (before !== undefined) {
    const { code, stdout, stderr } = await copy.run(before);
    assert.equal(code, 0, `${before}: ${stdout}${stderr}`);
  }
  if (sql !== undefined) await copy.query(sql);
  if (beside !== undefined) await copy.query(beside, "postgres");
  if (uploaded !== undefined) {
    const bytes = await Deno.readFile(join(copy.directory, "backups", uploaded));
    await bucket.put(`backups/${uploaded}`, bytes);
  }
  const here = address === undefined ? line : line.replace(address, server.url());
  assert.equal(here === line, address === undefined);
  const { code, stdout, stderr } = await copy.run(`${first}${here}`, {
    ...(typed === undefined ? {} : { typed }),
    ...(stdin === undefined ? {} : { stdin }),
    ...(shell === undefined ? {} : { shell }),
  });
  assert(exits.includes(code), `${code}: ${stdout}${stderr}`);
  assert.doesNotMatch(stderr, /\[ERROR\]/);
}
