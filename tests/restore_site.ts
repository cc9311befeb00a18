/** A database to back up, places for its backups, and restores of them, in this process. */
import assert from "assert";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { join } from "node:path";
import type { Manifest } from "../plugins/repository/manifest.ts";
import type { ServerAddress } from "../tasks/server.ts";
import { openDatabase, sharedServer, type TestDatabase, uniqueName } from "./database.ts";
import { migrationProject, type ProjectRun, type ProjectRunOptions } from "./migration_project.ts";
import { freshBucket, type TestBucket } from "./s3.ts";

/** What a site is made of. */
export interface RestoreSite extends AsyncDisposable {
  readonly source: TestDatabase;
  readonly directory: string;
  /** The directory of the backups. */
  readonly backups: string;
  readonly bucket: TestBucket;
  /** A key pair of age: the recipient, and the file with the identity. */
  readonly recipient: string;
  readonly identity: string;
  /** Backs the source up, which must work. */
  backup(args?: readonly string[], options?: ProjectRunOptions): Promise<Manifest>;
  /** Runs a line whose target is a database. */
  run(
    target: TestDatabase,
    args: readonly string[],
    options?: ProjectRunOptions,
  ): Promise<ProjectRun>;
  /** Restores, which must work; without a question. */
  restore(
    target: TestDatabase,
    args: readonly string[],
    options?: ProjectRunOptions,
  ): Promise<ProjectRun>;
  /** A database that is not there yet, dropped at the end with what restores have made beside it. */
  absent(server?: ServerAddress): Promise<TestDatabase>;
}

/** Makes a site; the database goes with it. */
export async function restoreSite(source: TestDatabase): Promise<RestoreSite> {
  await using stack = new AsyncDisposableStack();
  stack.use(source);
  const project = stack.use(await migrationProject({ withoutDatabase: true }));
  const bucket = stack.use(await freshBucket());
  const { directory } = project;
  const backups = join(directory, "backups");
  const secret = await generateIdentity();
  const recipient = await identityToRecipient(secret);
  const identity = join(directory, "key.txt");
  await Deno.writeTextFile(identity, `# a comment\n${secret}\n`, { mode: 0o600 });
  const run: RestoreSite["run"] = (target, args, given = {}) =>
    project.run(args, {
      ...given,
      env: {
        PATH: Deno.env.get("PATH") ?? "",
        ...bucket.env,
        DATABASE_URL: target.url,
        ...given.env,
      },
    });
  const own = stack.move();
  return {
    source,
    directory,
    backups,
    bucket,
    recipient,
    identity,
    run,
    async backup(args, given) {
      const { exit, stdout, stderr } = await run(
        source,
        ["backup", "--no-prune", "--json", ...args ?? []],
        given,
      );
      assert.equal(exit, 0, stderr + stdout);
      return JSON.parse(stdout).data.manifest;
    },
    async restore(target, args, given) {
      const done = await run(target, ["restore", ...args, "--force"], given);
      assert.equal(done.exit, 0, `restore ${args.join(" ")}\n${done.stderr}${done.stdout}`);
      return done;
    },
    async absent(given) {
      const server = given ?? await sharedServer();
      const database = openDatabase(server, uniqueName("restored"));
      const drop = () => dropWithOthers(server, database);
      own.defer(drop);
      return { ...database, drop, [Symbol.asyncDispose]: drop };
    },
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

/** The databases of a server whose names begin with one: the database itself, and what stands beside it. */
export async function databasesBeside(
  server: ServerAddress,
  { name }: Pick<TestDatabase, "name">,
): Promise<string[]> {
  const rows = await openDatabase(server, "postgres").query<{ name: string }>(
    "SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1",
    [name],
  );
  return rows.map((row) => row.name);
}

async function dropWithOthers(server: ServerAddress, database: TestDatabase): Promise<void> {
  for (const name of await databasesBeside(server, database)) {
    await openDatabase(server, name).drop();
  }
}
