/**
 * The benchmarks: `deno task bench [SUITE…]`. Each tells a ratio against a named
 * peer or limit, measured in one run. sqlx-cli takes part when `SQLX` names its
 * binary or it is on the PATH; dbmate comes from npm; psql must be installed. `backup` needs aws (the
 * AWS CLI, or what \`AWS\` names) and versitygw on the PATH; \`BACKUP_ROUNDS\` sets its rounds, and
 * \`BACKUP_CASES\` (default, gzip:1, none; zstd:3 where pg_dump knows it) and \`BACKUP_DATA\` (noise,
 * text) what is measured.
 */
import { startServer } from "../tasks/server.ts";
import { type Bench, findBench } from "./subjects.ts";
import { backupSuite } from "./backup.ts";
import { restoreSuite } from "./restore.ts";
import { startSuite } from "./start.ts";
import { hugeFileSuite, manyPendingSuite, nothingPendingSuite } from "./migrate.ts";
import { pluginsSuite } from "./plugins.ts";
import { rowsSuite } from "./rows.ts";
import { seedCsvSuite } from "./seed_csv.ts";

const SUITES: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  "start": startSuite,
  "no-op": nothingPendingSuite,
  "pending": manyPendingSuite,
  "huge-file": hugeFileSuite,
  "seed-csv": seedCsvSuite,
  "rows": rowsSuite,
  "plugins": pluginsSuite,
  "backup": backupSuite,
  "restore": restoreSuite,
};

const asked = Deno.args.length > 0 ? Deno.args : Object.keys(SUITES);
const unknown = asked.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  console.error(`Unknown suite ${unknown.join(", ")}; there are ${Object.keys(SUITES).join(", ")}`);
  Deno.exit(2);
}
// Durable settings, as in production: commits are part of what is measured.
await using directory = await diskDirectory();
await using server = await startServer({
  directory: directory.path,
  settings: {
    fsync: "on",
    synchronous_commit: "on",
    full_page_writes: "on",
    shared_buffers: "128MB",
  },
});
await using bench = await findBench(server);
for (const name of asked) await SUITES[name]?.(bench);

/** A directory on the disk: throw-away servers else keep their data in memory. */
async function diskDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ dir: "/var/tmp", prefix: "observatory-bench-" });
  await Deno.chmod(path, 0o777);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
