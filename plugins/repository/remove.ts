/**
 * The removal of one backup. Its manifest goes first, so that at no moment is there a backup that is
 * not whole; whatever the end of the process leaves is for `backup gc`.
 */
import { OperationError } from "../../core/plugin.ts";
import type { Backup } from "./catalogue.ts";
import { MANIFEST_SUFFIX } from "./manifest.ts";
import { TOMBSTONE_SUFFIX } from "./names.ts";
import type { Store } from "./store.ts";

/**
 * Removes a backup. Where the place can, the manifest gets another name first and tells until the
 * end what was to be removed; elsewhere it is removed, and the files themselves tell whose they are.
 *
 * @returns false when another run had removed it before
 */
export async function removeBackup(store: Store, backup: Backup): Promise<boolean> {
  const { id, manifest, results } = backup;
  const name = `${id}${MANIFEST_SUFFIX}`;
  const tombstone = `${id}${TOMBSTONE_SUFFIX}`;
  if (store.rename === undefined) {
    await store.remove(name);
  } else {
    try {
      await store.rename(name, tombstone);
    } catch (error) {
      if (error instanceof OperationError && error.code === "not_found") return false;
      throw error;
    }
  }
  for (const file of manifest.files) await store.remove(file.name);
  for (const result of results) await store.remove(result);
  if (store.rename !== undefined) await store.remove(tombstone);
  return true;
}
