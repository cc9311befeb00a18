import assert from "assert";
import { fakeHost } from "../../core/testing.ts";
import { VERSION, versionResult } from "../../core/version.ts";

Deno.test("versionResult: from sources it says so, with the machine and the runtime", async () => {
  const { data, text } = await versionResult(fakeHost());
  assert.equal(text, `observatory ${VERSION} (from sources, test-machine, test)`);
  assert.deepEqual(data, {
    version: VERSION,
    platform: "test-machine",
    runtime: "test",
    plugin_api: 1,
  });
});

Deno.test("versionResult: what was built tells its commit and date", async () => {
  const facts = JSON.stringify({ commit: "abc1234", date: "2026-01-02" });
  const host = fakeHost({ files: { "/program/build.json": facts } });
  const { data, text } = await versionResult(host);
  assert.equal(text, `observatory ${VERSION} (abc1234, 2026-01-02, test-machine, test)`);
  assert.deepEqual(data, {
    version: VERSION,
    commit: "abc1234",
    date: "2026-01-02",
    platform: "test-machine",
    runtime: "test",
    plugin_api: 1,
  });
});

Deno.test("VERSION: has three numbers", () => {
  assert.match(VERSION, /^\d+\.\d+\.\d+$/);
});
