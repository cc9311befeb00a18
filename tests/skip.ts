/** What a test does about a thing that is missing on the machine. */

/**
 * The `ignore` of a test that needs something which may be missing. A skip is
 * told in one line; in CI nothing may be skipped, so a missing thing fails there.
 *
 * @param what the test or tests that need it
 * @param missing why they cannot run, or undefined when they can
 */
export function skipWhenMissing(what: string, missing: string | undefined): boolean {
  if (missing === undefined) return false;
  if (Deno.env.get("CI") === "true") throw new Error(`Cannot skip ${what} in CI: ${missing}`);
  Deno.stderr.writeSync(new TextEncoder().encode(`Skipped: ${what}: ${missing}\n`));
  return true;
}
