/** A pg_dump that fails in the other ways that it can. */
import assert from "assert";
import { forUsersKind } from "../program.ts";
import { DIRECTORY, missing, PIPED, requireNone, test } from "./failing_dump.ts";
import { makeShim } from "./shim.ts";
import { makeSite } from "./site.ts";

test("exits 1 after all bytes", async (site, shim) => {
  await site.good();
  for (const args of [...PIPED, DIRECTORY]) {
    await requireNone(site, {
      args,
      env: shim.env("whole; exit 1"),
      told: /pg_dump ended with exit code 1$/m,
    });
    const env = shim.env('whole; echo "pg_dump: error: the end is near" >&2; exit 1');
    await requireNone(site, {
      args,
      env,
      told: /^\[ERROR\] Cannot back up: pg_dump failed: the end is near$/m,
    });
  }
  await site.requireCollected();
});

test("hangs", async (site, shim) => {
  await site.good();
  for (const args of [...PIPED, DIRECTORY]) {
    for (const fault of ["first 100000; hang", "exec >&-; hang"]) {
      await requireNone(site, {
        args: [...args, "--stall-timeout=0.2"],
        env: shim.env(fault),
        told: /Cannot back up: pg_dump has written and said nothing for 0\.2 s\nHint: /,
      });
    }
  }
  await site.requireCollected();
});

test("goes on when it is told to end, and is killed", async (site, shim) => {
  await site.good();
  await requireNone(site, {
    args: ["--stall-timeout=0.2"],
    env: shim.env("trap '' INT TERM HUP; first 1000; while :; do sleep 0.2; done"),
    told: /pg_dump has written and said nothing for 0\.2 s/,
  });
  await site.requireCollected();
});

test("warns", async (site, shim) => {
  for (const args of [...PIPED, DIRECTORY]) {
    const { code, stderr } = await site.inside(["backup", ...args], {
      env: shim.env(
        'echo "pg_dump: warning: something is odd" >&2; echo "pg_dump: detail: It is so." >&2; whole',
      ),
    });
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^\[WARNING\] something is odd \(It is so\.\)$/m);
    const [id = ""] = await site.requireSound();
    assert.deepEqual((await site.manifest(id)).warnings, ["something is odd (It is so.)"]);
  }
  await site.requireCollected();
});

test("says a lot that nobody understands", async (site, shim) => {
  const fault = 'head -c 3000000 "$real" >&2; yes | head -c 3000000 | tr -d "\\n" >&2; whole';
  for (const args of [["--format=custom"], DIRECTORY]) {
    const { code, stderr } = await site.inside(["backup", ...args], { env: shim.env(fault) });
    assert.equal(code, 0, stderr.slice(0, 1000));
  }
  await requireNone(site, {
    args: [],
    env: shim.env(`${fault}; exit 3`),
    told: /Cannot back up: pg_dump /,
  });
  assert.equal((await site.requireCollected()).length, 2);
});

test("of roles and tablespaces fails when the dump is written", async (site, shim) => {
  await site.good();
  for (
    const [fault, told] of [
      ["whole; exit 1", /Cannot back up: pg_dumpall ended with exit code 1/],
      ["first 100; die", /Cannot back up: pg_dumpall was ended by SIGKILL/],
      ["first 100; exit 0", /Cannot back up: pg_dumpall ended as if all were well, but /],
      ["exit 0", /Cannot back up: pg_dumpall ended as if all were well, but /],
      ["first 10; hang", /pg_dumpall has written and said nothing for 0\.5 s/],
    ] as const
  ) {
    for (const args of [["--format=custom"], DIRECTORY]) {
      await requireNone(site, {
        args: [...args, "--globals", "--stall-timeout=0.5"],
        env: { ...shim.env("whole"), FAULT_GLOBALS: fault },
        told,
      });
    }
  }
  await site.requireCollected();
});

forUsersKind("pg_dump: fails below the whole program", async (kind) => {
  await using shim = await makeShim();
  await using site = await makeSite();
  const id = await site.good();
  for (
    const [fault, told] of [
      ["first 100000; die", /^\[ERROR\] Cannot back up: pg_dump was ended by SIGKILL$/m],
      ["whole; exit 1", /^\[ERROR\] Cannot back up: pg_dump ended with exit code 1$/m],
      [
        "first 100000",
        /^\[ERROR\] Cannot back up: pg_dump ended as if all were well, but the archive breaks off after 100000 bytes/m,
      ],
      [
        "first 100000; hang",
        /^\[ERROR\] Cannot back up: pg_dump has written and said nothing for 0.3 s$/m,
      ],
    ] as const
  ) {
    const { code, stdout, stderr } = await site.outside(["backup", "--stall-timeout=0.3"], {
      kind,
      env: shim.env(fault),
    });
    assert.deepEqual([code, stdout], [1, ""], stderr);
    assert.match(stderr, told);
    assert.deepEqual(await site.requireCollected(), [id]);
  }
}, { missing });
