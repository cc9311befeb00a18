/**
 * The host: the one place where the program meets the machine. Everything else
 * in `core/` is handed this interface, so that a test can hand in another.
 */
import { type FileEntry, OperationError } from "./plugin.ts";
import type { Dialer } from "./postgres/transport.ts";

/** The signals that end a run in an orderly way, with their numbers. */
export const ENDING_SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
/** The name of a signal that ends a run. */
export type EndingSignal = keyof typeof ENDING_SIGNALS;

/** One of the standard streams for output. */
export interface OutputStream {
  /** Writes all of the text, in UTF-8, before it returns. */
  write(text: string): void;
  readonly isTerminal: boolean;
  /** Width in columns; 80 where it is not a terminal. */
  columns(): number;
}

/** What the program needs of the machine. */
export interface Host {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Whether questions can be asked: stdin and stderr are terminals. */
  readonly interactive: boolean;
  /** Reads one line from stdin, without its end; null at the end of input. */
  readLine(): Promise<string | null>;
  /** Milliseconds since 1970. */
  now(): number;
  readonly files: HostFiles;
  readonly dialer: Dialer;
  /** Calls `handler` for each ending signal; the returned function stops that. */
  onSignal(handler: (signal: EndingSignal) => void): () => void;
  /** Calls `handler` for a rejection that nobody handles; the returned function stops that. */
  onUnhandled(handler: (error: unknown) => void): () => void;
  /** Ends the process at once. */
  exit(code: number): never;
  /** The platform, such as `linux-x86_64`, and the runtime's version, for `--version`. */
  readonly platform: string;
  readonly runtime: string;
}

/** The file system; errors are `OperationError` with a stable code. */
export interface HostFiles {
  list(directory: string): Promise<FileEntry[]>;
  readAll(paths: readonly string[]): Promise<Uint8Array[]>;
  readSmall(paths: readonly string[], limit: number): Promise<(Uint8Array | null)[]>;
  stream(path: string): Promise<ReadableStream<Uint8Array>>;
  create(path: string, contents: string | Uint8Array): Promise<void>;
  /** The text of a file, or undefined when there is none. */
  readText(path: string): Promise<string | undefined>;
  /** Permission bits of a file (as in `stat`), or undefined when there is none or no such bits. */
  mode(path: string): Promise<number | undefined>;
}

/** The real machine. */
export function systemHost(): Host {
  let env: Record<string, string> | undefined;
  return {
    get env() {
      return env ??= Deno.env.toObject();
    },
    get cwd() {
      return Deno.cwd();
    },
    stdout: systemStream(Deno.stdout, (error) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new OperationError(`Cannot write to stdout: ${reason}`, {
        code: "write_failed",
        cause: error,
      });
    }),
    // A line that nobody can be told must not end the operation.
    stderr: systemStream(Deno.stderr, () => {}),
    get interactive() {
      return Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
    },
    readLine: readLineFromStdin,
    now: () => Date.now(),
    files: systemFiles,
    dialer: {
      tcp: async (hostname, port) => {
        const connection = await Deno.connect({ hostname, port });
        // A round trip of small messages must not wait for more to send.
        connection.setNoDelay(true);
        return connection;
      },
      unix: (path) => Deno.connect({ transport: "unix", path }),
    },
    onSignal(handler) {
      const listeners = (Object.keys(ENDING_SIGNALS) as EndingSignal[]).map((signal) => {
        const listener = () => handler(signal);
        Deno.addSignalListener(signal, listener);
        return () => Deno.removeSignalListener(signal, listener);
      });
      return () => listeners.forEach((stop) => stop());
    },
    onUnhandled(handler) {
      const listener = (event: PromiseRejectionEvent) => {
        event.preventDefault();
        handler(event.reason);
      };
      globalThis.addEventListener("unhandledrejection", listener);
      return () => globalThis.removeEventListener("unhandledrejection", listener);
    },
    exit: (code) => Deno.exit(code),
    get platform() {
      return `${Deno.build.os}-${Deno.build.arch}`;
    },
    get runtime() {
      return `deno ${Deno.version.deno}`;
    },
  };
}

function systemStream(
  stream: typeof Deno.stdout,
  failed: (error: unknown) => void,
): OutputStream {
  const encoder = new TextEncoder();
  return {
    write(text) {
      try {
        writeAllSync(stream, encoder.encode(text));
      } catch (error) {
        // The reader went away (`observatory … | head`): nobody is left to tell.
        if (error instanceof Deno.errors.BrokenPipe) Deno.exit(141);
        failed(error);
      }
    },
    get isTerminal() {
      return stream.isTerminal();
    },
    columns() {
      try {
        return stream.isTerminal() ? Deno.consoleSize().columns || 80 : 80;
      } catch {
        // stdout and stderr are terminals of different kinds, or none has a size.
        return 80;
      }
    },
  };
}

/**
 * Writes all bytes, waiting where the stream takes no more just now: a terminal
 * or pipe in non-blocking mode, left so by another program.
 */
export function writeAllSync(
  stream: { writeSync(bytes: Uint8Array): number },
  bytes: Uint8Array,
): void {
  let rest = bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(stream.writeSync(rest));
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

async function readLineFromStdin(): Promise<string | null> {
  const decoder = new TextDecoder();
  const byte = new Uint8Array(1);
  let line = "";
  // One byte at a time: what follows the line belongs to whoever reads next.
  while (await Deno.stdin.read(byte) === 1) {
    if (byte[0] === 10) return (line + decoder.decode()).replace(/\r$/, "");
    line += decoder.decode(byte, { stream: true });
  }
  return line === "" ? null : line;
}

const CHUNK_BYTES = 256 * 1024;
const SMALL_FILE_BYTES = 64 * 1024;

const systemFiles: HostFiles = {
  // The calls are synchronous inside: for a thousand small files the trips
  // through the runtime's thread pool cost several times the reads themselves.
  list: (directory) => attempt("list directory", directory, () => listSync(directory)),
  readAll: (paths) =>
    Promise.all(paths.map((path) => attempt("read", path, () => Deno.readFileSync(path)))),
  async readSmall(paths, limit) {
    // Whatever else is under way, such as the login to the database, has its turn first.
    const { setImmediate } = await import("node:timers");
    await new Promise<void>((resolve) => setImmediate(resolve));
    const buffer = new Uint8Array(Math.min(limit + 1, SMALL_FILE_BYTES));
    return await Promise.all(
      paths.map((path) => attempt("read", path, () => readSmallSync(path, { limit, buffer }))),
    );
  },
  stream: (path) => attempt("read", path, () => streamOf(Deno.openSync(path), path)),
  create: (path, contents) =>
    attempt("create", path, () => {
      const slash = path.lastIndexOf("/");
      if (slash > 0) makeDirectory(path.slice(0, slash));
      const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
      Deno.writeFileSync(path, bytes, { createNew: true });
    }),
  readText: (path) => optional("read", path, () => Deno.readTextFileSync(path)),
  mode: (path) => optional("inspect", path, () => Deno.statSync(path).mode ?? undefined),
};

function makeDirectory(path: string): void {
  try {
    Deno.mkdirSync(path, { recursive: true });
  } catch (error) {
    // A directory that is there is no error: what is there is something else.
    if (error instanceof Deno.errors.AlreadyExists) throw new Deno.errors.NotADirectory();
    throw error;
  }
}

/** Most small files fit the buffer, which saves asking for their size first. */
function readSmallSync(
  path: string,
  { limit, buffer }: { limit: number; buffer: Uint8Array },
): Uint8Array | null {
  using file = Deno.openSync(path);
  let length = 0;
  while (length < buffer.length) {
    const count = file.readSync(buffer.subarray(length));
    if (count === null) return buffer.slice(0, length);
    length += count;
  }
  if (file.statSync().size > limit) return null;
  const bytes = Deno.readFileSync(path);
  return bytes.length > limit ? null : bytes;
}

function listSync(directory: string): FileEntry[] {
  const entries: FileEntry[] = [];
  for (const entry of Deno.readDirSync(directory)) {
    entries.push(
      entry.isFile ? fileEntry(directory, entry.name) : {
        name: entry.name,
        ...kindAndSize(directory, entry),
      },
    );
  }
  return entries.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
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

/** Runs file work and words its errors: the action, the path and the reason. */
// deno-lint-ignore require-await -- a synchronous throw must become a rejection
async function attempt<T>(action: string, path: string, work: () => T): Promise<T> {
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
