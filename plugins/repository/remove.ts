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
    // Left of a removal that was ended while the manifest had both names.
    await store.remove(tombstone);
    try {
      await store.rename(name, tombstone);
    } catch (error) {
      if (error instanceof OperationError && error.code === "not_found") return false;
      throw error;
    }
  }
  await removeFiles(store, [...manifest.files.map((file) => file.name), ...results]);
  if (store.rename !== undefined) await store.remove(tombstone);
  return true;
}

/** Removes files in the order given, and each directory after its last member. */
export async function removeFiles(store: Store, names: readonly string[]): Promise<void> {
  let directory = "";
  for (const name of names) {
    const next = name.slice(0, name.lastIndexOf("/") + 1);
    if (next !== directory && directory !== "") await store.remove(directory);
    directory = next;
    await store.remove(name);
  }
  if (directory !== "") await store.remove(directory);
}
