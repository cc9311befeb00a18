import assert from "assert";
import { join } from "node:path";
import { type Build, type BuildOptions, PROJECT, RuntimeMissing } from "../tasks/build.ts";
import { isNative } from "../tasks/machine.ts";
import { makeRelease, type ReleaseOptions, TARGETS } from "../tasks/release.ts";
import { sectionOf } from "../tasks/release_notes.ts";
import { compiledProgram } from "./compiled_program.ts";
import { skipWhenMissing } from "./skip.ts";

const VERSION = "0.1.0";
const CHANGELOG = `# Changelog

## ${VERSION} (2026-01-31)

- Everything.

## 0.0.1 (2025-01-31)

- Something.
`;

/** A project that is released: a git repository with a version and a changelog. */
async function withProject(
  work: (project: string, git: (...args: string[]) => Promise<void>) => Promise<void>,
): Promise<void> {
  const project = await Deno.makeTempDir({ prefix: "observatory-release-" });
  const git = async (...args: string[]) => {
    const identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    const { success, stderr } = await new Deno.Command("git", {
      args: ["-C", project, ...identity, ...args],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  };
  try {
    await Deno.mkdir(join(project, "core"));
    await Deno.copyFile(
      join(PROJECT, "core", "version.ts"),
      join(project, "core", "version.ts"),
    );
    await Deno.writeTextFile(join(project, "CHANGELOG.md"), CHANGELOG);
    await Deno.writeTextFile(join(project, ".gitignore"), "dist\n");
    await git("init", "--quiet");
    await git("add", "--all");
    await git("commit", "--quiet", "--message", "Begin");
    await work(project, git);
  } finally {
    await Deno.remove(project, { recursive: true });
  }
}

const { path: compiled, missing } = await compiledProgram();
const ignore = skipWhenMissing("releases of the program", missing);

/** The compiled program in place of one that would be built again; others cannot be had. */
async function build({ output, target }: BuildOptions): Promise<Build> {
  if (!isNative(target)) throw new RuntimeMissing("Cannot get the runtime of the program: no way");
  await Deno.copyFile(compiled ?? "", output);
  const { stdout } = await new Deno.Command(output, { args: ["--version"] }).output();
  return {
    path: output,
    bytes: (await Deno.stat(output)).size,
    version: new TextDecoder().decode(stdout).trim(),
    licenses: "All of them\n",
  };
}

async function problems(options: Partial<ReleaseOptions> & { project: string }): Promise<string> {
  const output = join(options.project, "dist", "release");
  let message = "";
  await assert.rejects(makeRelease({ output, denort: "", build, ...options }), (error) => {
    assert(error instanceof Error);
    message = error.message;
    return true;
  });
  return message;
}

Deno.test({
  name: "makeRelease: writes programs, licences, sums that hold, and notes",
  ignore,
  async fn() {
    await withProject(async (project, git) => {
      const output = join(project, "dist", "release");
      await Deno.mkdir(output, { recursive: true });
      await Deno.writeTextFile(join(output, "left-over"), "");
      const release = await makeRelease({ output, project, denort: "", build });
      const native = TARGETS.find(isNative) ?? "";
      const program = `observatory-${VERSION}-${native}`;
      const licenses = `observatory-${VERSION}-licenses.txt`;
      const names = (await Array.fromAsync(Deno.readDir(output))).map(({ name }) => name).sort();
      assert.deepEqual(names, ["RELEASE_NOTES.md", "SHA256SUMS", program, licenses].sort());
      assert.deepEqual(release.files.map(({ name }) => name), [licenses, program].sort());
      const check = await new Deno.Command("sha256sum", {
        args: ["--check", "SHA256SUMS"],
        cwd: output,
      }).output();
      assert(check.success, new TextDecoder().decode(check.stderr));
      const others = TARGETS.filter((target) => !isNative(target));
      assert.deepEqual(Object.keys(release.skipped), others);
      const notes = await Deno.readTextFile(join(output, "RELEASE_NOTES.md"));
      for (const text of [`# observatory ${VERSION}\n`, "- Everything.\n", program, ...others]) {
        assert(notes.includes(text), text);
      }
      assert(!notes.includes("Something") && !notes.includes("draft"), notes);
      for (const { sha256 } of release.files) assert(notes.includes(sha256));
      // It can be started by whoever has it.
      assert.equal((await Deno.stat(join(output, program))).mode! & 0o111, 0o111);
      await git("diff", "--exit-code");
    });
  },
});

Deno.test("makeRelease: tells all that stands against it, and a draft tells it in its notes", async () => {
  await withProject(async (project) => {
    await Deno.writeTextFile(
      join(project, "CHANGELOG.md"),
      CHANGELOG.replace("2026-01-31", "unreleased"),
    );
    assert.equal(
      await problems({ project }),
      [
        `Cannot release ${VERSION}:`,
        "A file is not committed, such as CHANGELOG.md",
        `The section of ${VERSION} in CHANGELOG.md has no date, such as (2026-01-31)`,
        "--draft makes it all the same",
      ].join("\n"),
    );
    if (ignore) return;
    const output = join(project, "dist", "release");
    await makeRelease({ output, project, draft: true, denort: "", build });
    const notes = await Deno.readTextFile(join(output, "RELEASE_NOTES.md"));
    assert.match(notes, /A draft, not a release[^]*not committed[^]*has no date[^]*- Everything/);
  });
});

Deno.test("makeRelease: refuses a version that the changelog does not know", async () => {
  await withProject(async (project, git) => {
    await Deno.writeTextFile(
      join(project, "CHANGELOG.md"),
      "# Changelog\n\n## 0.0.1 (2025-01-31)\n",
    );
    await git("commit", "--quiet", "--all", "--message", "Forget it");
    assert.match(await problems({ project }), /CHANGELOG\.md has no section "## 0\.1\.0 \(DATE\)"/);
  });
});

Deno.test("makeRelease: with one runtime at hand only this machine's program is made", async () => {
  await withProject(async (project) => {
    const others = TARGETS.filter((target) => !isNative(target));
    const message = await problems({ project, targets: others, denort: "/some/denort" });
    assert.match(message, /no program could be made/);
    for (const target of others) assert(message.includes(`${target}: DENORT_BIN names`), message);
  });
});

Deno.test("makeRelease: keeps what is there when nothing can be made, and leaves nothing behind", async () => {
  await withProject(async (project) => {
    const output = join(project, "dist", "release");
    await Deno.mkdir(output, { recursive: true });
    await Deno.writeTextFile(join(output, "kept"), "");
    const broken = () => Promise.reject(new Error("Cannot build: no way"));
    assert.equal(await problems({ project, build: broken }), "Cannot build: no way");
    assert.match(await problems({ project, targets: ["pdp11"] }), /the targets are x86_64/);
    const left = await Array.fromAsync(Deno.readDir(join(project, "dist")));
    assert.deepEqual(left.map(({ name }) => name), ["release"]);
    await Deno.stat(join(output, "kept"));
  });
});

Deno.test("makeRelease: refuses a program that calls itself another version", async () => {
  await withProject(async (project) => {
    const other = ({ output }: BuildOptions) =>
      Promise.resolve({ path: output, bytes: 0, version: "observatory 9.9.9 (x)", licenses: "" });
    assert.match(await problems({ project, build: other }), /calls itself "observatory 9\.9\.9/);
  });
});

Deno.test("sectionOf: finds one version's section, and whether it has a date", () => {
  assert.deepEqual(sectionOf(CHANGELOG, VERSION), { dated: true, text: "- Everything." });
  assert.deepEqual(sectionOf(CHANGELOG, "0.0.1"), { dated: true, text: "- Something." });
  assert.equal(sectionOf(CHANGELOG, "0.1"), undefined);
  assert.equal(sectionOf("## 1.0.0\n\nText\n", "1.0.0")?.dated, false);
  assert.deepEqual(sectionOf("## 1.0.0 2026-01-31\r\n\r\nText\r\n", "1.0.0"), {
    dated: true,
    text: "Text",
  });
});
