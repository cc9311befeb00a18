/** Folders of plugins on the disk, for the tests of how plugins are found, trusted and prepared. */

import { dirname, join } from "node:path";

/** What stands at a path: a file's text or bytes, or a link. */
export type Entry = string | Uint8Array<ArrayBuffer> | { readonly link: string };

/** A temporary directory, without links in its path; removed afterwards. */
export interface PluginFolder {
  readonly path: string;
  /** Writes files and links, by paths relative to the directory. */
  write(entries: Readonly<Record<string, Entry>>): void;
}

/** Runs `work` with a directory that holds these files and links, and that nobody else can write to. */
export async function withFolder(
  entries: Readonly<Record<string, Entry>>,
  work: (folder: PluginFolder) => Promise<void> | void,
): Promise<void> {
  const path = await Deno.realPath(await Deno.makeTempDir({ prefix: "observatory-plugin-test-" }));
  const folder = {
    path,
    write: (more: Readonly<Record<string, Entry>>) => writeEntries(path, more),
  };
  try {
    folder.write(entries);
    await work(folder);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

function writeEntries(root: string, entries: Readonly<Record<string, Entry>>): void {
  for (const [name, entry] of Object.entries(entries)) {
    const path = join(root, name);
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    if (typeof entry === "string") Deno.writeTextFileSync(path, entry, { mode: 0o644 });
    else if (entry instanceof Uint8Array) Deno.writeFileSync(path, entry, { mode: 0o644 });
    else Deno.symlinkSync(entry.link, path);
  }
}

/** The layout that Kubernetes gives the directory of a ConfigMap. */
export function configMap(files: Readonly<Record<string, string>>): Record<string, Entry> {
  const version = "..2026_11_24_10_00_00.123456789";
  return {
    ...Object.fromEntries(
      Object.entries(files).map(([name, text]) => [`${version}/${name}`, text]),
    ),
    "..data": { link: version },
    ...Object.fromEntries(Object.keys(files).map((name) => [name, { link: `..data/${name}` }])),
  };
}
