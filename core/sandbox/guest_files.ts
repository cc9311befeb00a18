/** The guest's own modules, kept where a worker can load them from; in the program they are text. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type PluginCache, sumOf } from "./cache.ts";
import context from "./guest/context.mjs" with { type: "text" };
import errors from "./guest/errors.mjs" with { type: "text" };
import harden from "./guest/harden.mjs" with { type: "text" };
import main from "./guest/main.mjs" with { type: "text" };
import rows from "../postgres/row_bytes.mjs" with { type: "text" };
import streams from "./guest/streams.mjs" with { type: "text" };

const SOURCES = {
  "context.mjs": context,
  "errors.mjs": errors,
  "harden.mjs": harden,
  "main.mjs": main,
  "row_bytes.mjs": rows,
  "streams.mjs": streams,
};

/**
 * As they are kept, all in one directory: their types, which stand in comments, are for here and not
 * for where they run.
 */
const FILES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(SOURCES).map(([name, text]) => [
    name,
    text.replace("// @ts-check", "").replaceAll(/\/\*\*[^]*?\*\//g, "")
      .replace('from "../../postgres/', 'from "./'),
  ]),
);

/** Where the guest is kept. */
export type GuestCache = Pick<PluginCache, "filesOf" | "keep" | "note">;

/** The address of the guest's first module; its files are as they should be. */
export function guestUrl(cache: GuestCache): URL {
  const sums = Object.fromEntries(Object.entries(FILES).map(([name, text]) => [name, sumOf(text)]));
  const hash = sumOf(JSON.stringify(sums));
  return pathToFileURL(join(cache.filesOf(hash, sums) ?? keep(cache, hash), "main.mjs"));
}

function keep(cache: GuestCache, hash: string): string {
  const directory = cache.keep(hash, FILES);
  // A note, so that the files are not taken for left over; the next version's replaces it.
  cache.note("guest", { hash, entry: Deno.execPath() });
  return directory;
}
