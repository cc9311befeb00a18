import assert from "assert";
import { type LockOptions, OperationError } from "../../core/plugin.ts";
import { SignalError } from "../../core/errors.ts";
import { startServer } from "../../tasks/server.ts";
import { freshDatabase, type TestDatabase, uniqueName } from "../database.ts";
import { systemHost } from "../../core/host.ts";
import type { Dialer } from "../../core/postgres/transport.ts";
import { runDatabase, until } from "./run_database.ts";

const LOCK: LockOptions = { key: 42n, purpose: "work", wait: 0 };

/** Work that goes on until it is told to end. */
function held(): { work: () => Promise<string>; end: () => void; begun: Promise<void> } {
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  return {
    work: () => {
      begun.resolve();
      return ended.promise;
    },
    end: () => ended.resolve("done"),
    begun: begun.promise,
  };
}

/** The process that holds an advisory lock in the database; undefined when none is held. */
async function holderIn(database: TestDatabase): Promise<number | undefined> {
  const [row] = await database.query<{ pid: number }>(
    `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );
  return row?.pid;
}

Deno.test("withLock: gives what the work gives, holds the lock meanwhile and releases it after", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  const { work, end, begun } = held();
  const result = run.withLock(LOCK, work);
  await begun;
  assert.notEqual(await holderIn(database), undefined);
  end();
  assert.equal(await result, "done");
  await until("it is released", async () => await holderIn(database) === undefined);
});

Deno.test("withLock: releases the lock when the work fails, and passes its failure on", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  const failure = new OperationError("Cannot work");
  await assert.rejects(run.withLock(LOCK, () => Promise.reject(failure)), failure);
  await until("it is released", async () => await holderIn(database) === undefined);
});

Deno.test("withLock: excludes others with the same key, of one run or of several", async () => {
  await using database = await freshDatabase();
  await using one = runDatabase({ ...database, wait: 30 });
  await using two = runDatabase({ ...database, wait: 30 });
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setTimeout(resolve, 5));
    inside--;
  };
  const lock = { ...LOCK, wait: 30 };
  await Promise.all([one, two, one, two, one].map((run) => run.withLock(lock, work)));
  assert.equal(most, 1);
});

Deno.test("withLock: other keys, names and databases do not exclude each other", async () => {
  await using database = await freshDatabase();
  await using other = await freshDatabase();
  await using run = runDatabase(database);
  await using elsewhere = runDatabase(other);
  const result = await run.withLock(
    LOCK,
    () =>
      run.withLock(
        { ...LOCK, key: -42n },
        () =>
          run.withLock({ ...LOCK, key: "migrations" }, () =>
            run.withLock({ ...LOCK, key: "backups" }, () =>
              elsewhere.withLock(LOCK, () =>
                Promise.resolve("all held")))),
      ),
  );
  assert.equal(result, "all held");
});

Deno.test("withLock: a name stands for one key everywhere", async () => {
  await using database = await freshDatabase();
  await using one = runDatabase(database);
  await using two = runDatabase(database);
  const lock = { ...LOCK, key: "backups" };
  await one.withLock(
    lock,
    () => assert.rejects(two.withLock(lock, () => Promise.resolve()), { kind: "locked" }),
  );
});

Deno.test("withLock: every key of 64 bits excludes, and its holder is found by it", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  for (
    const key of [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 0x3d32ad9en * 123_456_789n, 1n << 32n]
  ) {
    await run.withLock({ ...LOCK, key }, async () => {
      const pid = await holderIn(database);
      await assert.rejects(run.withLock({ ...LOCK, key }, () => Promise.resolve()), (error) => {
        assert(error instanceof OperationError);
        assert.equal(error.details["pid"], pid, String(key));
        return true;
      });
    });
  }
});

Deno.test("withLock: when the time is up, it fails as locked and names the holder and its application", async () => {
  await using database = await freshDatabase();
  const applicationName = uniqueName("app");
  await using one = runDatabase({ ...database, parameters: { applicationName } });
  await using two = runDatabase(database);
  let ran = false;
  await one.withLock(LOCK, async () => {
    const pid = await holderIn(database);
    const work = () => {
      ran = true;
      return Promise.resolve();
    };
    await assert.rejects(two.withLock({ ...LOCK, wait: 0.1 }, work), (error) => {
      assert(error instanceof OperationError);
      assert.deepEqual([error.kind, error.code, error.details], ["locked", "locked", { pid }]);
      assert(
        error.message.startsWith(
          `Cannot lock the work within 0.1 s: the lock is held by process ${pid} ` +
            `("${applicationName}" as postgres from 127.0.0.1, connected for `,
        ),
        error.message,
      );
      return true;
    });
  });
  assert.equal(ran, false);
});

Deno.test("withLock: what a holder runs is told, in one short line", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  const holder = await database.connect();
  holder.on("error", () => {});
  try {
    await holder.query("SELECT pg_advisory_lock(42)");
    const sleeping = holder.query(`SELECT pg_sleep(60),\n  '${"x".repeat(100)}'`).catch(() => {});
    await until(
      "it sleeps",
      async () =>
        (await database.query(
          "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
        )).length === 1,
    );
    await assert.rejects(
      run.withLock(LOCK, () => Promise.resolve()),
      /, running: SELECT pg_sleep\)$/,
    );
    await database.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
    );
    await sleeping;
  } finally {
    await holder.end().catch(() => {});
  }
});

Deno.test("withLock: waits for the holder's end, and tells once that it does", async () => {
  await using database = await freshDatabase();
  await using one = runDatabase(database);
  const { work, end, begun } = held();
  const first = one.withLock(LOCK, work);
  await begun;
  // Of a clock that runs fast, since a short wait is not told.
  await using two = runDatabase({ ...database, now: () => Date.now() * 10 });
  const second = two.withLock({ ...LOCK, wait: 300 }, () => Promise.resolve("second"));
  await until(
    "it waits",
    () => Promise.resolve(two.lines.some((line) => line.includes("Waiting for the work lock"))),
  );
  assert.match(
    two.lines.find((line) => line.includes("Waiting for the work lock")) ?? "",
    /^\[INFO\] Waiting for the work lock, held by process \d+ \("observatory" as postgres from /,
  );
  end();
  assert.deepEqual([await first, await second], ["done", "second"]);
  assert.equal(two.lines.filter((line) => line.includes("Waiting for the work lock")).length, 1);
});

Deno.test("withLock: a signal ends the wait at once", async () => {
  await using database = await freshDatabase();
  await using one = runDatabase(database);
  const ending = new AbortController();
  await using two = runDatabase({ ...database, signal: ending.signal });
  await one.withLock(LOCK, async () => {
    const signal = new SignalError("SIGTERM");
    const waiting = assert.rejects(
      two.withLock({ ...LOCK, wait: 60 }, () => Promise.resolve()),
      signal,
    );
    await until("it waits", async () =>
      (await database.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock(%'",
      )).length >= 2);
    ending.abort(signal);
    await waiting;
  });
});

Deno.test("withLock: waiting holds no snapshot, so that indexes can be built concurrently meanwhile", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  await using one = runDatabase(database);
  await using two = runDatabase(database);
  const { work, end, begun } = held();
  const first = one.withLock(LOCK, work);
  await begun;
  const second = two.withLock({ ...LOCK, wait: 60 }, () => Promise.resolve("second"));
  await one.query("CREATE INDEX CONCURRENTLY ON t (n)");
  end();
  assert.deepEqual([await first, await second], ["done", "second"]);
});

/** Ends the process that holds the lock. */
async function terminateHolder(database: TestDatabase): Promise<void> {
  const pid = await holderIn(database);
  await database.query("SELECT pg_terminate_backend($1)", [pid]);
}

const LOST = {
  name: "OperationError",
  kind: "connection",
  code: "lock_lost",
  message: "The connection that held the work lock was lost; another run may have started",
};

Deno.test("withLock: when the lock is lost, the work's signal is aborted and the run fails with the reason", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  let reason: unknown;
  const result = run.withLock(LOCK, async (signal) => {
    await terminateHolder(database);
    await until("the signal is aborted", () => Promise.resolve(signal.aborted));
    reason = signal.reason;
    signal.throwIfAborted();
  });
  await assert.rejects(result, LOST);
  await assert.rejects(Promise.reject(reason), LOST);
});

Deno.test("withLock: when the lock is lost, work that does not look at its signal fails all the same", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  for (const end of [() => "done", () => Promise.reject(new Error("something else"))]) {
    const result = run.withLock(LOCK, async (signal) => {
      await terminateHolder(database);
      await until("the signal is aborted", () => Promise.resolve(signal.aborted));
      return await end();
    });
    await assert.rejects(result, LOST);
  }
});

Deno.test("withLock: the work's signal is aborted by the run's, with its reason", async () => {
  await using database = await freshDatabase();
  const ending = new AbortController();
  await using run = runDatabase({ ...database, signal: ending.signal });
  const reason = new SignalError("SIGHUP");
  const result = run.withLock(LOCK, (signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      ending.abort(reason);
    }));
  await assert.rejects(result, reason);
  await until("it is released", async () => await holderIn(database) === undefined);
});

Deno.test("withLock: DISCARD ALL and a failed statement of other sessions do not drop the lock", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  await run.withLock(LOCK, async () => {
    const pid = await holderIn(database);
    await run.query("DISCARD ALL");
    await run.query("SELECT pg_advisory_unlock_all()");
    await assert.rejects(run.query("SELECT broken"));
    assert.equal(await holderIn(database), pid);
  });
});

Deno.test("withLock: the lock's connection outlives the server's limit for idle sessions", async () => {
  await using server = await startServer({ settings: { idle_session_timeout: "100ms" } });
  if (server.version < 14) return;
  await using run = runDatabase({ ...server, name: "postgres" });
  const result = await run.withLock(LOCK, async (signal) => {
    const idle = await run.session();
    // What the limit does to another idle session shows that it was long enough.
    await until("the other session is ended", () =>
      idle.query("SELECT pg_sleep(0)").then(
        () => new Promise((resolve) => setTimeout(() => resolve(false), 200)),
        () => Promise.resolve(true),
      ));
    return signal.aborted;
  });
  assert.equal(result, false);
  await run.close();
});

Deno.test("withLock: works in a read-only run, and writes nothing", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase({ ...database, readOnly: true });
  assert.equal(await run.withLock(LOCK, () => Promise.resolve("read")), "read");
});

/** Connections as behind a pooler: the process id that is told at the start is the pooler's own. */
function poolerBefore({ tcp, unix }: Dialer): Dialer {
  return {
    unix,
    async tcp(hostname, port) {
      const duplex = await tcp(hostname, port);
      return {
        async read(into) {
          const count = await duplex.read(into);
          // BackendKeyData with a secret of four bytes: K, its length, the process id.
          const at = into.findIndex((byte, index) =>
            byte === 0x4b && new DataView(into.buffer, into.byteOffset).getUint32(index + 1) === 12
          );
          if (count !== null && at !== -1 && at < count) into[at + 8] = (into[at + 8] ?? 0) ^ 1;
          return count;
        },
        write: (bytes) => duplex.write(bytes),
        close: () => duplex.close(),
      };
    },
  };
}

Deno.test("withLock: a pooler before the server is refused, since its locks may outlive the run", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase({ ...database, dialer: poolerBefore(systemHost().dialer) });
  await assert.rejects(run.withLock(LOCK, () => Promise.resolve()), {
    kind: "refused",
    code: "pooled_connection",
    message: /^Cannot lock the work safely: a connection pooler stands before the server/,
  });
});
