/** The compiled program's entry, in place of the `main.ts` of the sources. */
import { load } from "./load.ts";

const directory = import.meta.dirname ?? "";
// A cache that another V8 made would be passed over; the text is then compiled as ever.
const { program } = load(
  directory,
  import.meta.url,
  Deno.readFileSync(`${directory}/program.cache`),
);
Deno.exit(await program.run(Deno.args, program.systemHost()));
