/** The real file system, as the host gives it. */
import { type FileEntry, OperationError } from "../plugin.ts";
import type { HostFiles } from "../host.ts";

const CHUNK_BYTES = 256 * 1024;
/** What small files are read into; one for all, since fresh memory takes longer than the reads. */
const smallFile = new Uint8Array(64 * 1024);
/** The runtime looks at its sockets once in so many turns of its loop while it has other work. */
const TURNS = 64;

/** The real file system. */
export const systemFiles: HostFiles = {
  // The calls are synchronous inside: for a thousand small files the trips
  // through the runtime's thread pool cost several times the reads themselves.
  list: (directory) => attempt("list directory", directory, () => listSync(directory)),
  readAll: (paths) =>
    Promise.all(paths.map((path) => attempt("read", path, () => Deno.readFileSync(path)))),
  async readSmall(paths, limit) {
    // Whatever else is under way, such as the login to the database, has its turn first.
    await letSocketsMove();
    const buffer = smallFile.subarray(0, limit + 1);
    return paths.map((path) => worded("read", path, () => readSmallSync(path, { limit, buffer })));
  },
  stream: (path) => attempt("read", path, () => streamOf(Deno.openSync(path), path)),
  create: (path, contents, { ownerWrites = false } = {}) =>
    attempt("create", path, () => {
      const slash = path.lastIndexOf("/");
      if (slash > 0) makeDirectory(path.slice(0, slash), ownerWrites ? 0o755 : 0o777);
      const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
      createSync(path, bytes, ownerWrites ? 0o644 : 0o666);
    }),
  readText: (path) => optional("read", path, () => Deno.readTextFileSync(path)),
  mode: (path) => optional("inspect", path, () => Deno.statSync(path).mode ?? undefined),
  async inspect(path) {
    const { inspect } = await import("./facts.ts");
    return await optional("inspect", path, () => inspect(path));
  },
};

async function letSocketsMove(): Promise<void> {
  const { setImmediate } = await import("node:timers");
  for (let turn = 0; turn < TURNS; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Whoever is told that the file is there may delete what it was made from: it is on the disk then. */
function createSync(path: string, bytes: Uint8Array, mode: number): void {
  const file = Deno.openSync(path, { write: true, createNew: true, mode });
  try {
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    file.syncSync();
  } catch (error) {
    // A part of it would be taken for the whole.
    Deno.removeSync(path);
    throw error;
  } finally {
    file.close();
  }
}

function makeDirectory(path: string, mode: number): void {
  try {
    Deno.mkdirSync(path, { recursive: true, mode });
  } catch (error) {
    // A directory that is there is no error: what is there is something else.
    if (error instanceof Deno.errors.AlreadyExists) throw new Deno.errors.NotADirectory();
    throw error;
  }
}

/** Where the end of a file is looked for; a part of the buffer would take longer to make. */
const beyond = new Uint8Array(1);

/** Most small files fit the buffer, and come in one piece: their size need not be asked for. */
function readSmallSync(
  path: string,
  { limit, buffer }: { limit: number; buffer: Uint8Array },
): Uint8Array | null {
  using file = Deno.openSync(path);
  const length = file.readSync(buffer) ?? 0;
  if (length < buffer.length && file.readSync(beyond) === null) return buffer.slice(0, length);
  if (file.statSync().size > limit) return null;
  const bytes = Deno.readFileSync(path);
  return bytes.length > limit ? null : bytes;
}

function listSync(directory: string): FileEntry[] {
  const files = new Map<string, boolean>();
  for (const { name, isFile } of Deno.readDirSync(directory)) files.set(name, isFile);
  return [...files.keys()].sort().map((name) =>
    files.get(name) ? fileEntry(directory, name) : { name, ...kindAndSize(directory, { name }) }
  );
}

/** A file whose size is asked for when it is read: of a thousand files it seldom is. */
function fileEntry(directory: string, name: string): FileEntry {
  return {
    name,
    kind: "file",
    get size() {
      return kindAndSize(directory, { name }).size;
    },
  };
}

function kindAndSize(
  directory: string,
  { name }: { name: string },
): Pick<FileEntry, "kind" | "size"> {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(`${directory}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "dangling", size: 0 };
    throw error;
  }
  if (info.isFile) return { kind: "file", size: info.size };
  return { kind: info.isDirectory ? "directory" : "other", size: 0 };
}

function streamOf(file: Deno.FsFile, path: string): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const count = await attempt("read", path, () => file.readSync(chunk)).catch((error) => {
        file.close();
        throw error;
      });
      if (count === null) {
        file.close();
        controller.close();
      } else {
        controller.enqueue(count === chunk.length ? chunk : chunk.subarray(0, count));
      }
    },
    cancel: () => file.close(),
  }, { highWaterMark: 0 });
}

function optional<T>(action: string, path: string, work: () => T): Promise<T | undefined> {
  return attempt(action, path, () => {
    try {
      return work();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return undefined;
      }
      throw error;
    }
  });
}

// deno-lint-ignore require-await -- a synchronous throw must become a rejection
async function attempt<T>(action: string, path: string, work: () => T): Promise<T> {
  return worded(action, path, work);
}

/** Runs file work and words its errors: the action, the path and the reason. */
function worded<T>(action: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const [code, reason] = reasonOf(error);
    throw new OperationError(`Cannot ${action} "${path}": ${reason}`, {
      code,
      cause: error,
      details: { path },
    });
  }
}

function reasonOf(error: unknown): [code: string, reason: string] {
  if (error instanceof Deno.errors.NotFound) {
    return ["not_found", "there is no such file or directory"];
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return ["permission_denied", "permission is denied"];
  }
  if (error instanceof Deno.errors.AlreadyExists) return ["already_exists", "it exists already"];
  if (error instanceof Deno.errors.NotADirectory) {
    return ["not_a_directory", "it is not a directory"];
  }
  if (error instanceof Deno.errors.IsADirectory) return ["is_a_directory", "it is a directory"];
  return ["file_error", error instanceof Error ? error.message : String(error)];
}
