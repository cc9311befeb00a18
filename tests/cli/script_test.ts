/** `script` from outside: the executables of SCRIPTS_DIR as commands. */
import assert from "assert";
import { join } from "node:path";
import { forEachKind, type Kind, runProgram } from "../program.ts";
import { directoryWith, type FilesByPath, type Project, project } from "./project.ts";

const REPORT = `#!/bin/sh
printf '%s|' "$0" "$@"
echo "$PGDATABASE"
cat
exit "\${CODE:-0}"
`;

/** A project whose files of these paths are executable. */
async function withScripts(kind: Kind, files: FilesByPath): Promise<Project> {
  const given = await project(kind, files);
  for (const path of Object.keys(files).filter((each) => !each.endsWith(".md"))) {
    await Deno.chmod(join(given.directory, path), 0o755);
  }
  return given;
}

/** A database that nothing answers for. */
const NOBODY = { DATABASE_URL: "postgres://app@127.0.0.1:1/x" };

forEachKind("script: lists the executables of SCRIPTS_DIR, without a database", async (kind) => {
  await using directory = await directoryWith({
    "ops/report.sh": REPORT,
    "ops/prune": REPORT,
    "ops/README.md": "not executable",
    "ops/.hidden": REPORT,
  });
  for (const name of ["report.sh", "prune", ".hidden"]) {
    await Deno.chmod(join(directory.path, "ops", name), 0o755);
  }
  const options = { kind, cwd: directory.path, env: { ...NOBODY, SCRIPTS_DIR: "ops" } };
  const text = await runProgram(["script"], options);
  assert.deepEqual([text.code, text.stdout], [0, "prune\nreport.sh\n"], text.stderr);
  const json = await runProgram(["script", "--json"], options);
  assert.deepEqual(JSON.parse(json.stdout).data, {
    directory: "ops",
    scripts: [{ name: "prune", path: "ops/prune" }, { name: "report.sh", path: "ops/report.sh" }],
  });
});

forEachKind("script: none, and no directory, are told", async (kind) => {
  await using directory = await directoryWith({ "scripts/README.md": "" });
  const options = { kind, cwd: directory.path, env: NOBODY };
  const none = await runProgram(["script"], options);
  assert.equal(none.stdout, 'No executable scripts in SCRIPTS_DIR, which is "./scripts"\n');
  const missing = await runProgram(["script"], {
    ...options,
    env: { ...NOBODY, SCRIPTS_DIR: "elsewhere" },
  });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /Cannot list directory "elsewhere"/);
});

forEachKind("script: runs with the connection, our streams and its arguments", async (kind) => {
  await using given = await withScripts(kind, { "scripts/report.sh": REPORT });
  const path = await Deno.realPath(join(given.directory, "scripts/report.sh"));
  for (const name of ["report", "report.sh"]) {
    const { code, stdout, stderr } = await given.run(
      ["script", name, "a b", "--", "--verbose", "-x"],
      { stdin: "typed\n" },
    );
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `${path}|a b|--verbose|-x|${given.database.name}\ntyped\n`);
  }
});

forEachKind("script: a failing one is exit 1, its own code among the details", async (kind) => {
  await using given = await withScripts(kind, { "scripts/report.sh": REPORT });
  const { code, stderr } = await given.run(["script", "report"], { env: { CODE: "7" } });
  assert.equal(code, 1);
  assert.match(stderr, /\[ERROR\] The script ".*report\.sh" ended with exit code 7$/m);
});

forEachKind(
  "script: an unclear or unknown name is exit 2, and says what there is",
  async (kind) => {
    await using given = await withScripts(kind, {
      "scripts/report.sh": REPORT,
      "scripts/report.py": REPORT,
      "scripts/report.md": "",
    });
    const unclear = await given.run(["script", "report"]);
    assert.equal(unclear.code, 2);
    assert.match(unclear.stderr, /More than one script is called "report"/);
    assert.match(unclear.stderr, /Hint: Name its file: report\.py, report\.sh$/m);
    const unknown = await given.run(["script", "nothing"]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /There is no script "nothing"/);
    const json = await given.run(["script", "report.sh", "--json"]);
    assert.deepEqual([json.code, JSON.parse(json.stdout).error.kind], [2, "usage"]);
  },
);

forEachKind(
  "script: what leads out of SCRIPTS_DIR, or is no executable, is refused",
  async (kind) => {
    await using given = await withScripts(kind, { "outside.sh": REPORT, "scripts/notes.md": "" });
    await Deno.symlink("../outside.sh", join(given.directory, "scripts/link.sh"));
    const link = await given.run(["script", "link"]);
    assert.equal(link.code, 4);
    assert.match(link.stderr, /it does not lie in the directory of the scripts/);
    const path = await given.run(["script", "../outside.sh"]);
    assert.equal(path.code, 2);
    assert.match(path.stderr, /There is no script "\.\.\/outside\.sh"/);
    const notes = await given.run(["script", "notes"]);
    assert.equal(notes.code, 4);
    assert.match(notes.stderr, /it is not executable$/m);
    assert.match(notes.stderr, /Hint: Run: chmod \+x \.\/scripts\/notes\.md$/m);
  },
);
