/** How a plugin's parts are shown. */
import type { PluginStatus } from "../../core/plugin.ts";

/** What each permission lets it do, one line for each; none for a plugin that declares nothing. */
export function permissionLines(
  { permissions: { net, read, write, run }, variables }: PluginStatus,
): string[] {
  const line = (what: string, names: readonly string[] | undefined, note = "") =>
    names === undefined || names.length === 0 ? [] : [`${what} ${names.join(", ")}${note}`];
  return [
    ...line("net", net),
    ...line("read", read),
    ...line("write", write),
    ...line("env", variables),
    ...line("run", run, " (full trust: what it starts is free)"),
  ];
}

/** One line without control characters: what a plugin says must not steer the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}
