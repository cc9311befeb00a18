/**
 * Makes the code cache, inside an executable with the runtime that the program is put into: runs
 * the command lines given, so that V8 compiles what a run needs, and writes what it made. Without
 * command lines it makes sure that a cache that was made is taken.
 *
 * Arguments: the cache's file, and the command lines as JSON.
 */
import { load } from "./load.ts";

const [file = "", lines] = Deno.args;
const directory = import.meta.dirname ?? "";
if (lines === undefined) {
  const { script } = load(directory, import.meta.url, Deno.readFileSync(file));
  if (script.cachedDataRejected !== false) throw new Error("V8 does not take the cache it made");
} else {
  const { script, program } = load(directory, import.meta.url);
  for (const line of JSON.parse(lines)) {
    const code = await program.run(line, program.systemHost());
    if (code !== 0) throw new Error(`observatory ${line.join(" ")} ends with ${code}`);
  }
  Deno.writeFileSync(file, script.createCachedData());
}
Deno.exit(0);
