/** What `--version` prints. */
import type { Host } from "./host.ts";
import type { Context, Result } from "./plugin.ts";

/** The version of the program and of the plugin contract that it serves. */
export const VERSION = "0.1.0";
/** The program, as plugins are told of it. */
export const TOOL: Context["tool"] = Object.freeze({ name: "observatory", version: VERSION });
const PLUGIN_API = 1;

interface Build {
  readonly commit: string;
  readonly date: string;
}

/** The version with where it was built from. */
export async function versionResult(host: Host): Promise<Result> {
  const build = await buildOf(host);
  const facts = {
    version: VERSION,
    ...build,
    platform: host.platform,
    runtime: host.runtime,
    plugin_api: PLUGIN_API,
  };
  const built = build === undefined ? "from sources" : `${build.commit}, ${build.date}`;
  return {
    data: facts,
    text: `observatory ${VERSION} (${built}, ${host.platform}, ${host.runtime})`,
  };
}

/** What the build wrote about itself; undefined when the sources are run. */
async function buildOf(host: Host): Promise<Build | undefined> {
  const text = await host.files.readText(`${host.programDirectory}build.json`);
  return text === undefined ? undefined : JSON.parse(text);
}
