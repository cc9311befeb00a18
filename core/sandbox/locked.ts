/** What no plugin writes to, whatever it declares: it would change what runs the next time. */

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { PluginCache } from "./cache.ts";

/** The directories of plugins, those of the cache, and the program with its sources. */
export function lockedPaths(
  pluginDirectories: readonly string[],
  cache: Pick<PluginCache, "directories">,
): string[] {
  const program = Deno.mainModule.startsWith("file:")
    ? [dirname(fileURLToPath(Deno.mainModule))]
    : [];
  return [...pluginDirectories, ...cache.directories(), Deno.execPath(), ...program];
}
