/** Dumps that no manifest tells of: made by hand, or by the replaced system. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { parseBackupName } from "../repository/names.ts";
import type { Store } from "../repository/store.ts";
import type { Found, FoundFile } from "./find_source.ts";

/** What the name of a dump goes on with behind a backup's id. */
const DUMP = /^\.(dump|sql|dir|tar|backup|pgdump)\b/;

/**
 * Finds a dump by its name in the places, the first one first.
 *
 * @param name without a path; a backup's id alone stands for the one dump that is named so
 * @returns undefined when there is none
 * @throws OperationError `unknown_contents` for a directory that is no dump, and for pipes and the like
 */
export async function findDump(
  { files }: Pick<Context, "files">,
  stores: readonly Store[],
  name: string,
): Promise<Found | undefined> {
  for (const store of stores) {
    const found = store.kind === "local"
      ? await findFile(files, store, name)
      : await findObject(store, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function findFile(
  files: Context["files"],
  store: Store,
  name: string,
): Promise<Found | undefined> {
  const at = (each: string) => pathIn(store, each);
  const facts = await files.inspect(at(name));
  if (facts === undefined) {
    const other = await onlyDump(store, name);
    return other === undefined ? undefined : await findFile(files, store, other);
  }
  if (facts.kind === "file") {
    return foundAs(store, { files: [{ name, size: facts.size, sha256: null }], directory: null });
  }
  if (facts.kind === "other") throw refused(at(name), "it is no file and no directory");
  const entries = await files.list(at(name));
  const members = entries.filter(({ kind }) => kind === "file")
    .map((entry) => ({ name: `${name}/${entry.name}`, size: entry.size, sha256: null }));
  if (!members.some((member) => member.name === `${name}/toc.dat`)) {
    throw refused(at(name), "there is no toc.dat in it, as pg_dump writes into a directory");
  }
  return foundAs(store, { files: members, directory: name });
}

async function findObject(store: Store, name: string): Promise<Found | undefined> {
  const objects = await store.list(name);
  const member = (each: string) => each === name || each.startsWith(`${name}/`);
  const files = objects.filter((each) => member(each.name))
    .map(({ name, size, version }) => ({ name, size, version, sha256: null }));
  const [file] = files;
  if (file === undefined) {
    const other = await onlyDump(store, name);
    return other === undefined ? undefined : await findObject(store, other);
  }
  if (file.name === name) return foundAs(store, { files: [file], directory: null });
  if (!files.some((each) => each.name === `${name}/toc.dat`)) {
    throw refused(pathIn(store, name), "there is no toc.dat in it");
  }
  return foundAs(store, { files, directory: name });
}

/** The one dump whose name begins with an id. */
async function onlyDump(store: Store, id: string): Promise<string | undefined> {
  if (parseBackupName(id)?.rest !== "") return undefined;
  const names = new Set(
    (await store.list(id)).map(({ name }) => name.replace(/\/.*$/s, ""))
      .filter((name) => DUMP.test(parseBackupName(name)?.rest ?? "") && !name.endsWith(".partial")),
  );
  const [only, ...others] = names;
  if (others.length === 0) return only;
  throw new OperationError(`"${id}" in ${store.title} may be any of ${[...names].join(", ")}`, {
    kind: "usage",
    code: "backup_ambiguous",
    hint: "Give the whole name",
    details: { names: [...names] },
  });
}

function foundAs(
  store: Store,
  { files, directory }: { readonly files: readonly FoundFile[]; readonly directory: string | null },
): Found {
  const main = files.find(({ name }) => directory === null || name === `${directory}/toc.dat`);
  if (main === undefined) throw new Error("A dump has been found without a file");
  const title = pathIn(store, directory ?? main.name);
  return {
    title,
    store,
    manifest: null,
    main,
    files,
    directory,
    warnings: [
      `There is no manifest of ${title}: nothing tells whether it is what was once dumped, ` +
      "so that it is read to its end first",
    ],
  };
}

/** A path or key for messages and programs. */
export function pathIn({ title }: Pick<Store, "title">, name: string): string {
  return title === "/" ? `/${name}` : `${title}/${name}`;
}

function refused(path: string, reason: string): OperationError {
  return new OperationError(`Cannot restore ${path}: ${reason}`, {
    kind: "refused",
    code: "unknown_contents",
    hint: "Name a file or directory that pg_dump has written",
    details: { reason },
  });
}
