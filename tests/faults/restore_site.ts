/**
 * A backup and a database that it is restored into, with what must hold there after every fault: the
 * old data are there, all of them, or the new ones are; whoever says that it has worked has worked;
 * the next restore works, and leaves nothing of those before.
 */
import assert from "assert";
import { type Likeness, likenessOf, requireLikeness } from "../alike.ts";
import { until } from "../cli/project.ts";
import {
  freshDatabase,
  openDatabase,
  sharedServer,
  type TestDatabase,
  uniqueName,
} from "../database.ts";
import type { Run, RunOptions, RunResult } from "../program.ts";
import { databasesBeside } from "../restore_site.ts";
import type { ServerAddress } from "../../tasks/server.ts";
import { type InsideOptions, type Left, makeSite, ROWS, type Site } from "./site.ts";

/** Where a restore goes: over old objects, into an empty database, beside the old one, into none. */
export type Mode = "clean" | "empty" | "swap" | "create";

/** What the database held before: some of the same objects, with other rows, and others. */
const OLD = `
  CREATE TABLE item (id int PRIMARY KEY, token text NOT NULL);
  INSERT INTO item SELECT n, 'old ' || n FROM generate_series(1, 100) n;
  CREATE TABLE event (item int REFERENCES item, at timestamptz);
  INSERT INTO event VALUES (1, 'infinity');
  CREATE TABLE mine (n int);
  INSERT INTO mine VALUES (42);
  SELECT lo_from_bytea(50001, 'an old object');
  CREATE SEQUENCE counter START 77;
`;

/** A source with backups, and a target. */
export interface RestoreFaults extends AsyncDisposable {
  readonly site: Site;
  readonly server: ServerAddress;
  /** Its name is the same for all restores of the site, however often it is made anew. */
  readonly target: TestDatabase;
  /** Makes the target what it is before a restore of a mode: with old data, empty, or absent. */
  reset(mode: Mode): Promise<void>;
  /** Restores without a fault, to know what comes of it; then resets. */
  learn(mode: Mode, args: readonly string[]): Promise<void>;
  /** The words of a restore. */
  line(mode: Mode, args: readonly string[]): string[];
  inside(mode: Mode, args: readonly string[], options?: InsideOptions): Promise<Left>;
  outside(mode: Mode, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  start(mode: Mode, args: readonly string[], options?: RunOptions): Promise<Run>;
  /**
   * Requires that the target is what it was, or what the backup holds, and the latter where the run
   * has ended with 0.
   *
   * @param options.half whether a part may be there after a failure: in place, with several jobs
   */
  requireOldOrNew(
    mode: Mode,
    options: { readonly code: number | null; readonly what: string; readonly half?: boolean },
  ): Promise<"old" | "new" | "half">;
  /** Requires that the next restore works, and that then nothing of the others is left. */
  requireRecovered(mode: Mode, args: readonly string[], what: string): Promise<void>;
  /** The databases that restores have made beside the target, and that nobody has named yet. */
  beside(): Promise<string[]>;
  /** Waits until no session of a restore is left. */
  untilGone(): Promise<void>;
}

/** Makes one; the server is shared unless it is given. */
export async function makeRestoreFaults(
  { server: given, sql = ROWS, backups, env = {} }: {
    readonly server?: ServerAddress;
    readonly sql?: string;
    readonly backups?: string;
    /** What all runs are given. */
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<RestoreFaults> {
  await using stack = new AsyncDisposableStack();
  const server = given ?? await sharedServer();
  const source = stack.use(await freshDatabase({ server, sql, prefix: "source" }));
  const site = stack.use(
    await makeSite({ database: source, ...(backups === undefined ? {} : { backups }) }),
  );
  const target = openDatabase(server, uniqueName("target"));
  const admin = openDatabase(server, "postgres");
  const dropAll = async () => {
    for (const name of await databasesBeside(server, target)) {
      await openDatabase(server, name).drop();
    }
  };
  stack.defer(dropAll);
  const before = new Map<Mode, Likeness>();
  const after = new Map<Mode, Likeness>();
  const line = (mode: Mode, args: readonly string[]) => [
    ...["restore", ...args, "--force"],
    ...mode === "empty" ? [] : [`--${mode}`],
  ];
  const withTarget = <T extends { readonly env?: Readonly<Record<string, string>> }>(
    options: T | undefined,
  ) => ({ ...options, env: { ...env, DATABASE_URL: target.url, ...options?.env } });

  const faults: RestoreFaults = {
    site,
    server,
    target,
    async reset(mode) {
      await dropAll();
      if (mode === "create") return;
      await admin.query(
        `CREATE DATABASE "${target.name}" TEMPLATE template0 STRATEGY file_copy`,
      );
      if (mode !== "empty") await target.query(OLD);
      if (!before.has(mode)) before.set(mode, await likenessOf(target));
    },
    async learn(mode, args) {
      await faults.reset(mode);
      const { code, stderr } = await faults.inside(mode, args);
      assert.equal(code, 0, stderr);
      const found = await likenessOf(target);
      const whole = await likenessOf(source);
      if (mode !== "clean") await requireLikeness(target, whole, { what: mode });
      // Whatever else is there stays.
      assert.deepEqual({ ...found.contents, ...whole.contents }, found.contents);
      after.set(mode, found);
      await faults.reset(mode);
    },
    line,
    inside: (mode, args, options) => site.inside(line(mode, args), withTarget(options)),
    outside: (mode, args, options) => site.outside(line(mode, args), withTarget(options)),
    start: (mode, args, options) => site.start(line(mode, args), withTarget(options)),
    async requireOldOrNew(mode, { code, what, half = false }) {
      const there = (await databasesBeside(server, target)).includes(target.name);
      if (!there) {
        assert.equal(mode, "create", `${what}: the database is gone`);
        assert.notEqual(code, 0, `${what}: it ended with 0, and there is no database`);
        return "old";
      }
      const [old, whole] = [before.get(mode), after.get(mode)];
      if (whole === undefined) throw new Error(`What a restore gives by ${mode} is not known yet`);
      const found = await likenessOf(target);
      const isNew = found.dump.sha256 === whole.dump.sha256;
      if (isNew || code === 0 || old === undefined) {
        await requireLikeness(target, whole, { what });
        return "new";
      }
      if (half && found.dump.sha256 !== old.dump.sha256) return "half";
      await requireLikeness(target, old, { what });
      return "old";
    },
    async requireRecovered(mode, args, what) {
      await faults.untilGone();
      const left = await faults.inside(mode, args);
      assert.equal(left.code, 0, `${what}, afterwards: ${left.stderr}`);
      await faults.requireOldOrNew(mode, { code: 0, what: `${what}, afterwards` });
      assert.deepEqual(await faults.beside(), [], `${what}: scratch databases are left`);
    },
    beside: async () =>
      (await databasesBeside(server, target))
        .filter((name) => name !== target.name && !name.includes("_before_")),
    untilGone: () =>
      until("no session is left", async () => {
        const rows = await admin.query(
          `SELECT FROM pg_stat_activity WHERE datname LIKE $1 || '%'
             AND application_name LIKE 'observatory%' AND application_name <> 'observatory-tests'`,
          [target.name],
        );
        return rows.length === 0;
      }),
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
  const own = stack.move();
  return faults;
}
