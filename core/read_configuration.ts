/** Gathers the sources of the configuration from the machine. */
import { type Configuration, type ConfigurationInput, loadConfiguration } from "./config.ts";
import { SETTING_OF_FLAG } from "./global_flags.ts";
import type { TargetSource } from "./config_sources.ts";
import type { Host } from "./host.ts";
import { OperationError } from "./plugin.ts";

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
  const machine = {
    env: host.env,
    readTextFile: (path: string) => host.files.readText(path),
    fileMode: (path: string) => host.files.mode(path),
    cwd: host.cwd,
  };
  const target = await targetOf(flags, machine);
  return await loadConfiguration({
    flags: given,
    ...machine,
    ...(typeof envFile === "string" ? { envFile } : {}),
    ...(host.env["HOME"] === undefined ? {} : { home: host.env["HOME"] }),
    ...(target === undefined ? {} : { target }),
  });
}

/** The target that the flags name; it is known before anything else is done. */
async function targetOf(
  flags: Readonly<Record<string, unknown>>,
  machine: Pick<ConfigurationInput, "env" | "readTextFile" | "fileMode" | "cwd">,
): Promise<TargetSource | undefined> {
  const file = flags["targets"];
  const index = flags["target-index"];
  if (typeof file === "string") {
    const { chooseTarget } = await import("./targets.ts");
    return await chooseTarget({
      file,
      index: typeof index === "string" ? index : undefined,
      ...machine,
    });
  }
  if (index === undefined) return undefined;
  throw new OperationError("--target-index is given without --targets", {
    kind: "usage",
    code: "usage",
  });
}
