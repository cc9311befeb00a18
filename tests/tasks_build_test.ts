import assert from "assert";
import { join } from "node:path";
import { buildProgram, PROJECT } from "../tasks/build.ts";
import { packPackages } from "../tasks/bundle.ts";
import { compiledProgram, findRuntime } from "./compiled_program.ts";
import { runProgram } from "./program.ts";
import { skipWhenMissing } from "./skip.ts";

const { path = "", missing } = await compiledProgram();
const noBuild = skipWhenMissing("builds of the program", missing);
const runtime = await findRuntime();

Deno.test("buildProgram: a runtime that is named and not there is told", async () => {
  await assert.rejects(
    buildProgram({ output: "/nowhere/observatory", denort: "/nowhere/denort" }),
    /Cannot build with the runtime "\/nowhere\/denort"/,
  );
});

// Without a runtime of its own at hand Deno downloads the right one, and all is well.
if (runtime !== undefined) {
  Deno.test("buildProgram: does not pass one machine's program off as another's", async () => {
    const directory = await Deno.makeTempDir();
    const output = join(directory, "observatory");
    const other = Deno.build.arch === "aarch64" ? "x86_64" : "aarch64";
    for (const target of [`${other}-unknown-linux-gnu`, "x86_64-pc-windows-msvc"]) {
      await assert.rejects(
        buildProgram({ output, target, denort: runtime }),
        new RegExp(`Cannot build for ${target}: the runtime is for linux`),
      );
    }
    // An empty directory alone can be removed so.
    await Deno.remove(directory);
  });
}

// Deno fetches the bundler with its first use: of two that do so at once, one fails now and then.
Deno.test("packPackages: no two processes of the bundler run at once", async () => {
  const stage = await Deno.makeTempDir({ prefix: "observatory-build-test-" });
  const Command = Deno.Command;
  let [running, most] = [0, 0];
  Deno.Command = class extends Command {
    override async output(): Promise<Deno.CommandOutput> {
      most = Math.max(most, ++running);
      try {
        return await super.output();
      } finally {
        running--;
      }
    }
  };
  try {
    for (const loaders of ["core/sandbox", "plugins/repository"]) {
      await Deno.mkdir(join(stage, loaders), { recursive: true });
    }
    for (const file of ["deno.json", "deno.lock"]) {
      await Deno.copyFile(join(PROJECT, file), join(stage, file));
    }
    const packs = await packPackages(stage);
    assert.deepEqual(packs.map(({ file }) => file), ["plugins.js.br", "s3.js.br", "age.js.br"]);
    for (const { file, contents, sources } of packs) {
      assert.ok(contents.length > 10_000 && sources.length > 0, file);
    }
    assert.equal(most, 1);
  } finally {
    Deno.Command = Command;
    await Deno.remove(stage, { recursive: true });
  }
});

Deno.test({
  name: "buildProgram: the program tells what it was built from, the tree stays as it was",
  ignore: noBuild,
  async fn() {
    const { stdout } = await runProgram(["--version"], { kind: "compiled" });
    assert.match(
      stdout,
      /^observatory \d+\.\d+\.\d+ \((unknown|[0-9a-f]{7,}(-modified)?), \d{4}-\d\d-\d\d, \w+-\w+, deno \d/,
    );
    await assert.rejects(Deno.stat(join(PROJECT, "core", "build.json")), Deno.errors.NotFound);
  },
});

Deno.test({
  name: "buildProgram: the program is smaller than 100 MB",
  ignore: noBuild,
  async fn() {
    assert((await Deno.stat(path)).size < 100_000_000);
  },
});

Deno.test({
  name: "buildProgram: the program writes no cache of its code",
  ignore: noBuild,
  async fn() {
    const directory = await Deno.makeTempDir();
    const { code } = await runProgram(["help"], { kind: "compiled", env: { TMPDIR: directory } });
    assert.equal(code, 0);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(directory)), []);
    await Deno.remove(directory);
  },
});
