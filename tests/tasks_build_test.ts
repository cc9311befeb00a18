import assert from "assert";
import { join } from "node:path";
import { buildProgram, PROJECT } from "../tasks/build.ts";
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
