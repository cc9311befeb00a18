import assert from "assert";
import { freshDatabase } from "../database.ts";
import { forEachKind, runProgram } from "../program.ts";
import { directoryWith } from "./project.ts";

forEachKind(
  "targets: a run works on the one that is chosen, whatever the shell says",
  async (kind) => {
    await using first = await freshDatabase();
    await using second = await freshDatabase();
    await using directory = await directoryWith({
      "fleet.txt": `# two\nfirst ${first.url}\nsecond host=${second.host} port=${second.port} ` +
        `dbname=${second.name} user=postgres\n`,
      ".env": "DB_NAME=nowhere\n",
    });
    const options = {
      kind,
      cwd: directory.path,
      env: { DATABASE_URL: first.url, PGPORT: "1", JOB_COMPLETION_INDEX: "1" },
    };
    const query = ["exec", "SELECT current_database() AS name", "--targets", "fleet.txt"];
    const { code, stdout, stderr } = await runProgram([...query, "--json"], options);
    assert.equal(code, 0, stderr);
    const { target, results } = JSON.parse(stdout);
    assert.equal(target, "second");
    assert.deepEqual(results[0].rows, [[second.name]]);
    assert.match(stderr, /^\[INFO\] second: Target 1, at fleet\.txt:3$/m);

    // The flag comes before Kubernetes' variable, and the program's own flags stand on either side.
    const other = await runProgram(["--target-index=0", ...query, "--format", "csv"], options);
    assert.equal(other.stdout, `name\n${first.name}\n`);
  },
);

forEachKind("targets: programs that are started work on the target too", async (kind) => {
  await using database = await freshDatabase();
  await using directory = await directoryWith({
    "fleet.txt": `only host=${database.host} port=${database.port} dbname=${database.name}\n`,
    "ask.sql": "\\echo :DBNAME\nSELECT current_database();\n",
  });
  const { code, stdout, stderr } = await runProgram(
    ["sql", "ask.sql", "--targets", "fleet.txt", "--target-index", "0"],
    {
      kind,
      cwd: directory.path,
      env: { PGDATABASE: "elsewhere", DB_HOST: "elsewhere", PGSERVICE: "elsewhere" },
    },
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`^${database.name}\n`));
});

forEachKind("targets: config shows one, with the line of each value", async (kind) => {
  await using directory = await directoryWith({
    "fleet.txt": "shop postgres://backup:hunter2@db1/shop S3_BACKUP_PREFIX=shop/\n",
  });
  await Deno.chmod(`${directory.path}/fleet.txt`, 0o644);
  const { code, stdout, stderr } = await runProgram(
    ["config", "--targets", "fleet.txt", "--target-index", "0"],
    { kind, cwd: directory.path, env: { DB_HOST: "elsewhere" } },
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^DB_HOST +db1 +fleet\.txt:1$/m);
  assert.match(stdout, /^S3_BACKUP_PREFIX +shop\/ +fleet\.txt:1$/m);
  assert.match(stdout, /^Target: backup@db1:5432\/shop$/m);
  assert.match(stderr, /^\[WARNING\] shop: "fleet\.txt" holds passwords/m);
  assert.doesNotMatch(stdout + stderr, /hunter2/);
});

forEachKind(
  "targets: what is wrong with the choice is exit 2, before anything is done",
  async (kind) => {
    await using directory = await directoryWith({ "fleet.txt": "postgres://h/d\n???\n" });
    const cases: [args: string[], expected: RegExp][] = [
      [["--targets", "fleet.txt", "--target-index", "2"], /it has 2 targets, 0 to 1/],
      [["--targets", "fleet.txt", "--target-index", "1"], /Cannot read fleet\.txt:2: its name/],
      [["--targets", "fleet.txt"], /neither --target-index nor JOB_COMPLETION_INDEX/],
      [["--targets", "none.txt", "--target-index", "0"], /There is no file "none\.txt"/],
      [["--target-index", "0"], /--target-index is given without --targets/],
    ];
    for (const [args, expected] of cases) {
      for (const command of [["migrate"], ["backup", "list"], ["config"]]) {
        const { code, stdout, stderr } = await runProgram([...command, ...args], {
          kind,
          cwd: directory.path,
        });
        assert.deepEqual([code, stdout], [2, ""], `${command} ${args}`);
        assert.match(stderr, expected);
      }
    }
    const failed = await runProgram(["migrate", "--json", "--targets", "fleet.txt"], {
      kind,
      cwd: directory.path,
    });
    assert.equal(JSON.parse(failed.stdout).error.code, "bad_target");
  },
);

forEachKind("targets: lines of the log as JSON name the target", async (kind) => {
  await using directory = await directoryWith({
    "fleet.txt": "shop postgres://127.0.0.1:1/shop\n",
  });
  const { code, stdout, stderr } = await runProgram(
    [
      "exec",
      "SELECT 1",
      "--json",
      "--log-format",
      "json",
      "--wait",
      "0",
      "--targets",
      "fleet.txt",
    ],
    { kind, cwd: directory.path, env: { JOB_COMPLETION_INDEX: "0" } },
  );
  assert.equal(code, 5);
  assert.equal(JSON.parse(stdout).target, "shop");
  for (const line of stderr.trim().split("\n")) assert.equal(JSON.parse(line).target, "shop");
});

forEachKind("targets: help explains the file", async (kind) => {
  const { stdout } = await runProgram(["help", "targets"], { kind });
  assert.match(stdout, /xargs -P 8/);
});
