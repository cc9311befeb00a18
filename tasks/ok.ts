/**
 * The gate, `deno task ok`: format, lint, types, then all tests. Its last line
 * tells how many passed and failed; a check before the tests that fails counts
 * as one.
 */

import { PROJECT } from "./build.ts";
import { countsLine } from "./test.ts";

/** What is checked before the tests run; each tells its own findings. */
const CHECKS: readonly (readonly string[])[] = [
  ["fmt", "--check"],
  ["lint"],
  ["check", "--quiet", "--frozen"],
];

async function main(): Promise<number> {
  const failed: string[] = [];
  for (const check of CHECKS) {
    if (await deno(check) !== 0) failed.push(`deno ${check.join(" ")}`);
  }
  if (failed.length > 0) {
    const counts = { passed: 0, failed: failed.length, skipped: 0 };
    const lines = `Not tested, since this failed: ${failed.join(", ")}\n${countsLine(counts)}\n`;
    Deno.stdout.writeSync(new TextEncoder().encode(lines));
    return 1;
  }
  return await deno(["task", "--quiet", "test"]);
}

async function deno(args: readonly string[]): Promise<number> {
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd: PROJECT })
    .spawn().status;
  return code;
}

if (import.meta.main) Deno.exit(await main());
