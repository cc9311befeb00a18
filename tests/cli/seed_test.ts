import assert from "assert";
import { createHash } from "node:crypto";
import { forEachKind, terminalMissing } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { type Project, project, until } from "./project.ts";

const FILES = {
  "migrations/1_tables.sql": "CREATE TABLE models (id int PRIMARY KEY, name text NOT NULL);" +
    "CREATE TABLE projects (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key_hash text);",
  "seeds/base/10_models.csv": "id,name\n1,gpt-4\n2,claude\n",
  "seeds/base/20_models.jsonl": '{"id": 3, "name": "gemini"}\n',
  "seeds/development/10_projects.sql":
    "WITH made AS (SELECT 'key-' || n AS api_key FROM generate_series(1, 2) AS n),\n" +
    "kept AS (INSERT INTO projects (key_hash) SELECT md5(api_key) FROM made)\nSELECT api_key FROM made;",
  "seeds/test/10_models.csv": "id,name\n9,test-only\n",
};
const noTerminal = skipWhenMissing("seeding on a terminal", await terminalMissing());

async function migrated(given: Project): Promise<void> {
  const { code, stderr } = await given.run(["migrate"]);
  assert.equal(code, 0, stderr);
}

async function counts({ database }: Project): Promise<unknown> {
  const [row] = await database.query(
    "SELECT (SELECT count(*)::int FROM models) AS models, (SELECT count(*)::int FROM projects) AS projects",
  );
  return row;
}

forEachKind(
  "seed: loads base and development, and says so as the manual's tools do",
  async (kind) => {
    await using given = await project(kind, FILES);
    await migrated(given);
    const { code, stdout, stderr } = await given.run(["seed"]);
    assert.equal(code, 0, stderr);
    assert.equal(
      stderr,
      "[INFO] Waiting for database to be ready...\n[SUCCESS] Database is ready\n" +
        '[INFO] Seeding database for environment "development"...\n' +
        "[SUCCESS] Seeding completed successfully\n",
    );
    assert.equal(
      stdout.replaceAll(/\d+ ms/g, "N ms"),
      "Loaded base/10_models.csv: 2 rows inserted (N ms)\n" +
        "Loaded base/20_models.jsonl: 1 row inserted (N ms)\n" +
        "Ran development/10_projects.sql (N ms)\n  api_key\n  key-1\n  key-2\n",
    );
    assert.deepEqual(await counts(given), { models: 3, projects: 2 });
  },
);

forEachKind(
  "seed --env production, --env development: without test data, and with it",
  async (kind) => {
    await using given = await project(kind, FILES);
    await migrated(given);
    assert.equal((await given.run(["seed", "--env", "production"])).code, 0);
    assert.deepEqual(await counts(given), { models: 3, projects: 0 });
    const development = await given.run(["seed", "--env", "development"]);
    assert.equal(development.code, 0);
    assert.match(
      development.stdout,
      /^Unchanged base\/10_models\.csv\nUnchanged base\/20_models\.jsonl\nRan /,
    );
    assert.deepEqual(await counts(given), { models: 3, projects: 2 });
    const test = await given.run(["seed"], { env: { ENVIRONMENT: "test" } });
    assert.equal(test.code, 0);
    assert.deepEqual(await counts(given), { models: 4, projects: 2 });
  },
);

forEachKind("seed: tells by its exit code what is wrong", async (kind) => {
  await using given = await project(kind, FILES);
  const usage = [["--env", "prodcution"], ["--env", "../base"], ["--only", "nothing*"]];
  for (const args of usage) {
    const { code, stderr } = await given.run(["seed", ...args]);
    assert.equal(code, 2, stderr);
    assert.doesNotMatch(stderr, /Waiting for database/);
  }
  const missing = await given.run(["seed", "--dir", "nowhere", "--json"]);
  assert.equal(missing.code, 1);
  assert.equal(JSON.parse(missing.stdout).error.code, "not_found");
  const unmigrated = await given.run(["seed"]);
  assert.equal(unmigrated.code, 1);
  assert.match(
    unmigrated.stderr,
    /Cannot load \.?\/?seeds\/base\/10_models\.csv: there is no table models\n/,
  );
  assert.match(unmigrated.stderr, /Hint: Run `observatory migrate` first\n/);
  await migrated(given);
  assert.equal((await given.run(["seed-status", "--exit-code"])).code, 3);
  await given.run(["seed"]);
  const status = await given.run(["seed", "status", "--exit-code"]);
  assert.equal(status.code, 0, status.stderr);
  assert.match(
    status.stdout,
    /^3 loaded, 0 pending, 0 changed, 0 missing for environment "development"$/m,
  );
});

forEachKind("seed: runs modules in the sandbox of the plugins", async (kind) => {
  const module = (body: string) =>
    `import { defineSeed, type SeedContext } from "observatory";
export default defineSeed({
  async *rows(ctx: SeedContext) {
${body}
  },
});
`;
  await using given = await project(kind, {
    ...FILES,
    "seeds/base/40_models.ts": module(
      "for (let id = 10; id < 5010; id++) yield { id, name: `model ü ${ctx.random()}` };",
    ),
  });
  await migrated(given);
  const refused = await given.run(["seed", "--no-plugins", "--only", "40_*"]);
  assert.equal(refused.code, 4);
  assert.match(
    refused.stderr,
    /Cannot load \.?\/?seeds\/base\/40_models\.ts: a seed module runs as plugins do, and --no-plugins is given\n/,
  );
  const { code, stdout, stderr } = await given.run(["seed", "--only", "40_*"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^Loaded base\/40_models\.ts: 5000 rows inserted \(\d+ ms\)\n$/);
  assert.deepEqual(
    await given.database.query(
      "SELECT count(DISTINCT name)::int AS count, max(id) AS id FROM models WHERE name ~ '^model ü 0[.][0-9]+'",
    ),
    [{ count: 5000, id: 5009 }],
  );
  const again = await given.run(["seed", "--only", "40_*"]);
  assert.equal(again.stdout, "Unchanged base/40_models.ts\n");

  const path = `${given.directory}/seeds/base/40_models.ts`;
  await Deno.writeTextFile(
    path,
    module(
      "    for (let id = 1; ; id++) {\n" +
        '      if (id === 5) throw new RangeError("no fifth");\n' +
        '      yield { id, name: "new" };\n    }',
    ),
  );
  const thrown = await given.run(["seed", "--only", "40_*"]);
  assert.equal(thrown.code, 1);
  assert.match(
    thrown.stderr,
    /40_models\.ts: the module failed: RangeError: no fifth \(\/.*\/seeds\/base\/40_models\.ts:5:27\)$/m,
  );
  assert.deepEqual(await counts(given), { models: 5000, projects: 0 });

  const { port } = new URL(given.database.url);
  await Deno.writeTextFile(
    path,
    module(`yield { id: 10, name: await fetch("http://127.0.0.1:${port}/") };`),
  );
  const net = await given.run(["seed", "--only", "40_*"]);
  assert.equal(net.code, 1);
  assert.match(
    net.stderr,
    /the module failed: NotCapable: Requires net access to .*40_models\.ts:4:\d+\)$/m,
  );

  await Deno.chmod(path, 0o666);
  const untrusted = await given.run(["seed", "--only", "40_*"]);
  assert.equal(untrusted.code, 4);
  assert.match(untrusted.stderr, /everybody may write to it \(mode 0666\)/);
  assert.deepEqual(await counts(given), { models: 5000, projects: 0 });
});

forEachKind(
  "seed: loads a large file in bounded memory, and nothing of it when it is ended",
  async (kind) => {
    await using given = await project(kind, {
      "migrations/1_tables.sql":
        "CREATE TABLE rows (id int PRIMARY KEY, a text, b text, at timestamptz)",
    });
    await migrated(given);
    const path = `${given.directory}/seeds/base/1_rows.csv`;
    await Deno.mkdir(`${given.directory}/seeds/base`, { recursive: true });
    const lines = Array.from(
      { length: 300_000 },
      (_, n) => `${n},"row ""${n}"", of many",${"x".repeat(60)},2026-01-01T00:00:00Z\n`,
    );
    await Deno.writeTextFile(path, `id,a,b,at\n${lines.join("")}`);

    const ended = await given.start(["seed"]);
    await until("rows are copied", async () =>
      (await given.database.query(
          "SELECT FROM pg_stat_progress_copy WHERE tuples_processed > 0 " +
            "AND datname = current_database()",
        )).length > 0 || ended.stderr.includes("[SUCCESS] Seeding"));
    ended.kill("SIGTERM");
    const { code } = await ended.result();
    // A machine that is fast enough may have loaded all of it by then.
    assert([143, 0].includes(code), `${code}: ${ended.stderr}`);
    const count = "SELECT count(*)::int AS count FROM rows";
    if (code === 143) {
      assert.deepEqual(await given.database.query(count), [{ count: 0 }]);
    }

    const run = await given.start(["seed", "--rerun"]);
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, peakOf(run.pid) ?? 0);
    }, 10);
    const result = await run.result();
    clearInterval(watch);
    assert.equal(result.code, 0, result.stderr);
    // Chunks are let go as they are sent: each has to arrive whole.
    const digest =
      "SELECT md5(string_agg(concat_ws(',', id, a, b), E'\\n' ORDER BY id)) AS md5 FROM rows";
    const expected = Array.from(
      { length: 300_000 },
      (_, n) => `${n},row "${n}", of many,${"x".repeat(60)}`,
    ).join("\n");
    assert.deepEqual(await given.database.query(digest), [
      { md5: createHash("md5").update(expected).digest("hex") },
    ]);
    // From its sources the program holds what it was compiled from as well.
    if (kind === "compiled" && Deno.build.os === "linux") {
      assert(peak > 20 && peak <= 128, `The peak is ${peak} MiB`);
    }
  },
);

/** The most memory that a process has had, in MiB; undefined when it is not known. */
function peakOf(pid: number): number | undefined {
  try {
    const [, kibibytes] = /VmHWM:\s*(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
    return kibibytes === undefined ? undefined : Number(kibibytes) / 1024;
  } catch {
    return undefined;
  }
}

Deno.test({
  name: "seed: shows its progress on a terminal",
  ignore: noTerminal,
  async fn() {
    await using given = await project("sources", {
      ...FILES,
      "seeds/base/30_models.sql": "SELECT 1;\n".repeat(200_000),
    });
    await migrated(given);
    const { code, stdout } = await given.run(["seed"], { terminal: true });
    assert.equal(code, 0, stdout);
    assert.match(stdout, /Loading base\/30_models\.sql · [\d.]+ [KM]iB\/1\.9 MiB \(\d+ %\)/);
  },
});
