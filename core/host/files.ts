/** The real file system, as the host gives it. */
import type { FileEntry } from "../plugin.ts";
import type { HostFiles } from "../host.ts";
import { attempt, optional, worded } from "./file_errors.ts";

const CHUNK_BYTES = 256 * 1024;
/** What small files are read into; one for all, since fresh memory takes longer than the reads. */
const smallFile = new Uint8Array(64 * 1024);

/** The real file system. */
export const systemFiles: HostFiles = {
  // The calls are synchronous inside: for a thousand small files the trips
  // through the runtime's thread pool cost several times the reads themselves.
  list: (directory) => attempt("list directory", directory, () => listSync(directory)),
  readAll: (paths) =>
    Promise.all(paths.map((path) => attempt("read", path, () => Deno.readFileSync(path)))),
  async readSmall(paths, limit) {
    await letSocketsMove();
    const buffer = smallFile.subarray(0, limit + 1);
    const contents: (Uint8Array | null)[] = [];
    worded("read", () => paths[contents.length] ?? "", () => {
      for (const path of paths) contents.push(readSmallSync(path, { limit, buffer }));
    });
    return contents;
  },
  stream: (path, { offset = 0, length = Infinity } = { offset: 0 }) =>
    attempt("read", path, () => {
      const file = Deno.openSync(path);
      try {
        // What cannot be sought in, such as a pipe, has a beginning all the same.
        if (offset !== 0) file.seekSync(offset, Deno.SeekMode.Start);
      } catch (error) {
        file.close();
        throw error;
      }
      return streamOf(file, { path, length });
    }),
  async create(path, contents, options) {
    await (await writing()).create(path, contents, options);
  },
  async save(path, data, options) {
    await (await writing()).save(path, data, options);
  },
  async rename(from, to) {
    await (await writing()).rename(from, to);
  },
  async remove(path) {
    return await (await writing()).remove(path);
  },
  async makeDirectory(path, options) {
    await (await writing()).makeDirectory(path, options);
  },
  readText: (path) => optional("read", path, () => Deno.readTextFileSync(path)),
  mode: (path) => optional("inspect", path, () => Deno.statSync(path).mode ?? undefined),
  async appending(path) {
    const { appending } = await import("./appending.ts");
    return appending(path);
  },
  async inspect(path) {
    const { inspect } = await import("./facts.ts");
    return await optional("inspect", path, () => inspect(path));
  },
};

/**
 * Whatever else is under way, such as the login to the database, has its turn first. A timer, since
 * the runtime looks at its sockets when it has nothing else to do; with other work it does so only
 * once in 61 turns of its loop.
 */
async function letSocketsMove(): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, 0));
}

/** Loaded when something is written: most commands write nothing. */
function writing(): Promise<typeof import("./writing.ts")> {
  return import("./writing.ts");
}

/** Where the end of a file is looked for; a part of the buffer would take longer to make. */
const beyond = new Uint8Array(1);

/** Most small files fit the buffer, and come in one piece: their size need not be asked for. */
function readSmallSync(
  path: string,
  { limit, buffer }: { limit: number; buffer: Uint8Array },
): Uint8Array | null {
  const file = Deno.openSync(path);
  try {
    const length = file.readSync(buffer) ?? 0;
    if (length < buffer.length && file.readSync(beyond) === null) return buffer.slice(0, length);
    if (file.statSync().size > limit) return null;
  } finally {
    // Not by `using`, which takes a tenth longer for a thousand files.
    file.close();
  }
  const bytes = Deno.readFileSync(path);
  return bytes.length > limit ? null : bytes;
}

function listSync(directory: string): FileEntry[] {
  const names: string[] = [];
  const others = new Set<string>();
  for (const { name, isFile } of Deno.readDirSync(directory)) {
    names.push(name);
    if (!isFile) others.add(name);
  }
  return names.sort().map((name) =>
    others.has(name) ? { name, ...factsOf(directory, { name }) } : new ListedFile(directory, name)
  );
}

/**
 * A file whose facts are asked for when they are read: of a thousand files they seldom are. A class,
 * since a thousand objects with getters of their own take two milliseconds to make.
 */
class ListedFile implements FileEntry {
  readonly name: string;
  readonly kind = "file";
  readonly #directory: string;
  #found: Facts | undefined;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.name = name;
  }

  get size(): number {
    return this.#facts().size;
  }

  get modified(): number {
    return this.#facts().modified;
  }

  #facts(): Facts {
    return this.#found ??= factsOf(this.#directory, this);
  }
}

type Facts = Omit<FileEntry, "name">;

function factsOf(directory: string, { name }: { name: string }): Facts {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(`${directory}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "dangling", size: 0, modified: 0 };
    throw error;
  }
  const modified = info.mtime?.getTime() ?? 0;
  if (info.isFile) return { kind: "file", size: info.size, modified };
  if (info.isDirectory) return { kind: "directory", size: 0, modified };
  return { kind: "other", size: 0, modified: 0 };
}

/** A byte stream: who has a buffer of their own is read into that, so that a large file needs no more. */
function streamOf(
  file: Deno.FsFile,
  { path, length }: { path: string; length: number },
): ReadableStream<Uint8Array> {
  let rest = length;
  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: CHUNK_BYTES,
    async pull(controller) {
      const request = controller.byobRequest;
      const { buffer, byteOffset, byteLength } = request?.view ?? new Uint8Array();
      const chunk = new Uint8Array(buffer, byteOffset, Math.max(0, Math.min(byteLength, rest)));
      const read = () => chunk.length === 0 ? null : file.readSync(chunk);
      const count = await attempt("read", path, read).catch((error) => {
        file.close();
        throw error;
      });
      if (count === null) {
        file.close();
        controller.close();
        request?.respond(0);
      } else {
        rest -= count;
        request?.respond(count);
      }
    },
    cancel: () => file.close(),
  });
}
