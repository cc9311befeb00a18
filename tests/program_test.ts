import assert from "assert";
import { PROJECT } from "../tasks/build.ts";
import { forEachKind, programOf, runProgram, startProgram, terminalMissing } from "./program.ts";
import { skipWhenMissing } from "./skip.ts";

/** One setting as `config --json` tells it. */
interface Setting {
  readonly name: string;
  readonly value: string | null;
  readonly origin: string;
}

const noTerminal = skipWhenMissing("runs with a terminal", await terminalMissing());

forEachKind("runProgram: tells the exit code and both streams apart", async (kind) => {
  const right = await runProgram(["--version"], { kind });
  assert.equal(right.code, 0);
  assert.match(right.stdout, /^observatory \d+\.\d+\.\d+ \(/);
  assert.equal(right.stderr, "");
  const wrong = await runProgram(["no-such-command"], { kind });
  assert.equal(wrong.code, 2);
  assert.equal(wrong.stdout, "");
  assert.match(wrong.stderr, /no-such-command/);
});

forEachKind("runProgram: the compiled program is a build, the sources are not", async (kind) => {
  const { stdout } = await runProgram(["--version"], { kind });
  assert.equal(stdout.includes("from sources"), kind === "sources", stdout);
});

forEachKind("runProgram: hands over the environment given and no other", async (kind) => {
  const env = { DB_HOST: "db.example", DB_NAME: "given" };
  const { stdout } = await runProgram(["config", "--json"], { kind, env });
  const { data }: { data: { settings: Setting[] } } = JSON.parse(stdout);
  const origins = new Map(
    data.settings.map((each) => [each.name, `${each.value} ${each.origin}`]),
  );
  assert.match(origins.get("DB_HOST") ?? "", /^db\.example env/);
  assert.match(origins.get("DB_USER") ?? "", /default$/);
});

Deno.test("startProgram: a run that is too slow is killed and fails", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const run = await startProgram(["migrate", "--dry-run"], {
    cwd: PROJECT,
    env: { DB_HOST: "127.0.0.1", DB_PORT: String(silent.addr.port) },
    timeoutMs: 1000,
  });
  await assert.rejects(run.result(), /The run took longer than 1000 ms; stdout: /);
});

Deno.test("startProgram: waiting for words that never come fails at the run's end", async () => {
  const run = await startProgram(["--version"]);
  await assert.rejects(run.until(/never/), /The run ended before it wrote \/never\/; stdout: obs/);
  await run.result();
});

Deno.test("programOf: the sources run with the restrictions of the compiled program", async () => {
  const { command } = await programOf("sources");
  assert.ok(command.includes("--v8-flags=--disallow-code-generation-from-strings"));
  assert.ok(command.includes("--no-prompt"));
});

Deno.test({
  name: "runProgram: gives a terminal when asked to",
  ignore: noTerminal,
  async fn() {
    const { code, stdout } = await runProgram(["--version"], { terminal: true });
    assert.equal(code, 0);
    assert.match(stdout, /^observatory .*\r\n$/);
  },
});
