/** A directory as a place where backups are kept. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { parseBackupName } from "./names.ts";
import type { Store, StoredObject } from "./store.ts";

/**
 * Opens a directory; it need not be there. What is written in it is for this user alone.
 *
 * @param directory relative to the working directory, or absolute
 */
export function localStore(files: Context["files"], directory: string): Store {
  const root = directory.replace(/(?<=[^/])\/+$/, "");
  const at = (name: string) => root === "/" ? `/${name}` : `${root}/${name}`;
  /** The entries of a directory; none where there is no such directory. */
  const entriesOf = async (path: string) => {
    try {
      return await files.list(path);
    } catch (error) {
      if (hasCode(error, "not_found")) return [];
      throw error;
    }
  };
  return {
    kind: "local",
    title: root,
    async list(prefix = "") {
      const objects: StoredObject[] = [];
      for (const { name, kind, size, modified } of await entriesOf(root)) {
        if (kind === "directory" && isBackupDirectory(name)) {
          objects.push(...membersOf({ name, modified }, await entriesOf(at(name))));
        } else if (kind === "file" && !isGone({ size, modified })) {
          objects.push({ name, size, modified });
        }
      }
      return objects.filter(({ name }) => name.startsWith(prefix))
        .sort((a, b) => a.name < b.name ? -1 : 1);
    },
    read: async (name, { offset, length } = { offset: 0 }) =>
      await files.stream(at(name), length === undefined ? { offset } : { offset, length }),
    async readTexts(names) {
      const decoder = new TextDecoder();
      const contents = await files.readAll(names.map(at));
      return contents.map((bytes) => decoder.decode(bytes));
    },
    create: async (name, contents) => await files.create(at(name), contents, { private: true }),
    async remove(name) {
      // A directory is removed when nothing is left in it.
      if (!name.endsWith("/") || (await entriesOf(at(name.slice(0, -1)))).length === 0) {
        await files.remove(at(name));
      }
    },
    rename: async (name, to) => await files.rename(at(name), at(to)),
  };
}

/** Whether a directory is a backup, or one that is being written; what others hold is not looked at. */
function isBackupDirectory(name: string): boolean {
  return /^(\.restore-\w+)?\.dir(\.partial)?$/.test(parseBackupName(name)?.rest ?? "");
}

interface Entry {
  readonly name: string;
  readonly kind: string;
  readonly size: number;
  readonly modified: number;
}

function membersOf(
  directory: Pick<Entry, "name" | "modified">,
  entries: readonly Entry[],
): StoredObject[] {
  const prefix = `${directory.name}/`;
  if (entries.length === 0) return [{ name: prefix, size: 0, modified: directory.modified }];
  const members = entries.filter((entry) => entry.kind === "file" && !isGone(entry));
  return members.map(({ name, size, modified }) => ({ name: `${prefix}${name}`, size, modified }));
}

/** Whether a file was removed between the listing of its name and the look at it. */
function isGone({ size, modified }: Pick<Entry, "size" | "modified">): boolean {
  return size === 0 && modified === 0;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof OperationError && error.code === code;
}
