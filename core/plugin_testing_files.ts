/** The files of a plugin's tests: in memory, by path, as the test gives them. */
import {
  type CreateOptions,
  type FileEntry,
  type FileRange,
  type Files,
  OperationError,
  type SaveOptions,
} from "./plugin.ts";

/** Where and when the files are. */
export interface FakeFilesOptions {
  /** What relative paths are relative to. */
  readonly directory: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const CHUNK_BYTES = 256 * 1024;

/**
 * Files without a disk.
 *
 * @param stored their contents by path; a directory is there when a file in it is
 */
export function fakeFiles(
  stored: Map<string, Uint8Array>,
  { directory: working, now }: FakeFilesOptions,
): Files {
  /** Directories that were made, or that a file was in. */
  const made = new Set<string>();
  const written = new Map<string, { readonly modified: number; readonly mode: number }>();
  const kindOf = (path: string): "file" | "directory" | undefined => {
    if (stored.has(path)) return "file";
    const isThere = [".", "", "/"].includes(path) || made.has(path) ||
      [...stored.keys(), ...made].some((each) => each.startsWith(`${path}/`));
    return isThere ? "directory" : undefined;
  };
  const read = (path: string): Uint8Array => {
    const contents = stored.get(path);
    if (contents !== undefined) return contents;
    throw kindOf(path) === undefined ? missing("read", path) : failure("read", path, IS_DIRECTORY);
  };
  const refuseTaken = (action: string, path: string, replace = false) => {
    const kind = kindOf(path);
    if (kind === "directory" && replace) throw failure(action, path, IS_DIRECTORY);
    if (kind !== undefined && !replace) throw failure(action, path, EXISTS);
  };
  const refuseHomeless = (action: string, path: string) => {
    if (kindOf(above(path)) === undefined) throw missing(action, path);
  };
  const write = (path: string, contents: Uint8Array, { private: isPrivate = false } = {}) => {
    stored.set(path, contents);
    written.set(path, { modified: now(), mode: isPrivate ? 0o600 : 0o644 });
  };
  /** Everything at a path and below it. */
  const within = (path: string, names: Iterable<string>) =>
    [...names].filter((each) => each === path || each.startsWith(`${path}/`));
  return {
    // deno-lint-ignore require-await -- a missing directory must be a rejection
    async list(given) {
      const path = plain(given);
      if (kindOf(path) === undefined) throw missing("list directory", given);
      if (stored.has(path)) throw failure("list directory", given, NO_DIRECTORY);
      return entriesOf(path, { stored, made, written });
    },
    // deno-lint-ignore require-await -- likewise
    readAll: async (paths) => paths.map(read),
    // deno-lint-ignore require-await -- likewise
    readSmall: async (paths, limit) =>
      paths.map(read).map((bytes) => bytes.length > limit ? null : bytes),
    // deno-lint-ignore require-await -- likewise
    stream: async (path, range) => chunksOf(read(path), range),
    // deno-lint-ignore require-await -- likewise
    async create(path, contents, options: CreateOptions = {}) {
      refuseTaken("create", path, options.replace);
      write(path, bytesOf(contents), options);
    },
    async save(path, data, options: SaveOptions = {}) {
      const { partial = `${path}.partial`, replace } = options;
      const reader = data.getReader();
      let begun = false;
      try {
        refuseTaken("save", path, replace);
        refuseTaken("create", partial);
        refuseHomeless("create", partial);
        begun = true;
        let contents = new Uint8Array();
        write(partial, contents, options);
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          contents = joined(contents, value);
          write(partial, contents, options);
        }
        refuseTaken("save", path, replace);
        refuseHomeless("save", path);
        write(path, contents, options);
      } catch (error) {
        // When the stream has failed itself, that is what is thrown.
        reader.cancel(error).catch(() => {});
        throw error;
      } finally {
        if (begun) stored.delete(partial);
      }
    },
    // deno-lint-ignore require-await -- likewise
    async rename(from, to) {
      const [old, path] = [plain(from), plain(to)];
      if (kindOf(old) === undefined) throw missing("rename", from);
      refuseTaken(`rename "${from}" to`, path);
      refuseHomeless(`rename "${from}" to`, path);
      made.add(above(old));
      for (const each of within(old, stored.keys())) {
        const [contents, facts] = [stored.get(each), written.get(each)];
        const name = path + each.slice(old.length);
        if (contents !== undefined) stored.set(name, contents);
        if (facts !== undefined) written.set(name, facts);
        stored.delete(each);
      }
      for (const each of within(old, made)) {
        made.delete(each);
        made.add(path + each.slice(old.length));
      }
    },
    // deno-lint-ignore require-await -- likewise
    async remove(given) {
      const path = plain(given);
      if (kindOf(path) === undefined) return false;
      made.add(above(path));
      for (const each of within(path, stored.keys())) stored.delete(each);
      for (const each of within(path, made)) made.delete(each);
      return true;
    },
    // deno-lint-ignore require-await -- likewise
    async makeDirectory(given) {
      const path = plain(given);
      refuseTaken("make directory", path);
      made.add(path);
    },
    // deno-lint-ignore require-await -- likewise
    async inspect(given) {
      const path = plain(given);
      const kind = kindOf(path);
      if (kind === undefined) return undefined;
      const { modified = 0, mode = kind === "file" ? 0o600 : 0o700 } = written.get(path) ?? {};
      return {
        realPath: path.startsWith("/") ? path : `${working}/${path}`,
        kind,
        size: stored.get(path)?.length ?? 0,
        modified,
        mode,
        // Everything belongs to this user, on a disk of which half is full.
        owner: { uid: 1000, gid: 1000 },
        self: { uid: 1000, gid: 1000 },
        access: { read: true, write: true, execute: kind === "directory" },
        disk: { total: 2e9, free: 1e9 },
      };
    },
  };
}

type Reason = readonly [code: string, text: string];
const EXISTS: Reason = ["already_exists", "it exists already"];
const NO_DIRECTORY: Reason = ["not_a_directory", "it is not a directory"];
const IS_DIRECTORY: Reason = ["is_a_directory", "it is a directory"];

function failure(action: string, path: string, [code, reason]: Reason): OperationError {
  return new OperationError(`Cannot ${action} "${path}": ${reason}`, { code, details: { path } });
}

function missing(action: string, path: string): OperationError {
  return failure(action, path, ["not_found", "there is no such file or directory"]);
}

/** Without a slash at its end. */
function plain(path: string): string {
  return path.replace(/(?<=[^/])\/+$/, "");
}

/** The directory that a path is in. */
function above(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : path.slice(0, Math.max(1, slash));
}

function entriesOf(
  directory: string,
  { stored, made, written }: {
    readonly stored: ReadonlyMap<string, Uint8Array>;
    readonly made: ReadonlySet<string>;
    readonly written: ReadonlyMap<string, { readonly modified: number }>;
  },
): FileEntry[] {
  const prefix = directory === "/" ? directory : `${directory}/`;
  const entries = new Map<string, FileEntry>();
  for (const path of [...made, ...stored.keys()]) {
    if (!path.startsWith(prefix)) continue;
    const name = path.slice(prefix.length).split("/", 1)[0] ?? "";
    const size = stored.get(prefix + name)?.length;
    const kind = size === undefined ? "directory" : "file";
    const { modified = 0 } = written.get(prefix + name) ?? {};
    entries.set(name, { name, kind, size: size ?? 0, modified });
  }
  return [...entries.values()].sort((one, other) => one.name < other.name ? -1 : 1);
}

function bytesOf(contents: string | Uint8Array): Uint8Array {
  return typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(one.length + other.length);
  whole.set(one);
  whole.set(other, one.length);
  return whole;
}

function chunksOf(
  contents: Uint8Array,
  { offset, length = Infinity }: FileRange = { offset: 0 },
): ReadableStream<Uint8Array> {
  const end = Math.min(contents.length, offset + length);
  let at = offset;
  return new ReadableStream({
    pull(controller) {
      if (at >= end) return controller.close();
      controller.enqueue(contents.slice(at, at = Math.min(end, at + CHUNK_BYTES)));
    },
  }, { highWaterMark: 0 });
}
