/** Tests of a pg_dump that fails: there is no backup then, and nothing of one. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";
import { makeShim, type Shim } from "./shim.ts";
import { type Left, makeSite, type Site } from "./site.ts";

/** Why these tests cannot run here; undefined when they can. */
export const missing = await clientToolsMissing();
const ignore = skipWhenMissing("faults of pg_dump", missing);

/** How a dump can be written, where it comes through a pipe. */
export const PIPED = [
  ["--format=custom"],
  ["--format=custom", "--compression=none"],
  ["--format=plain"],
  ["--format=plain", "--compress"],
];
/** How a dump is written by pg_dump itself, several tables at once. */
export const DIRECTORY = ["--format=directory", "--jobs=2"];

/** Registers a test with a pg_dump that fails as it is told, on a site of its own. */
export function test(name: string, work: (site: Site, shim: Shim) => Promise<void>): void {
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
export async function requireNone(
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
