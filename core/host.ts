/**
 * The host: the one place where the program meets the machine. Everything else
 * in `core/` is handed this interface, so that a test can hand in another.
 */
import { systemFiles } from "./host/files.ts";
import { type Files, OperationError, type ProgramExit } from "./plugin.ts";
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
  /** Whether stdin is a terminal. */
  readonly inputIsTerminal: boolean;
  /** Reads one line from stdin, without its end; null at the end of input. */
  readLine(): Promise<string | null>;
  /** Milliseconds since 1970. */
  now(): number;
  readonly files: HostFiles;
  readonly programs: HostPrograms;
  readonly dialer: Dialer;
  /** Calls `handler` for each ending signal; the returned function stops that. */
  onSignal(handler: (signal: EndingSignal) => void): () => void;
  /** Calls `handler` for a rejection that nobody handles; the returned function stops that. */
  onUnhandled(handler: (error: unknown) => void): () => void;
  identity(): Promise<HostIdentity>;
  /** Ends the process at once. */
  exit(code: number): never;
  /** The platform, such as `linux-x86_64`, and the runtime's version, for `--version`. */
  readonly platform: string;
  readonly runtime: string;
  /** The directory of the program's entry, where the build puts its facts. */
  readonly programDirectory: string;
}

/** The file system, with what the program alone asks of it; errors are `OperationError` with a stable code. */
export interface HostFiles extends Files {
  /** The text of a file, or undefined when there is none. */
  readText(path: string): Promise<string | undefined>;
  /** Permission bits of a file (as in `stat`), or undefined when there is none or no such bits. */
  mode(path: string): Promise<number | undefined>;
  /**
   * Opens a file for adding lines, each by one call of the system; made where it is missing, for this
   * user alone.
   *
   * @returns adds a line, its end included, before it returns
   */
  appending(path: string): Promise<(line: string) => void>;
}

/** Who runs the program, and where. */
export interface HostIdentity {
  /** The operating system's user. */
  readonly user: string;
  /** What the machine is called. */
  readonly hostname: string;
  /** This process. */
  readonly pid: number;
}

/** Other programs. */
export interface HostPrograms {
  /** The file at a path, links followed; undefined when there is none that this user can see. */
  find(path: string): Promise<ProgramFile | undefined>;
  /**
   * Starts a program.
   *
   * @param path its file; no directory is searched for it
   * @throws OperationError `program_missing`, `program_not_started`, or `arguments_too_long`
   */
  spawn(path: string, options: SpawnOptions): Promise<SpawnedProgram>;
}

/** A file that may be a program. */
export interface ProgramFile {
  /** Its absolute path without links. */
  readonly realPath: string;
  /** Whether this user may start it. */
  readonly executable: boolean;
}

/** How a program is started; what is no stream is this process's own, or nothing. */
export interface SpawnOptions {
  readonly args: readonly string[];
  /** Its whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: ReadableStream<Uint8Array> | "inherit" | "none";
  readonly stdout: "stream" | "inherit";
  readonly stderr: "stream" | "inherit";
  /** Whether it leads a group of its own: signals then reach what it has started, too. */
  readonly group: boolean;
  /** Whom it runs as, instead of this process's own user; in the directory `/` then. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** A file that only this user can read, there as long as the program; the variable names it. */
  readonly secretFile?: { readonly variable: string; readonly contents: string };
}

/** A program that was started. */
export interface SpawnedProgram {
  /** What it writes; empty where that is inherited. A byte stream on a real machine. */
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** Settles when it has ended. */
  readonly exit: Promise<ProgramExit>;
  /**
   * Settles when it has read all of its input, or will read no more; the rest of the stream is
   * cancelled then. Rejects with what the stream fails with; the program is not told of an end.
   */
  readonly fed: Promise<void>;
  /** Sends a signal; none when it has ended. */
  kill(signal: EndingSignal | "SIGKILL"): void;
  /** Has the pipe of its output hold more, where the system can; tells whether it does now. */
  widen(): boolean;
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
    get inputIsTerminal() {
      return Deno.stdin.isTerminal();
    },
    readLine: readLineFromStdin,
    now: () => Date.now(),
    files: systemFiles,
    programs: {
      async find(path) {
        const { find } = await import("./host/programs.ts");
        return find(path);
      },
      async spawn(path, options) {
        const { spawn } = await import("./host/programs.ts");
        return await spawn(path, options);
      },
    },
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
    async identity() {
      const { identity } = await import("./host/identity.ts");
      return identity();
    },
    exit: (code) => Deno.exit(code),
    get platform() {
      return `${Deno.build.os}-${Deno.build.arch}`;
    },
    get programDirectory() {
      return decodeURIComponent(new URL(".", Deno.mainModule).pathname);
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
