/** A pg_dump that is killed, or ends as if all were well when its dump is not whole. */
import assert from "assert";
import { DIRECTORY, PIPED, requireNone, test } from "./failing_dump.ts";
import { withChance } from "./random.ts";
import type { Site } from "./site.ts";

/** By how many bytes the sizes of two dumps of the same may differ, since each has a key of its own. */
const SPREAD = 40;

/** How many bytes a dump has. */
async function sizeOf(site: Site, args: readonly string[]): Promise<number> {
  const id = await site.good(args);
  return (await site.manifest(id)).files.reduce((sum, { size }) => sum + size, 0);
}

test("killed at a random byte, 50 times", (site, shim) =>
  withChance(1, async (chance) => {
    for (const args of PIPED) {
      const size = await sizeOf(site, args);
      for (let time = 0; time < 10; time++) {
        const env = shim.env(`first ${chance.below(size)}; die`);
        await requireNone(site, {
          args,
          env,
          told: /Cannot back up: pg_dump .*was ended by SIGKILL/,
        });
      }
    }
    const size = await sizeOf(site, DIRECTORY);
    for (let time = 0; time < 10; time++) {
      const env = shim.env(`upto ${chance.below(size)}`);
      await requireNone(site, {
        args: DIRECTORY,
        env,
        told: /Cannot back up: pg_dump ended with exit code 137/,
      });
    }
    assert.equal((await site.requireCollected()).length, PIPED.length + 1);
  }));

test("exits 0 after some bytes", (site, shim) =>
  withChance(2, async (chance) => {
    for (const args of PIPED) {
      const size = await sizeOf(site, args);
      for (const bytes of [1, size - SPREAD, ...many(3, () => chance.below(size - SPREAD))]) {
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
            'rm "$directory"/blobs*.toc',
            'truncate -s -1 "$directory"/blobs*.toc',
            'rm "$directory"/blob_*',
          ]
        ) {
          if (jobs === 2 && !/toc\.dat|rm "\$largest/.test(fault)) continue;
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

function isPlain(args: readonly string[]): boolean {
  return args.includes("--format=plain");
}

function many<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}
