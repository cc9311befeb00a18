/** The notes of a release. */
import type { ReleasedFile } from "./release.ts";

/** What the changelog says of one version. */
export interface Changes {
  /** Whether its heading has a date: until then it is not released. */
  readonly dated: boolean;
  readonly text: string;
}

/** The section of a version; undefined when there is none. */
export function sectionOf(changelog: string, version: string): Changes | undefined {
  const sections = changelog.replaceAll("\r\n", "\n").split(/^## /m).slice(1);
  for (const section of sections) {
    const [heading = "", ...lines] = section.split("\n");
    const [named, about = ""] = heading.trim().split(/ +(.*)/);
    if (named !== version) continue;
    return { dated: /^\(?\d{4}-\d\d-\d\d\)?$/.test(about), text: lines.join("\n").trim() };
  }
  return undefined;
}

/** What the notes tell of. */
export interface Notes {
  readonly version: string;
  /** The commit and its date. */
  readonly commit: string;
  /** The version of Deno that has built it. */
  readonly deno: string;
  /** The changelog's section; undefined when there is none. */
  readonly changes: string | undefined;
  readonly files: readonly ReleasedFile[];
  readonly skipped: Readonly<Record<string, string>>;
  /** What makes it a draft. */
  readonly problems: readonly string[];
}

/** The notes, in Markdown. */
export function notesText(notes: Notes): string {
  const { version, commit, deno, changes, files, skipped, problems } = notes;
  const program = files.find(({ name }) => !name.endsWith(".txt"))?.name ?? "";
  const left = Object.entries(skipped);
  return [
    `# observatory ${version}`,
    ...(problems.length === 0
      ? []
      : [`**A draft, not a release.**\n\n${problems.map((each) => `- ${each}`).join("\n")}`]),
    changes ?? "The changelog tells nothing of this version.",
    "## Files",
    [
      "| file | bytes | SHA-256 |",
      "| ---- | ----: | ------- |",
      ...files.map(({ name, bytes, sha256 }) => `| \`${name}\` | ${bytes} | \`${sha256}\` |`),
    ].join("\n"),
    ...(left.length === 0 ? [] : [
      `Not among them:\n\n${left.map(([target, why]) => `- ${target}: ${why}`).join("\n")}`,
    ]),
    "## Verifying and installing",
    [
      "```sh",
      "sha256sum --check --ignore-missing SHA256SUMS",
      `install -m 755 ${program} /usr/local/bin/observatory`,
      "observatory --version",
      "observatory help licenses",
      "```",
    ].join("\n"),
    `Built from commit ${commit}, by Deno ${deno}. \`deno task release\` in a clone of that commit ` +
    "makes the program of the machine that it is run on byte for byte, given the same Deno, the same " +
    "runtime (`DENORT_BIN`), a DENO_DIR of the same path, and a processor of the same kind, since " +
    "V8's code cache is in it. Programs for macOS and Windows also hold the times of downloaded files.",
  ].join("\n\n") + "\n";
}
