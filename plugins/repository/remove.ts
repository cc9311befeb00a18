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
  const [name, tombstone] = [`${id}${MANIFEST_SUFFIX}`, `${id}${TOMBSTONE_SUFFIX}`];
  if (store.rename === undefined) await store.remove(name);
  else if (!await bury(store, { name, tombstone })) return false;
  await removeFiles(store, [...manifest.files.map((file) => file.name), ...results]);
  if (store.rename !== undefined) await store.remove(tombstone);
  return true;
}

/** Takes the manifest away under another name; false when it is not there any more. */
async function bury(
  store: Store,
  { name, tombstone }: { name: string; tombstone: string },
): Promise<boolean> {
  try {
    await store.rename?.(name, tombstone);
    return true;
  } catch (error) {
    if (hasCode(error, "not_found")) return false;
    if (!hasCode(error, "already_exists")) throw error;
  }
  try {
    // A removal has given it both names, and was ended then, or is another run's that goes on.
    const [own, other] = await store.readTexts([name, tombstone]);
    if (own !== other) await store.remove(tombstone);
    else await store.remove(name);
    return own === other || await bury(store, { name, tombstone });
  } catch (error) {
    if (hasCode(error, "not_found")) return false;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof OperationError && error.code === code;
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
