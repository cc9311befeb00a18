import assert from "assert";
import { fakeHost } from "../../core/testing.ts";
import { OperationError } from "../../core/plugin.ts";
import {
  type Environment,
  environmentOf,
  listSeedFiles,
  plainDirectory,
} from "../../plugins/seed/files.ts";

const DEVELOPMENT: Environment = { name: "development", asked: false };

/** Lists files, with what was logged. */
async function list(
  stored: Readonly<Record<string, string>>,
  options: { readonly environment?: Environment; readonly only?: readonly string[] } = {},
) {
  const logged: string[] = [];
  const note = (level: string) => (message: string) => void logged.push(`${level}: ${message}`);
  const files = await listSeedFiles({
    files: fakeHost({ files: stored }).files,
    log: { debug: note("debug"), info: note("info"), success: note("success"), warn: note("warn") },
  }, { directory: "./seeds/", environment: DEVELOPMENT, only: [], ...options });
  return { names: files.map(({ name }) => name), files, logged };
}

const config = (value: string | undefined) => ({
  config: {
    get: () => value,
    entries: () => Promise.resolve([]),
    problems: () => Promise.resolve([]),
  },
});

Deno.test("listSeedFiles: takes base first, then the environment, each in the order of bytes", async () => {
  const { names, files, logged } = await list({
    "seeds/development/001_first.sql": "",
    "seeds/base/b.csv": "x\n",
    "seeds/base/a.sql": "",
    "seeds/base/B.jsonl": "",
    "seeds/base/10.sql": "",
    "seeds/base/9.sql": "",
    "seeds/base/deeper/1.sql": "",
    "seeds/test/001.sql": "",
  });
  assert.deepEqual(names, [
    "base/10.sql",
    "base/9.sql",
    "base/B.jsonl",
    "base/a.sql",
    "base/b.csv",
    "development/001_first.sql",
  ]);
  assert.deepEqual(files.at(-2), {
    name: "base/b.csv",
    path: "seeds/base/b.csv",
    fileName: "b.csv",
    type: "csv",
    size: 2,
  });
  assert.deepEqual(logged, ["debug: seeds/base/deeper is no seed file"]);
});

Deno.test("listSeedFiles: warns of names that were most likely meant to be loaded", async () => {
  const { names, logged } = await list({
    "seeds/loose.sql": "",
    "seeds/README.md": "",
    "seeds/base/a.SQL": "",
    "seeds/base/.hidden.sql": "",
    "seeds/base/README.md": "",
  });
  assert.deepEqual(names, []);
  assert.deepEqual(logged, [
    "warn: seeds/loose.sql is not loaded: seeds are in seeds/base and in a directory for each environment",
    "debug: seeds/base/.hidden.sql is no seed file",
    "debug: seeds/base/README.md is no seed file",
    "warn: seeds/base/a.SQL is not loaded: names of seed files end in .sql, .csv, .jsonl, .ts or .js",
  ]);
});

Deno.test("listSeedFiles: production is base alone, unless there is a directory of that name", async () => {
  const environment = { name: "production", asked: true };
  const stored = { "seeds/base/1.sql": "", "seeds/development/2.sql": "" };
  assert.deepEqual((await list(stored, { environment })).names, ["base/1.sql"]);
  assert.deepEqual(
    (await list({ ...stored, "seeds/production/3.sql": "" }, { environment })).names,
    ["base/1.sql", "production/3.sql"],
  );
});

Deno.test("listSeedFiles: refuses an unknown environment of the flag, warns of the setting's", async () => {
  const stored = { "seeds/base/1.sql": "", "seeds/demo/2.sql": "" };
  await assert.rejects(list(stored, { environment: { name: "dmeo", asked: true } }), (error) => {
    assert(error instanceof OperationError);
    assert.equal(error.kind, "usage");
    assert.match(error.message, /no seeds for the environment "dmeo" in seeds/);
    assert.equal(error.hint, "The directories there are: base, demo");
    return true;
  });
  const { names, logged } = await list(stored, { environment: { name: "ci", asked: false } });
  assert.deepEqual(names, ["base/1.sql"]);
  assert.match(logged[0] ?? "", /^warn: .*"ci" of ENVIRONMENT.*only base is loaded/);
});

Deno.test("listSeedFiles: chooses by name or path, in the usual order, each file once", async () => {
  const stored = {
    "seeds/base/10_a.csv": "",
    "seeds/base/20_b.csv": "",
    "seeds/development/10_c.sql": "",
  };
  const names = async (...only: string[]) => (await list(stored, { only })).names;
  assert.deepEqual(await names("20*", "base/*"), ["base/10_a.csv", "base/20_b.csv"]);
  assert.deepEqual(await names("10_*"), ["base/10_a.csv", "development/10_c.sql"]);
  assert.deepEqual(await names("development/**"), ["development/10_c.sql"]);
  await assert.rejects(names("10_*", "nothing"), {
    kind: "usage",
    message: 'The pattern "nothing" of --only matches no seed file',
    hint: "The files are: base/10_a.csv, base/20_b.csv, development/10_c.sql",
  });
});

Deno.test("listSeedFiles: tells how to name a directory that is missing", async () => {
  await assert.rejects(list({ "other/base/1.sql": "" }), {
    code: "not_found",
    hint: "Name it with --dir or SEEDS_DIR, or make it with a directory base in it",
  });
});

Deno.test("environmentOf: takes the flag before the setting, and knows short spellings", () => {
  assert.deepEqual(environmentOf(config("production"), "test"), { name: "test", asked: true });
  assert.deepEqual(environmentOf(config("production"), undefined), {
    name: "production",
    asked: false,
  });
  assert.equal(environmentOf(config(undefined), undefined).name, "development");
  assert.equal(environmentOf(config(undefined), "PROD").name, "production");
  assert.equal(environmentOf(config(undefined), "dev").name, "development");
  for (const name of ["", " ", "base", "..", ".git", "a/b", "a\\b"]) {
    assert.throws(() => environmentOf(config(undefined), name), { kind: "usage" }, name);
  }
});

Deno.test("plainDirectory: leaves out what says nothing", () => {
  assert.equal(plainDirectory("./seeds//"), "seeds");
  assert.equal(plainDirectory("/"), "/");
  assert.equal(plainDirectory("."), ".");
  assert.equal(plainDirectory("../seeds"), "../seeds");
});
