/** Prints the licences of what a program holds that is built now: `deno task licenses`. */
import { readLicenses } from "./build.ts";

if (import.meta.main) {
  const bytes = new TextEncoder().encode(await readLicenses());
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
