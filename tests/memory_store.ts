/** Places of backups without a disk or a bucket, which fail when and where a test wants them to. */

import { OperationError } from "../core/plugin.ts";
import type { Store, StoredObject, StoredUpload } from "../plugins/repository/store.ts";

/** Thrown where a process is killed: nothing catches it, and nothing runs after it. */
export class Killed extends Error {
  override name = "Killed";
}

/** One call of a store. */
export interface Call {
  readonly method: "list" | "readTexts" | "create" | "remove" | "rename" | "abortUpload";
  readonly name: string;
}

/** What a place holds. */
export interface MemoryPlace {
  readonly files: Map<string, { readonly contents: string; readonly modified: number }>;
  /** Names of files that bear our mark, in a bucket. */
  readonly ours: Set<string>;
  readonly uploads: StoredUpload[];
  /** Every call that has begun. */
  readonly calls: Call[];
}

/** How a place behaves. */
export interface Behaviour {
  readonly kind: Store["kind"];
  /** Called before each call has its effect; what it throws, the call throws. */
  before?(call: Call, place: MemoryPlace): void;
  /** Called while a file has both names, as it does for a moment where it is renamed. */
  within?(call: Call, place: MemoryPlace): void;
  /** Called when it has had its effect. */
  after?(call: Call, place: MemoryPlace): void;
}

/** Makes a place with files, all of them ours and last changed at a time in milliseconds. */
export function memoryPlace(
  files: Readonly<Record<string, string>> = {},
  modified = 0,
): MemoryPlace {
  const place: MemoryPlace = { files: new Map(), ours: new Set(), uploads: [], calls: [] };
  put(place, files, modified);
  return place;
}

/** Puts more files there. */
export function put(
  place: MemoryPlace,
  files: Readonly<Record<string, string>>,
  modified = 0,
): void {
  for (const [name, contents] of Object.entries(files)) {
    place.files.set(name, { contents, modified });
    place.ours.add(name);
  }
}

/** The store over a place; several may share it, as several processes do. */
export function memoryStore(place: MemoryPlace, behaviour: Behaviour = { kind: "local" }): Store {
  const { files } = place;
  // deno-lint-ignore require-await -- what is thrown must be a rejection
  async function during<T>(call: Call, work: () => T): Promise<T> {
    place.calls.push(call);
    behaviour.before?.(call, place);
    const result = work();
    behaviour.after?.(call, place);
    return result;
  }
  const read = (name: string) => {
    const found = files.get(name);
    if (found === undefined) throw failure("not_found", `Cannot read "${name}": it is not there`);
    return found.contents;
  };
  const store: Store = {
    kind: behaviour.kind,
    title: behaviour.kind === "s3" ? "s3://bucket/backups" : "./backups",
    list: () =>
      during(
        { method: "list", name: "" },
        () =>
          [...files].map(([name, { contents, modified }]): StoredObject => ({
            name,
            size: new TextEncoder().encode(contents).length,
            modified,
          })).sort((a, b) => a.name < b.name ? -1 : 1),
      ),
    read: (name) => Promise.resolve(new Blob([read(name)]).stream()),
    readTexts: (names) =>
      during({ method: "readTexts", name: names.join(" ") }, () => names.map(read)),
    create: (name, contents) =>
      during({ method: "create", name }, () => {
        if (files.has(name)) throw failure("already_exists", `"${name}" exists already`);
        put(place, { [name]: contents });
      }),
    remove: (name) =>
      during({ method: "remove", name }, () => {
        const found = files.get(name);
        const directory = name.slice(0, name.lastIndexOf("/") + 1);
        const isEmpty = () => ![...files.keys()].some((each) => each.startsWith(directory));
        files.delete(name);
        // A directory stays when its last member goes; a bucket has none.
        if (behaviour.kind === "s3" || directory === "" || directory === name) return;
        if (found !== undefined && isEmpty()) {
          files.set(directory, { contents: "", modified: found.modified });
        }
      }),
  };
  if (behaviour.kind === "local") {
    return {
      ...store,
      rename: (name, to) =>
        during({ method: "rename", name }, () => {
          const found = files.get(name);
          if (found === undefined) throw failure("not_found", `"${name}" is not there`);
          if (files.has(to)) throw failure("already_exists", `"${to}" exists already`);
          files.set(to, found);
          behaviour.within?.({ method: "rename", name }, place);
          files.delete(name);
        }),
    };
  }
  return {
    ...store,
    isOurs: (name) => Promise.resolve(files.has(name) && place.ours.has(name)),
    listUploads: () => Promise.resolve([...place.uploads]),
    abortUpload: (upload) =>
      during({ method: "abortUpload", name: upload.name }, () => {
        const at = place.uploads.findIndex((each) => each.uploadId === upload.uploadId);
        if (at >= 0) place.uploads.splice(at, 1);
      }),
  };
}

/** When a process is killed. */
export type Moment = "before" | "within" | "after";

/** Kills the process before, within or after its n-th change of the place, counted from 1. */
export function killedAt(
  kind: Store["kind"],
  { change, moment }: { readonly change: number; readonly moment: Moment },
): Behaviour {
  let changes = 0;
  const isChange = ({ method }: Call) => method !== "list" && method !== "readTexts";
  return {
    kind,
    before(call) {
      if (isChange(call) && ++changes === change && moment === "before") throw new Killed();
      if (changes > change) throw new Killed();
    },
    within() {
      if (changes === change && moment === "within") throw new Killed();
    },
    after(call) {
      if (isChange(call) && changes === change && moment !== "before") throw new Killed();
    },
  };
}

function failure(code: string, message: string): OperationError {
  return new OperationError(message, { code });
}
