/** What the program is made of, and under which terms. */
import { builtText } from "./licenses_text.ts";

/** What the sources tell. */
const SOURCES =
  `observatory is licensed under the Apache License, Version 2.0: see the file LICENSE.

This run is one of the sources, beside which Deno keeps the npm packages that deno.json names, each
with its own licence. What a compiled program holds is told when it is built: its
\`observatory help licenses\`, or \`deno task licenses\` here, prints the text.
`;

/** The text for `help licenses`. */
export async function licensesText(): Promise<string> {
  return await builtText() ?? SOURCES;
}
