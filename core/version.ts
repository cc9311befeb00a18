/** What `--version` prints. */
import type { Host } from "./host.ts";

/** The version of the program and of the plugin contract that it serves. */
export const VERSION = "0.1.0";
const PLUGIN_API = 1;

interface Build {
  readonly commit: string;
  readonly date: string;
}

/** The version with where it was built from, as one line or as JSON. */
export async function versionText(host: Host, { json }: { json: boolean }): Promise<string> {
  const build = await buildOf(host);
  const facts = {
    version: VERSION,
    ...build,
    platform: host.platform,
    runtime: host.runtime,
    plugin_api: PLUGIN_API,
  };
  if (json) return JSON.stringify({ ok: true, command: "version", data: facts }) + "\n";
  const built = build === undefined ? "from sources" : `${build.commit}, ${build.date}`;
  return `observatory ${VERSION} (${built}, ${host.platform}, ${host.runtime})\n`;
}

/** What the build wrote about itself; undefined when the sources are run. */
async function buildOf(host: Host): Promise<Build | undefined> {
  const text = await host.files.readText(`${import.meta.dirname}/build.json`);
  return text === undefined ? undefined : JSON.parse(text);
}
