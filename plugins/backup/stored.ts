/** The last look before a manifest is written: what it is going to tell has to be true. */
import { OperationError } from "../../core/plugin.ts";
import type { Manifest } from "../repository/manifest.ts";
import { parseManifest } from "../repository/read_manifest.ts";
import type { Store } from "../repository/store.ts";

/**
 * Makes sure that every file that a manifest names is there in its full size: since it was written,
 * somebody may have removed it, or the directory around it.
 *
 * @throws OperationError `backup_vanished`
 */
export async function requireStored(store: Store, { id, files }: Manifest): Promise<void> {
  const sizes = new Map((await store.list(id)).map(({ name, size }) => [name, size]));
  for (const { name, size } of files) {
    const found = sizes.get(name);
    if (found === size) continue;
    throw new OperationError(
      `Cannot back up: ${
        found === undefined
          ? `"${name}" is not in ${store.title} any more`
          : `"${name}" in ${store.title} has ${found} bytes, and had ${size} when it was written`
      }`,
      { code: "backup_vanished", details: { name, size, found: found ?? null } },
    );
  }
}

/**
 * The text of a manifest, which can be read back.
 *
 * @throws OperationError `manifest_invalid` when it could not: then there is to be no backup either
 */
export function manifestText(manifest: Manifest): string {
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  parseManifest(text, manifest.id);
  return text;
}
