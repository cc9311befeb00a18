/** Sessions that waited for each other: the backup is not to blame. */
import assert from "assert";
import { clientToolsMissing, freshDatabase } from "../database.ts";
import { restoreSite } from "../restore_site.ts";
import { skipWhenMissing } from "../skip.ts";
import { makeShim } from "./shim.ts";

const ignore = skipWhenMissing("restores that meet a deadlock", await clientToolsMissing());

/** What pg_restore writes of it, word for word but for the names. */
const DEADLOCK = String.raw`[[ "$*" == *--dbname=* ]] || { whole; exit $?; }
printf '%s\n' \
  'pg_restore: while PROCESSING TOC:' \
  'pg_restore: from TOC entry 3210; 0 0 INDEX ATTACH part_pkey postgres' \
  'pg_restore: error: could not execute query: ERROR:  deadlock detected' >&2; exit 1`;

Deno.test({
  name: "backup verify: a deadlock of the trial tells nothing of the backup",
  ignore,
  async fn() {
    await using site = await restoreSite(await freshDatabase({ sql: "CREATE TABLE item (n int)" }));
    await using shim = await makeShim();
    const { id } = await site.backup();
    const args = ["backup", "verify", id, "--level=restore", `--on=${site.source.url}`, "--json"];
    const { exit, stdout, stderr } = await site.run(site.source, args, {
      env: { PG_BIN_DIR: shim.directory, FAULT_RESTORE: DEADLOCK },
    });
    assert.equal(exit, 1, stderr);
    const { error } = JSON.parse(stdout);
    assert.equal(error.code, "restore_failed");
    assert.match(error.message, /INDEX ATTACH.*deadlock detected/);
    assert.match(error.hint, /restore again, or with --jobs 1/);
    // No result is kept that would have the backup be thought bad.
    const listed = await site.run(site.source, ["backup", "list", "--json"]);
    assert.equal(JSON.parse(listed.stdout).data.backups[0].verified, null);
  },
});
