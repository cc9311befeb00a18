/** The compiled program's entry, in place of the `main.ts` of the sources. */
import { load } from "./load.ts";
import { readPiece, readPieceText } from "./pieces.ts";
import { START_SCRIPT } from "./script_names.ts";

const directory = import.meta.dirname ?? "";
if (Deno.args.length === 1 && Deno.args[0] === "--version") {
  // What the program has answered when it was built: it is not loaded for that.
  tell(Deno.readFileSync(`${directory}/version.txt`));
}
// A cache that another V8 made would be passed over; the text is then compiled as ever.
const { program } = load({
  text: (name) =>
    name === START_SCRIPT
      ? Deno.readTextFileSync(`${directory}/${name}.js`)
      : readPieceText(`${name}.js`),
  cache: (name) =>
    name === START_SCRIPT
      ? Deno.readFileSync(`${directory}/${name}.cache`)
      : readPiece(`${name}.cache`),
});
Deno.exit(await program.run(Deno.args, program.systemHost()));

/** Writes the whole of an answer and ends; where that cannot be, the program tells why. */
function tell(answer: Uint8Array): void {
  try {
    if (Deno.stdout.writeSync(answer) === answer.length) Deno.exit(0);
  } catch {
    // It meets the same, and has words for it.
  }
}
