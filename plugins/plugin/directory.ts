/** Which directory of plugins is meant. */
import type { Context } from "../../core/plugin.ts";

/** The directory that is named, else the project's, else the usual one; without a slash at its end. */
export function directoryOf(context: Context, named: string | undefined): string {
  const directory = named || context.config.get("PLUGINS_DIR") || "./plugins";
  return directory.replace(/(?<=[^/])\/+$/, "");
}
