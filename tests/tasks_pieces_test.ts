import assert from "assert";
import { join } from "node:path";
import { indexOf, placePieces, runtimeEndOf } from "../tasks/pieces.ts";
import { compiledProgram } from "./compiled_program.ts";
import { skipWhenMissing } from "./skip.ts";

const { missing, path } = await compiledProgram();
const noBuild = skipWhenMissing("the pieces of the program", missing);

/** An ELF file of 64 bits whose table of two sections is its end. */
function runtime(): Uint8Array {
  const bytes = new Uint8Array(200).fill(7);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  view.setBigUint64(40, 72n, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 2, true);
  return bytes;
}

async function withProgram(
  appended: string,
  work: (program: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  const program = join(directory, "program");
  const end = new TextEncoder().encode(appended);
  await Deno.writeFile(program, new Uint8Array([...runtime(), ...end]), { mode: 0o755 });
  await work(program);
  await Deno.remove(directory, { recursive: true });
}

const PIECES = ["one", "", "three"].map((text, index) => ({
  file: `${index}.js`,
  contents: new TextEncoder().encode(text),
}));

Deno.test("placePieces: puts the pieces where the index tells, between the runtime and what is appended", async () => {
  const appended = "d3n0l4nd and what follows";
  await withProgram(appended, async (program) => {
    const end = await runtimeEndOf(program);
    assert(end !== undefined);
    assert.equal(end, 200);
    await placePieces(program, { pieces: PIECES, end });
    const bytes = await Deno.readFile(program);
    assert.deepEqual(bytes.subarray(0, 200), runtime());
    const text = (from: number, to?: number) => new TextDecoder().decode(bytes.slice(from, to));
    const index: Record<string, [number, number]> = JSON.parse(indexOf(PIECES, end));
    const found = Object.entries(index).map(([file, [offset, length]]) => [
      file,
      text(offset, offset + length),
    ]);
    assert.deepEqual(found, [["0.js", "one"], ["1.js", ""], ["2.js", "three"]]);
    assert.equal(text(208), appended);
    assert.equal((await Deno.stat(program)).mode! & 0o777, 0o755);
  });
});

Deno.test("runtimeEndOf: knows no end where something else is appended, or nothing", async () => {
  for (const appended of ["something else", ""]) {
    await withProgram(appended, async (program) => {
      assert.equal(await runtimeEndOf(program), undefined);
    });
  }
});

Deno.test("runtimeEndOf: knows no end of what is no ELF file", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, "#!/bin/sh\n".repeat(20));
  assert.equal(await runtimeEndOf(file), undefined);
  await Deno.remove(file);
});

Deno.test({
  name:
    "the program: reads its pieces under other names, and when its own is another file meanwhile",
  ignore: noBuild,
  async fn() {
    const directory = await Deno.makeTempDir();
    const [link, copy] = [join(directory, "linked"), join(directory, "copied")];
    await Deno.symlink(path ?? "", link);
    await Deno.copyFile(path ?? "", copy);
    const start = (program: string, args: readonly string[]) =>
      new Deno.Command(program, {
        args: [...args],
        cwd: directory,
        clearEnv: true,
        env: { PATH: Deno.env.get("PATH") ?? "", NO_COLOR: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    for (const program of [link, copy]) {
      // Backups are read by scripts that no start reads.
      const { success, stdout } = await start(program, ["backup", "list", "--json"]).output();
      assert(success);
      assert.equal(JSON.parse(new TextDecoder().decode(stdout)).ok, true);
    }
    // A pipe, whose end it waits for while the program is replaced, as an upgrade does it.
    const settings = join(directory, "settings");
    assert((await new Deno.Command("mkfifo", { args: [settings] }).output()).success);
    const running = start(copy, ["backup", "list", "--json", "--env-file", settings]);
    const pipe = await Deno.open(settings, { write: true });
    const other = join(directory, "other");
    await Deno.writeTextFile(other, "#!/bin/sh\n");
    await Deno.rename(other, copy);
    await pipe.write(new TextEncoder().encode("BACKUPS_DIR=.\n"));
    pipe.close();
    const { success, stderr } = await running.output();
    assert(success, new TextDecoder().decode(stderr));
    await Deno.remove(directory, { recursive: true });
  },
});
