/** The steps of a restore, each with a way to hold a run there. */
import { BACKUP_LOCK_KEY } from "../../plugins/sql/lock_keys.ts";
import { until } from "../cli/project.ts";
import { openDatabase } from "../database.ts";
import type { Mode, RestoreFaults } from "./restore_site.ts";
import { type Hold, holdHere, makeShim, type Shim } from "./shim.ts";

/** The forms of backups that restores are tried with, by what they are made with. */
export const FORMS = {
  custom: [],
  plain: ["--format=plain", "--compress"],
  directory: ["--format=directory"],
} as const;

/** One of them. */
export type Form = keyof typeof FORMS;

/** A step of a restore. */
export interface Step {
  readonly name: string;
  readonly mode: Mode;
  readonly form: Form;
  readonly args?: readonly string[];
  /** What is in the database when the run ends there; either, when it is left out. */
  readonly leaves?: "old" | "new";
  /** Whether it may leave a part. */
  readonly half?: boolean;
  hold(holding: Holding): Promise<HeldStep>;
}

/** What a step is held with. */
export interface Holding {
  readonly faults: RestoreFaults;
  readonly shim: Shim;
}

/** A step that is held as soon as a run comes to it. */
export interface HeldStep {
  readonly env: Readonly<Record<string, string>>;
  reached(): Promise<void>;
  release(): Promise<void>;
}

/** Bytes after which a dump is held, long before its end. */
const MIDDLE = 20_000;

/** Holds where pg_restore or psql runs words; the flag stands for the hold. */
function by(
  variable: "FAULT_RESTORE" | "FAULT_PSQL",
  words: (flag: string) => string,
): Step["hold"] {
  return ({ shim }) => {
    const hold: Hold = shim.holdAt((flag) => ({
      PG_BIN_DIR: shim.directory,
      [variable]: words(flag),
    }));
    return Promise.resolve(hold);
  };
}

const before = (flag: string) => `${holdHere(flag)}; whole`;
const middle = (flag: string) => `fed ${MIDDLE} ${flag}`;
/** At the end of a row: psql would take what comes until then for all of the rows. */
const lines = (flag: string) => `lines ${MIDDLE} ${flag}`;
const after = (flag: string) => `whole; code=$?; ${holdHere(flag)}; exit $code`;

/** Holds a run by a lock in a database, once it is at work. */
function byLock(database: "target" | "postgres", sql: string): Step["hold"] {
  return async ({ faults }) => {
    const { target, server } = faults;
    const held = database === "target" ? target : openDatabase(server, database);
    const client = await held.connect();
    client.on("error", () => {});
    await client.query(`BEGIN; ${sql}`);
    const admin = openDatabase(server, "postgres");
    return {
      env: {},
      reached: () =>
        until("a session waits for the lock", async () => {
          const rows = await admin.query(
            `SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
              WHERE NOT granted AND application_name LIKE 'observatory restore %'
                AND datname LIKE $1 || '%'`,
            [target.name],
          );
          return rows.length > 0;
        }),
      release: () => client.end(),
    };
  };
}

/** Holds a run that has restored all into a new database, and is about to give it its name. */
const atSwap: Step["hold"] = async (holding) => {
  const done = await by("FAULT_RESTORE", after)(holding);
  const { faults: { server, target } } = holding;
  const admin = openDatabase(server, "postgres");
  const client = await admin.connect();
  client.on("error", () => {});
  return {
    env: done.env,
    async reached() {
      await done.reached();
      await client.query("BEGIN; LOCK pg_database IN SHARE MODE");
      await done.release();
      await until("the names are about to be swapped", async () => {
        const rows = await admin.query(
          `SELECT FROM pg_locks WHERE NOT granted AND relation = 'pg_database'::regclass
             AND EXISTS (SELECT FROM pg_database WHERE starts_with(datname, $1))`,
          [target.name],
        );
        return rows.length > 0;
      });
    },
    release: () => client.end(),
  };
};

/** Waiting for somebody who migrates or backs up: told on stderr, so there is nothing to look for. */
const atBackupLock: Step["hold"] = async ({ faults: { target } }) => {
  const client = await target.connect();
  client.on("error", () => {});
  await client.query(`SELECT pg_advisory_lock(${BACKUP_LOCK_KEY})`);
  return {
    env: {},
    reached: () => new Promise((resolve) => setTimeout(resolve, 1500)),
    release: () => client.end(),
  };
};

/** The steps. */
export const STEPS: readonly Step[] = [
  {
    name: "waiting for the lock of backups",
    mode: "clean",
    form: "custom",
    args: ["--lock-wait=60"],
    leaves: "old",
    hold: atBackupLock,
  },
  ...(["clean", "empty", "swap", "create"] as const).map((mode): Step => ({
    name: "before pg_restore",
    mode,
    form: "custom",
    leaves: "old",
    hold: by("FAULT_RESTORE", before),
  })),
  ...(["clean", "empty", "swap", "create"] as const).map((mode): Step => ({
    name: "in the middle of an archive",
    mode,
    form: "custom",
    leaves: "old",
    hold: by("FAULT_RESTORE", middle),
  })),
  ...(["empty", "swap", "create"] as const).map((mode): Step => ({
    name: "in the middle of a script",
    mode,
    form: "plain",
    leaves: "old",
    hold: by("FAULT_PSQL", mode === "swap" ? middle : lines),
  })),
  {
    name: "while a table is locked by somebody else",
    mode: "clean",
    form: "custom",
    leaves: "old",
    hold: byLock("target", "LOCK item IN ACCESS SHARE MODE"),
  },
  {
    name: "while a table is locked by somebody else, directory",
    mode: "clean",
    form: "directory",
    hold: byLock("target", "LOCK item IN ACCESS SHARE MODE"),
  },
  {
    name: "in the middle, several jobs",
    mode: "clean",
    form: "directory",
    args: ["--jobs=2"],
    half: true,
    hold: byLock("target", "LOCK item IN ACCESS SHARE MODE"),
  },
  ...(["clean", "swap", "create"] as const).map((mode): Step => ({
    name: "after pg_restore",
    mode,
    form: "directory",
    leaves: mode === "clean" ? "new" : "old",
    hold: by("FAULT_RESTORE", after),
  })),
  ...(["swap", "create"] as const).map((mode): Step => ({
    name: "before the names are swapped",
    mode,
    form: "custom",
    leaves: "old",
    hold: atSwap,
  })),
];

/** Makes a shim, and backups in all forms; what each mode gives is learnt. */
export async function prepareSteps(
  faults: RestoreFaults,
  modes: readonly Mode[] = ["clean", "empty", "swap", "create"],
): Promise<{ readonly shim: Shim; readonly ids: Readonly<Record<Form, string>> }> {
  const ids: Record<Form, string> = { custom: "", plain: "", directory: "" };
  for (const form of ["custom", "plain", "directory"] as const) {
    ids[form] = await faults.site.good(FORMS[form]);
  }
  for (const mode of modes) await faults.learn(mode, [ids.custom]);
  return { shim: await makeShim(), ids };
}
