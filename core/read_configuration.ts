/** Gathers the sources of the configuration from the machine. */
import { type Configuration, loadConfiguration } from "./config.ts";
import { SETTING_OF_FLAG } from "./global_flags.ts";
import type { Host } from "./host.ts";

/** Reads the configuration for one run. */
export async function readConfiguration(
  host: Host,
  flags: Readonly<Record<string, unknown>>,
): Promise<Configuration> {
  const envFile = flags["env-file"];
  const given = new Map<string, string>();
  for (const [flag, setting] of Object.entries(SETTING_OF_FLAG)) {
    const value = flags[flag];
    if (typeof value === "string") given.set(setting, value);
  }
  return await loadConfiguration({
    flags: given,
    env: host.env,
    readTextFile: (path) => host.files.readText(path),
    fileMode: (path) => host.files.mode(path),
    cwd: host.cwd,
    ...(typeof envFile === "string" ? { envFile } : {}),
    ...(host.env["HOME"] === undefined ? {} : { home: host.env["HOME"] }),
  });
}
