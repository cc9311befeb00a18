/**
 * Makes the code caches, inside an executable with the runtime that the program is put into: runs
 * the command lines given, so that V8 compiles what a run needs, and writes what it made. Or, with
 * the caches that were made, runs them again and makes sure that V8 takes the caches.
 *
 * Arguments: `make` or `check`, the caches' directory, the scripts' names by commas, and the command
 * lines as JSON.
 */
import { load } from "./load.ts";
import { readPieceText } from "./pieces.ts";

const [task, caches = "", names = "", lines = "[]"] = Deno.args;
const text = (name: string) => readPieceText(`${name}.js`);
const { program, compiled } = task === "make"
  ? load({ text })
  : load({ text, cache: (name) => Deno.readFileSync(`${caches}/${name}.cache`) });
for (const line of JSON.parse(lines)) {
  const code = await program.run(line, program.systemHost());
  if (code !== 0) throw new Error(`observatory ${line.join(" ")} ends with ${code}`);
}
for (const name of names.split(",")) {
  // Of one that no line needed, V8 is saved to look where its functions begin and end.
  const script = compiled(name);
  if (task === "make") Deno.writeFileSync(`${caches}/${name}.cache`, script.createCachedData());
  else if (script.cachedDataRejected !== false) {
    throw new Error(`V8 does not take the cache of "${name}" that it made`);
  }
}
Deno.exit(0);
