/** A database with a place for its backups, runs of the program on both, and what becomes of them. */
import assert from "assert";
import { basename, dirname, join } from "node:path";
import type { Manifest } from "../plugins/repository/manifest.ts";
import type { ServerAddress } from "../tasks/server.ts";
import { runClient } from "./client_majors.ts";
import { manifestProblems } from "./manifest_schema.ts";
import { clientTools, freshDatabase, sharedServer, type TestDatabase } from "./database.ts";
import {
  type MigrationProject,
  migrationProject,
  type ProjectOptions,
  type ProjectRun,
  type ProjectRunOptions,
} from "./migration_project.ts";

/** A project whose runs know where PostgreSQL's programs and the backups are. */
export interface BackupProject extends MigrationProject {
  /** The directory of the backups. */
  readonly backups: string;
  /** Backs up, which must work. */
  backup(args?: readonly string[], options?: ProjectRunOptions): Promise<MadeBackup>;
  /** The files below the directory of the backups, sorted; none when it is not there. */
  files(): Promise<string[]>;
}

/** A backup that was made. */
export interface MadeBackup extends ProjectRun {
  readonly manifest: Manifest;
  /** The path of its file, or directory, with the dump. */
  readonly dump: string;
}

/** Makes a project. */
export async function backupProject(
  options: ProjectOptions & { readonly sql?: string } = {},
): Promise<BackupProject> {
  const project = await migrationProject(options);
  if (options.sql !== undefined) {
    await project.database.query(options.sql).catch(async (error) => {
      await project[Symbol.asyncDispose]();
      throw error;
    });
  }
  const backups = join(project.directory, "backups");
  const withPlaces = (given: ProjectRunOptions = {}): ProjectRunOptions => ({
    ...given,
    env: { PATH: Deno.env.get("PATH") ?? "", ...given.env },
  });
  return {
    ...project,
    backups,
    run: (args, given) => project.run(args, withPlaces(given)),
    start: (args, given) => project.start(args, withPlaces(given)),
    async backup(args, given) {
      const run = await project.run(["backup", "--json", ...args ?? []], withPlaces(given));
      assert.equal(run.exit, 0, run.stdout + run.stderr);
      const { data } = JSON.parse(run.stdout);
      const manifest: Manifest = data.manifest;
      assert.deepEqual(manifestProblems(manifest), []);
      const [file] = manifest.files.filter(({ name }) => name !== manifest.globals);
      const name = file?.name.replace(/\/.*$/, "") ?? "";
      return { ...run, manifest, dump: join(data.locations[0], name) };
    },
    files: () => filesBelow(backups),
  };
}

/**
 * Makes a directory with PostgreSQL's programs, for `PG_BIN_DIR`, whose pg_dump pauses after the
 * first bytes: what is done in the midst of a dump can be seen, or disturbed.
 *
 * @param options.after how many bytes come before the pause
 * @param options.seconds how long it is
 */
export async function slowPrograms(
  directory: string,
  { after, seconds }: { readonly after: number; readonly seconds: number },
): Promise<string> {
  const path = join(directory, "slow-programs");
  await Deno.mkdir(path);
  const { psql = "", pgDump = "", pgRestore = "" } = await clientTools() ?? {};
  for (const program of [psql, pgRestore, join(dirname(pgDump), "pg_dumpall")]) {
    await Deno.symlink(program, join(path, basename(program)));
  }
  const script = [
    "#!/bin/bash",
    "set -o pipefail",
    `case "$*" in *--version*|*--format=directory*) exec ${pgDump} "$@" ;; esac`,
    `${pgDump} "$@" | { head -c ${after}; sleep ${seconds}; exec cat; }`,
    "",
  ];
  await Deno.writeTextFile(join(path, "pg_dump"), script.join("\n"), { mode: 0o755 });
  return path;
}

/** The files below a directory, relative to it and sorted; none when it is not there. */
export async function filesBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(directory)) {
      if (!isDirectory) found.push(name);
      else {found.push(...(await filesBelow(join(directory, name))).map((each) =>
          `${name}/${each}`
        ));}
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}

/** The shell's lines of a manifest, run as an operator would, in the directory of the backup. */
export async function restoreByHand(
  manifest: Manifest,
  { directory, bin, server: given, replace = {} }: {
    readonly directory: string;
    /** By default the shared one, where the database must not be there any more. */
    readonly server?: Pick<ServerAddress, "host" | "port">;
    /** The directory of PostgreSQL's programs; by default where they are found. */
    readonly bin?: string;
    /** What the operator puts into the lines. */
    readonly replace?: Readonly<Record<string, string>>;
  },
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const server = given ?? await sharedServer();
  const programs = bin ?? (await clientTools())?.psql.replace(/\/psql$/, "") ?? "";
  let script = manifest.restore_by_hand.join("\n");
  for (const [word, value] of Object.entries(replace)) script = script.replaceAll(word, value);
  const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
    args: ["-euc", script],
    cwd: directory,
    clearEnv: true,
    env: {
      PATH: `${programs}:/usr/bin:/bin`,
      PGHOST: server.host,
      PGPORT: String(server.port),
      PGUSER: "postgres",
      LC_ALL: "C.UTF-8",
    },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Another database of the same server, into which a dump is restored by PostgreSQL's own programs. */
export async function restored(
  { manifest, dump }: MadeBackup,
  { into, bin, args = [] }: {
    readonly into?: TestDatabase;
    readonly bin?: string;
    readonly args?: readonly string[];
  } = {},
): Promise<TestDatabase> {
  const target = into ?? await freshDatabase({ prefix: "restored" });
  const tools = await clientTools();
  const [psql = "", pgRestore = ""] = bin === undefined
    ? [tools?.psql, tools?.pgRestore]
    : [join(bin, "psql"), join(bin, "pg_restore")];
  const { code, stderr } = manifest.format === "plain"
    ? await runClient(psql, {
      args: [
        ...["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"],
        ...[`--dbname=${target.url}`, ...args],
      ],
      stdin: await scriptOf({ manifest, dump }),
    })
    : await runClient(pgRestore, {
      args: ["--exit-on-error", `--dbname=${target.url}`, ...args, dump],
    });
  assert.equal(code, 0, stderr);
  return target;
}

async function scriptOf(
  { manifest, dump }: Pick<MadeBackup, "manifest" | "dump">,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await Deno.readFile(dump);
  if (manifest.compression.method === "none") return bytes;
  const { gunzipSync, zstdDecompressSync } = await import("node:zlib");
  const open = manifest.compression.method === "gzip" ? gunzipSync : zstdDecompressSync;
  return new Uint8Array(open(bytes));
}

/** What pg_dump tells of a database's definitions, line by line. */
export async function definitionsOf({ url }: TestDatabase): Promise<string[]> {
  const { code, stdout, stderr } = await runClient((await clientTools())?.pgDump ?? "", {
    args: ["--schema-only", `--dbname=${url}`],
  });
  assert.equal(code, 0, stderr);
  return new TextDecoder().decode(stdout).split("\n").filter((line) =>
    !/^\\(un)?restrict /.test(line)
  );
}

/** Each table's and large object's contents, the order of rows aside, and each sequence's value. */
export async function contentsOf(database: TestDatabase): Promise<Record<string, string>> {
  const relations = await database.query<{ name: string; kind: string }>(
    `SELECT c.oid::regclass::text AS name, relkind::text AS kind FROM pg_class c
      JOIN pg_namespace n ON n.oid = relnamespace
     WHERE relkind IN ('r', 'm', 'S') AND relispopulated AND nspname !~ '^(pg_|information_schema$|_timescaledb|observatory$)'
     ORDER BY 1`,
  );
  const contents: Record<string, string> = {};
  for (const { name, kind } of relations) {
    const [row] = await database.query<{ text: string }>(
      kind === "S"
        ? `SELECT concat(last_value, ' ', is_called) AS text FROM ${name}`
        : `SELECT concat(count(*), ' ', md5(string_agg(md5(t.*::text), '' ORDER BY md5(t.*::text)))) AS text
             FROM ONLY ${name} t`,
    );
    contents[name] = row?.text ?? "";
  }
  const objects = await database.query<{ oid: string; text: string }>(
    "SELECT oid::text, md5(lo_get(oid)) AS text FROM pg_largeobject_metadata ORDER BY oid",
  );
  for (const { oid, text } of objects) contents[`large object ${oid}`] = text;
  return contents;
}

/** Whether two databases are alike, definitions and contents. */
export async function requireSame(actual: TestDatabase, expected: TestDatabase): Promise<void> {
  assert.deepEqual(await definitionsOf(actual), await definitionsOf(expected));
  assert.deepEqual(await contentsOf(actual), await contentsOf(expected));
}
