/**
 * A database and a directory for its backups, with what must hold there after every fault: what is
 * listed can be restored, what was good is still there, and `backup gc` leaves nothing else.
 */
import assert from "assert";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { type Host, systemHost } from "../../core/host.ts";
import { run as runInside } from "../../core/run.ts";
import type { Manifest } from "../../plugins/repository/manifest.ts";
import { clientTools, freshDatabase, type TestDatabase } from "../database.ts";
import { type Run, type RunOptions, runProgram, type RunResult, startProgram } from "../program.ts";
import { DAY } from "../../plugins/repository/times.ts";

/** How a run inside this process differs from one outside. */
export interface InsideOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly now?: () => number;
  readonly host?: Partial<Host>;
}

/** What a run left. */
export type Left = Pick<RunResult, "code" | "stdout" | "stderr">;

/** One backup as `backup list` tells it. */
export interface ListedBackup {
  readonly id: string;
  readonly kind: string;
  readonly verified: string | null;
}

/** A database, and a directory for its backups. */
export interface Site extends AsyncDisposable {
  readonly database: TestDatabase;
  /** Where the runs work. */
  readonly directory: string;
  /** Where the backups are kept. */
  readonly backups: string;
  /** Runs a command line in this process, on the real machine. */
  inside(args: readonly string[], options?: InsideOptions): Promise<Left>;
  /** Runs the program; by default from its sources. */
  outside(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  start(args: readonly string[], options?: RunOptions): Promise<Run>;
  /** The ids that `backup list` tells, the newest first. */
  listed(): Promise<string[]>;
  manifest(id: string): Promise<Manifest>;
  /** Everything in the directory of backups, members of directories too, sorted. */
  files(): Promise<string[]>;
  /** A good backup, made inside and verified; its id. */
  good(args?: readonly string[]): Promise<string>;
  /** Lets a backup go that is to be removed, or was damaged on purpose. */
  forget(id: string): void;
  /**
   * Requires that every backup that is listed can be read to its end, and that those verified before
   * are still there.
   *
   * @returns what is listed, the newest first
   */
  requireSound(options?: SoundOptions): Promise<string[]>;
  /**
   * Requires the same, that the newest one can be restored with all its rows, and that `backup gc`
   * leaves nothing beside them, days later.
   */
  requireCollected(options?: SoundOptions): Promise<string[]>;
}

/** What may have happened beside the fault. */
export interface SoundOptions {
  /** Old ones were pruned: of those verified before, the newest has to be there. */
  readonly pruned?: boolean;
}

/** Rows that compress badly, of several tables, with a large object: about 300 KB as a dump. */
export const ROWS = `
  CREATE TABLE item (id int PRIMARY KEY, token text NOT NULL, note text);
  INSERT INTO item SELECT n, md5(n::text) || md5((-n)::text), 'note ' || n % 7
    FROM generate_series(1, 4000) n;
  CREATE TABLE event (item int REFERENCES item, at timestamptz, what text);
  INSERT INTO event SELECT n, '2024-01-01'::timestamptz + n * interval '1 min', 'seen' || chr(10)
    FROM generate_series(1, 500) n;
  CREATE INDEX ON event (at);
  CREATE TABLE empty (nothing int);
  SELECT lo_from_bytea(0, decode(repeat(md5('object'), 100), 'hex'));
  CREATE SEQUENCE counter;
`;

/** How a site is made. */
export interface SiteOptions {
  /** What the database holds; by default {@link ROWS}. */
  readonly sql?: string;
  readonly database?: TestDatabase;
  /** Where the backups are kept; by default in a new directory. */
  readonly backups?: string;
}

/** Makes a site. */
export async function makeSite(options: SiteOptions = {}): Promise<Site> {
  const directory = await makeDirectory();
  const database = options.database ?? await freshDatabase({ sql: options.sql ?? ROWS });
  const backups = options.backups ?? join(directory, "backups");
  const env = { DATABASE_URL: database.url, BACKUPS_DIR: backups };
  const proven = new Map<string, string>();
  const restored = new Set<string>();
  const withBoth = (given: RunOptions = {}): RunOptions => ({
    cwd: directory,
    ...given,
    env: { ...env, ...given.env },
  });

  const inside: Site["inside"] = (args, { env: more = {}, now, host = {} } = {}) =>
    runHere(args, {
      cwd: directory,
      env: { PATH: Deno.env.get("PATH") ?? "", HOME: directory, ...env, ...more },
      ...(now === undefined ? {} : { now }),
      ...host,
    });

  async function json<T>(args: readonly string[], codes: readonly number[]): Promise<T> {
    const { code, stdout, stderr } = await inside([...args, "--json"]);
    assert(codes.includes(code), `${args.join(" ")} ended with ${code}: ${stderr}${stdout}`);
    const told: { data: T } = JSON.parse(stdout);
    return told.data;
  }

  async function listed(): Promise<string[]> {
    const { backups } = await json<{ backups: ListedBackup[] }>(["backup", "list"], [0, 3]);
    return backups.map(({ id }) => id);
  }

  async function manifest(id: string): Promise<Manifest> {
    return JSON.parse(await Deno.readTextFile(join(backups, `${id}.manifest.json`)));
  }

  async function state(id: string): Promise<string> {
    const { files } = await manifest(id);
    const facts = await Promise.all([`${id}.manifest.json`, ...files.map(({ name }) => name)].map(
      async (name) => {
        const { size, mtime, ino } = await Deno.stat(join(backups, name));
        return `${name} ${size} ${mtime?.getTime()} ${ino}`;
      },
    ));
    return facts.join("\n");
  }

  async function requireSound({ pruned = false }: SoundOptions = {}): Promise<string[]> {
    const ids = await listed();
    const known = [...proven.keys()].sort();
    const missing = (pruned ? known.slice(-1) : known).filter((id) => !ids.includes(id));
    assert.deepEqual(missing, [], "good backups have vanished");
    for (const id of known) if (!ids.includes(id)) proven.delete(id);
    for (const id of ids) {
      const now = await state(id);
      if (proven.get(id) === now) continue;
      await json(["backup", "verify", id, "--where", "local"], [0]);
      proven.set(id, now);
    }
    return ids;
  }

  return {
    database,
    directory,
    backups,
    inside,
    outside: (args, given) => runProgram(args, withBoth(given)),
    start: (args, given) => startProgram(args, withBoth(given)),
    listed,
    manifest,
    files: () => filesIn(backups),
    async good(args = []) {
      const { manifest: { id } } = await json<{ manifest: Manifest }>(
        ["backup", "--no-prune", ...args],
        [0],
      );
      await requireSound();
      return id;
    },
    forget: (id) => void proven.delete(id),
    requireSound,
    async requireCollected(options) {
      const ids = await requireSound(options);
      const [newest] = ids;
      if (newest !== undefined && !restored.has(newest)) {
        await requireRestored(backups, await manifest(newest));
        restored.add(newest);
      }
      const { code, stderr } = await inside(["backup", "gc"], {
        now: () => Date.now() + 2 * DAY,
      });
      assert.equal(code, 0, stderr);
      assert.deepEqual(await listed(), ids);
      const told = (await Promise.all(ids.map(manifest))).flatMap(({ id, files }) => [
        `${id}.manifest.json`,
        ...files.map(({ name }) => name),
      ]);
      // A second name that a removal has given to a manifest, and then no more, goes with the backup.
      const left = (await filesIn(backups)).filter((name) =>
        !/\.verify-[^/]*$/.test(name) &&
        !(name.endsWith(".deleted") && ids.includes(name.replace(".manifest.json.deleted", "")))
      );
      assert.deepEqual(left, told.sort());
      return ids;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([
        options.database === undefined ? database.drop() : undefined,
        Deno.remove(directory, { recursive: true }),
      ]);
    },
  };
}

/** Bytes that must be free in memory: sites are small, and there are several at a time. */
const MEMORY_NEEDED = 1024 ** 3;

/** In memory where there is plenty: every file is brought to the disk, again and again. */
async function makeDirectory(): Promise<string> {
  const { bavail, bsize } = await statfs("/dev/shm").catch(() => ({ bavail: 0, bsize: 0 }));
  const memory = bavail * bsize >= MEMORY_NEEDED ? { dir: "/dev/shm" } : {};
  return await Deno.makeTempDir({ prefix: "observatory-fault-", ...memory });
}

async function runHere(args: readonly string[], host: Partial<Host>): Promise<Left> {
  const written = { stdout: "", stderr: "" };
  const stream = (name: "stdout" | "stderr") => ({
    write: (text: string) => void (written[name] += text),
    isTerminal: false,
    columns: () => 80,
  });
  const code = await runInside(args, {
    ...systemHost(),
    stdout: stream("stdout"),
    stderr: stream("stderr"),
    interactive: false,
    inputIsTerminal: false,
    onSignal: () => () => {},
    onUnhandled: () => () => {},
    exit(code) {
      throw new Error(`The run has ended the process with ${code}: ${written.stderr}`);
    },
    ...host,
  });
  return { code, ...written };
}

async function filesIn(directory: string, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(join(directory, prefix))) {
      if (!isDirectory) names.push(prefix + name);
      else {
        const members = await filesIn(directory, `${prefix}${name}/`);
        names.push(...members.length === 0 ? [`${prefix}${name}/`] : members);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

/** Restores a backup into a database of its own, and counts its rows. */
export async function requireRestored(directory: string, manifest: Manifest): Promise<void> {
  const tools = await clientTools();
  if (tools === undefined) throw new Error("There are no client programs");
  await using copy = await freshDatabase({ prefix: "restored" });
  const { format, files, compression, tables, globals } = manifest;
  const data = files.filter(({ name }) => name !== globals)[0]?.name.replace(/\/.*$/, "") ?? "";
  const path = join(directory, data);
  const [command, args] = format === "plain"
    ? ["/bin/sh", [
      "-c",
      `${compression.method === "gzip" ? "gunzip --stdout" : "cat"} "$1" | ` +
      `"$0" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --single-transaction "$2"`,
      tools.psql,
      path,
      copy.url,
    ]]
    : [tools.pgRestore, ["--exit-on-error", `--dbname=${copy.url}`, path]];
  const { success, stderr } = await new Deno.Command(command, {
    args,
    stdout: "null",
    env: { LC_ALL: "C" },
  }).output();
  assert(success, `Cannot restore ${manifest.id}: ${new TextDecoder().decode(stderr)}`);
  for (const { schema, name, rows } of tables) {
    const [found] = await copy.query<{ rows: string }>(
      `SELECT count(*) AS rows FROM "${schema}"."${name}"`,
    );
    assert.equal(Number(found?.rows), rows, `rows of ${name} in ${manifest.id}`);
  }
}
