/** Who is told of a backup: a monitor by pings, a collector by metrics; neither can fail one. */
import assert from "assert";
import { OperationError, type Result } from "../../core/plugin.ts";
import { type FakeContext, fakeContext } from "../../core/plugin_testing.ts";
import {
  metricsText,
  type RunFacts,
  samplesIn,
  writeMetrics,
} from "../../plugins/backup/metrics.ts";
import { createPings } from "../../plugins/backup/ping.ts";
import { reported } from "../../plugins/backup/reported.ts";
import type { Manifest } from "../../plugins/repository/manifest.ts";

interface Ping {
  readonly method: string;
  readonly path: string;
  readonly rid: string | null;
  readonly query: string;
  readonly body: string;
}

/** A monitor; it answers with what the test says, or 200. */
async function monitored(
  work: (address: string, pings: Ping[]) => Promise<void>,
  answer: (ping: Ping) => Response | Promise<Response> = () => new Response("OK"),
): Promise<void> {
  const pings: Ping[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (req) => {
    const { pathname, searchParams, search } = new URL(req.url);
    const ping = {
      method: req.method,
      path: pathname,
      rid: searchParams.get("rid"),
      query: search,
      body: await req.text(),
    };
    pings.push(ping);
    return await answer(ping);
  });
  try {
    await work(`http://127.0.0.1:${server.addr.port}/uuid-of-a-check`, pings);
  } finally {
    await server.shutdown();
  }
}

const GOOD: Result = { data: { skipped: false, manifest: manifest() }, text: "a: full, 3 rows" };

function manifest(): Manifest {
  const facts = {
    kind: "full",
    created_at: "2024-01-01T12:00:00.000Z",
    files: [{ name: "a.dump", size: 100, sha256: "" }, { name: "b", size: 20, sha256: "" }],
    tables: [{ rows: 3 }, { rows: 4 }],
  };
  return facts as unknown as Manifest;
}

/** A context whose log masks a secret, as the program's does. */
function masking(secret = "no secret"): FakeContext {
  const { log, ...context } = fakeContext();
  return { ...context, log: { ...log, redact: (text) => text.replaceAll(secret, "***") } };
}

function warnings({ lines }: FakeContext): string[] {
  return lines.filter((line) => line.startsWith("warn: "));
}

Deno.test("pings: start and success of one run, with what was said", async () => {
  await monitored(async (address, pings) => {
    const ctx = masking();
    const result = await reported(ctx, { ping: address }, (ctx) => {
      ctx.log.info("Creating database backup...");
      ctx.log.debug("of no account");
      ctx.log.warn("look at this");
      return Promise.resolve(GOOD);
    });
    assert.equal(result, GOOD);
    const [start, success, ...others] = pings;
    assert.deepEqual(others, []);
    assert.deepEqual([start?.method, start?.path, start?.body], [
      "POST",
      "/uuid-of-a-check/start",
      "",
    ]);
    assert.deepEqual([success?.method, success?.path], ["POST", "/uuid-of-a-check"]);
    assert.equal(success?.body, "Creating database backup...\nlook at this\na: full, 3 rows");
    assert.match(start?.rid ?? "", /^[0-9a-f-]{36}$/);
    assert.equal(start?.rid, success?.rid);
    assert.deepEqual(warnings(ctx), ["warn: look at this"]);
  });
});

Deno.test("pings: a failure is told by its exit code, and is the same failure", async () => {
  const signal = Object.assign(new Error("SIGTERM received"), { exit: 143 });
  const failures: readonly (readonly [Error, number])[] = [
    [new OperationError("it failed"), 1],
    [new OperationError("bad flags", { kind: "usage" }), 2],
    [new OperationError("not allowed", { kind: "refused" }), 4],
    [new OperationError("no server", { kind: "connection" }), 5],
    [new OperationError("locked", { kind: "locked" }), 6],
    [signal, 143],
    [new TypeError("a bug"), 70],
  ];
  for (const [failure, exit] of failures) {
    await monitored(async (address, pings) => {
      await assert.rejects(
        reported(masking(), { ping: address }, () => Promise.reject(failure)),
        failure,
      );
      assert.deepEqual(pings.map(({ path }) => path), [
        "/uuid-of-a-check/start",
        `/uuid-of-a-check/${exit}`,
      ]);
      assert.equal(pings[1]?.body, failure.message);
    });
  }
});

Deno.test("pings: an address keeps its own parameters, and a slash at its end counts for nothing", async () => {
  await monitored(async (address, pings) => {
    const pinging = createPings(fakeContext(), `${address}/?create=1&x=a%20b`);
    await pinging.end(0, "");
    await pinging.end(3, "");
    assert.deepEqual(pings.map(({ path }) => path), ["/uuid-of-a-check", "/uuid-of-a-check/3"]);
    for (const { query } of pings) assert.match(query, /^\?create=1&x=a(\+|%20)b&rid=/);
  });
});

Deno.test("pings: the last 10 kB of the log are sent, in whole characters, without secrets", async () => {
  await monitored(async (address, pings) => {
    await reported(masking("secret"), { ping: address }, (ctx) => {
      ctx.log.info(`first ${"é".repeat(20_000)}`);
      ctx.log.info("the secret is out");
      return Promise.resolve({ data: {} });
    });
    const body = pings[1]?.body ?? "";
    const bytes = new TextEncoder().encode(body).length;
    assert.ok(bytes > 9_990 && bytes <= 10_000, String(bytes));
    assert.match(body, /^é+\nthe \*\*\* is out$/);
  });
});

Deno.test("pings: without a way to mask secrets nothing of the log is sent", async () => {
  await monitored(async (address, pings) => {
    await reported(fakeContext(), { ping: address }, (ctx) => {
      ctx.log.info("the secret is out");
      return Promise.resolve({ data: {} });
    });
    assert.equal(pings[1]?.body, "");
  });
});

Deno.test("pings: tried three times where it may help, and a backup is a good one all the same", async () => {
  for (const [status, tries] of [[500, 3], [503, 3], [429, 3], [404, 1], [400, 1]] as const) {
    await monitored(async (address, pings) => {
      const ctx = fakeContext();
      assert.equal(await reported(ctx, { ping: address }, () => Promise.resolve(GOOD)), GOOD);
      assert.equal(pings.length, 2 * tries);
      assert.deepEqual(warnings(ctx), [
        `warn: Cannot ping the monitor/start: it answers ${status}`,
        `warn: Cannot ping the monitor: it answers ${status}`,
      ]);
    }, () => new Response("", { status }));
  }
  let answers = 0;
  await monitored(async (address, pings) => {
    const ctx = fakeContext();
    await createPings(ctx, address).end(0, "x");
    assert.deepEqual([pings.length, ctx.lines], [2, []]);
  }, () => new Response("", { status: answers++ === 0 ? 502 : 200 }));
});

Deno.test("pings: an address that cannot be reached is told without being told itself", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  for (
    const address of [
      `HTTP://127.0.0.1:${port}/secret-uuid/?a=secret`,
      `http://user:secret@127.0.0.1:${port}/a(b)secret`,
      "http://secret.invalid/secret",
      "https://127.0.0.1:1/secret",
    ]
  ) {
    const ctx = fakeContext();
    await createPings(ctx, address).end(1, "x");
    const [line = "", ...others] = ctx.lines;
    assert.deepEqual(others, []);
    assert.match(line, /^warn: Cannot ping the monitor\/1: \S/);
    assert.doesNotMatch(line, /secret|127\.0\.0\.1/i);
  }
});

Deno.test("pings: a monitor that does not answer is given up", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  await monitored(async (address) => {
    const ctx = fakeContext();
    await createPings(ctx, address, { timeout: 50 }).end(0, "x");
    assert.deepEqual(ctx.lines, [
      "warn: Cannot ping the monitor: it has not answered within 0.05 s",
    ]);
    // A signal waits for one try at most, and for no start at all.
    const ending = new AbortController();
    const ended = fakeContext({ signal: ending.signal });
    const pings = createPings(ended, address, { timeout: 50 });
    const starting = pings.start();
    ending.abort(new Error("SIGINT"));
    await starting;
    await pings.end(130, "x");
    assert.deepEqual(ended.lines, []);
    resolve(new Response("late"));
  }, async () => (await promise).clone());
});

Deno.test("pings: what is no address of the web is refused before anything is done", async () => {
  for (const ping of ["nonsense", "ftp://example.com/x", "file:///etc/passwd"]) {
    let done = false;
    const refused = reported(fakeContext(), { ping }, () => {
      done = true;
      return Promise.resolve(GOOD);
    });
    await assert.rejects(refused, { kind: "usage", code: "bad_flags" });
    assert.equal(done, false);
  }
});

Deno.test("reports: a dry run is reported to nobody", async () => {
  await monitored(async (ping, pings) => {
    const ctx = fakeContext({ dryRun: true });
    await reported(ctx, { ping, "metrics-file": "/m.prom" }, () => Promise.resolve(GOOD));
    assert.deepEqual([pings, ctx.stored.size], [[], 0]);
  });
});

const FACTS: RunFacts = {
  database: "app",
  exit: 0,
  started: Date.parse("2024-01-01T11:59:59Z"),
  ended: Date.parse("2024-01-01T12:00:10.5Z"),
  manifest: manifest(),
};

Deno.test("metrics: of a good backup, as the collector reads them", () => {
  const lines = metricsText(FACTS, new Map()).split("\n");
  assert.deepEqual(lines.filter((line) => !line.startsWith("#")), [
    'observatory_backup_last_attempt_timestamp_seconds{database="app"} 1704110410.5',
    'observatory_backup_last_exit_code{database="app"} 0',
    'observatory_backup_last_success_timestamp_seconds{database="app",kind="full"} 1704110400',
    'observatory_backup_duration_seconds{database="app",kind="full"} 11.5',
    'observatory_backup_size_bytes{database="app",kind="full"} 120',
    'observatory_backup_tables{database="app",kind="full"} 2',
    'observatory_backup_rows{database="app",kind="full"} 7',
    "",
  ]);
  // Each sample is behind the help and the type of its metric, each of which stands there once.
  const names = lines.filter((line) => line.startsWith("# HELP")).map((line) => line.split(" ")[2]);
  const types = lines.filter((line) => /^# TYPE \S+ gauge$/.test(line)).map((line) =>
    line.split(" ")[2]
  );
  assert.deepEqual(types, names);
  assert.equal(new Set(names).size, 7);
});

Deno.test("metrics: a failure keeps what the last good one told, and others' databases stay", () => {
  const known = samplesIn(metricsText({ ...FACTS, database: 'o"dd\\ \n one' }, new Map()));
  const good = samplesIn(metricsText(FACTS, known));
  assert.equal(good.size, 14);
  const failed = samplesIn(
    metricsText({ ...FACTS, exit: 6, ended: FACTS.ended + 1000, manifest: undefined }, good),
  );
  assert.equal(failed.size, 14);
  const changed = [...failed].filter(([key, value]) => good.get(key) !== value);
  assert.deepEqual(changed, [
    ['observatory_backup_last_attempt_timestamp_seconds{database="app"}', "1704110411.5"],
    ['observatory_backup_last_exit_code{database="app"}', "6"],
  ]);
  assert.equal(failed.get('observatory_backup_last_exit_code{database="o\\"dd\\\\ \\n one"}'), "0");
});

Deno.test("metrics: rows that were not counted are told by nobody", () => {
  const uncounted = { ...manifest(), tables: [{ rows: null }] } as unknown as Manifest;
  const samples = samplesIn(metricsText({ ...FACTS, manifest: uncounted }, new Map()));
  assert.equal([...samples.keys()].some((key) => key.startsWith("observatory_backup_rows")), false);
});

Deno.test("metrics: written as a whole; what cannot be is a warning", async () => {
  const ctx = fakeContext({ files: { "/m/b.prom": "# HELP x\ngarbage\n" } });
  await writeMetrics(ctx, "/m/b.prom", FACTS);
  assert.match(new TextDecoder().decode(ctx.stored.get("/m/b.prom")), /^# HELP observatory_/);
  assert.deepEqual(ctx.lines, []);
  const closed = fakeContext();
  await writeMetrics(
    {
      log: closed.log,
      files: {
        ...closed.files,
        create: () => Promise.reject(new OperationError("the disk is full", { code: "no_space" })),
      },
    },
    "/m/b.prom",
    FACTS,
  );
  assert.deepEqual(closed.lines, ["warn: Cannot leave metrics: the disk is full"]);
});

Deno.test("reports: metrics tell of a failure as well", async () => {
  const ctx = fakeContext();
  const failure = new OperationError("locked", { kind: "locked" });
  await assert.rejects(
    reported(ctx, { "metrics-file": "/b.prom" }, () => Promise.reject(failure)),
    failure,
  );
  const samples = samplesIn(new TextDecoder().decode(ctx.stored.get("/b.prom")));
  assert.equal(samples.get('observatory_backup_last_exit_code{database="test"}'), "6");
});
