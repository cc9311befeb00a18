/** A pg_dump that fails, in every way that it can: there is no backup then, and nothing of one. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { forEachKind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { withChance } from "./random.ts";
import { makeShim, type Shim } from "./shim.ts";
import { type Left, makeSite, type Site } from "./site.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("faults of pg_dump", missing);

/** How a dump can be written, where it comes through a pipe. */
const PIPED = [
  ["--format=custom"],
  ["--format=custom", "--compression=none"],
  ["--format=plain"],
  ["--format=plain", "--compress"],
];
const DIRECTORY = ["--format=directory", "--jobs=2"];

function test(name: string, work: (site: Site, shim: Shim) => Promise<void>): void {
  Deno.test({
    name: `pg_dump: ${name}`,
    ignore,
    async fn() {
      await using shim = await makeShim();
      await using site = await makeSite();
      await work(site, shim);
    },
  });
}

/** Runs a backup that must fail, and leave the directory as it was. */
async function requireNone(
  site: Site,
  { args, env, told, code = 1 }: {
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
    readonly told: RegExp;
    readonly code?: number;
  },
): Promise<Left> {
  const before = await site.files();
  const left = await site.inside(["backup", ...args], { env });
  const what = `${args.join(" ")} with ${env["FAULT"]}: ${left.stderr}`;
  assert.equal(left.code, code, what);
  assert.match(left.stderr, told, what);
  assert.doesNotMatch(left.stderr, /SUCCESS\] Backup|bug/, what);
  assert.equal(left.stdout, "", what);
  assert.deepEqual(await site.files(), before, what);
  return left;
}

/** By how many bytes the sizes of two dumps of the same may differ, since each has a key of its own. */
const SPREAD = 40;

/** How many bytes a dump has. */
async function sizeOf(site: Site, args: readonly string[]): Promise<number> {
  const id = await site.good(args);
  return (await site.manifest(id)).files.reduce((sum, { size }) => sum + size, 0);
}

test("killed at a random byte, 60 times", (site, shim) =>
  withChance(1, async (chance) => {
    for (const args of PIPED) {
      const size = await sizeOf(site, args);
      for (let time = 0; time < 12; time++) {
        const env = shim.env(`first ${chance.below(size)}; die`);
        await requireNone(site, {
          args,
          env,
          told: /Cannot back up: pg_dump .*was ended by SIGKILL/,
        });
      }
    }
    const size = await sizeOf(site, DIRECTORY);
    for (let time = 0; time < 12; time++) {
      const env = shim.env(`upto ${chance.below(size)}`);
      await requireNone(site, {
        args: DIRECTORY,
        env,
        told: /Cannot back up: pg_dump ended with exit code 137/,
      });
    }
    assert.equal((await site.requireCollected()).length, PIPED.length + 1);
  }));

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

test("exits 0 after some bytes", (site, shim) =>
  withChance(2, async (chance) => {
    for (const args of PIPED) {
      const size = await sizeOf(site, args);
      for (const bytes of [1, size - SPREAD, ...many(5, () => chance.below(size - SPREAD))]) {
        const env = shim.env(`first ${bytes}; exit 0`);
        await requireNone(site, { args, env, told: /pg_dump ended as if all were well, but / });
      }
    }
    await site.requireCollected();
  }));

test("exits 0 and a directory is not whole", (site, shim) =>
  withChance(3, async (chance) => {
    await site.good();
    // What parallel pg_dump has told to be finished is read before it is cut here.
    const told =
      /pg_dump ended as if all were well, but |had \d+ when it was written|any more|no such file/;
    const members = 'members=("$directory"/*.dat*); largest=$(ls -S "${members[@]}" | head -n 1);';
    for (const jobs of [1, 2]) {
      for (const compression of ["none", "gzip:1"]) {
        const args = ["--format=directory", `--compression=${compression}`, `--jobs=${jobs}`];
        for (
          const fault of [
            'rm "$directory/toc.dat"',
            `truncate -s ${1 + chance.below(900)} "$directory/toc.dat"`,
            'truncate -s -1 "$directory/toc.dat"',
            'echo more >>"$directory/toc.dat"',
            'rm "$largest"',
            ': >"$largest"',
            `truncate -s ${1 + chance.below(40_000)} "$largest"`,
            'truncate -s -1 "$largest"',
            'truncate -s -6 "$largest"',
            'rm "$directory"/blobs.toc*',
            'truncate -s -1 "$directory"/blobs.toc*',
            'rm "$directory"/blob_*',
          ]
        ) {
          await requireNone(site, { args, env: shim.env(`whole; ${members} ${fault}`), told });
        }
      }
    }
    await site.requireCollected();
  }));

test("writes nothing, or something else, and exits 0", async (site, shim) => {
  await site.good();
  for (const args of [...PIPED, DIRECTORY]) {
    for (
      const fault of [
        "exit 0",
        'head -c 100000 "$real"',
        'first 5000; head -c 100000 "$real"',
        "yes | head -c 2000000",
        "whole; echo and more",
      ]
    ) {
      // What it writes to stdout beside a directory belongs to nothing, and nobody reads what
      // stands behind the last block of an archive.
      if (
        args === DIRECTORY && !/^exit|^head/.test(fault) || !isPlain(args) && /more/.test(fault)
      ) {
        continue;
      }
      await requireNone(site, {
        args,
        env: shim.env(fault),
        told: /pg_dump ended as if all were well, but /,
      });
    }
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

forEachKind("pg_dump: fails below the whole program", async (kind) => {
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

function isPlain(args: readonly string[]): boolean {
  return args.includes("--format=plain");
}

function many<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}
