/** A host without a machine, for tests of commands and plugins. */
import { type FakeProgram, fakePrograms } from "./testing_programs.ts";
import { type FileEntry, type FileFacts, OperationError } from "./plugin.ts";
import type { EndingSignal, Host, HostFiles, OutputStream } from "./host.ts";
import type { Dialer } from "./postgres/transport.ts";

/** What a fake machine holds. */
export interface FakeMachine {
  readonly env?: Readonly<Record<string, string>>;
  /** Files by path, relative to the working directory or absolute. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Programs by path; a name alone stands for one in /usr/bin. */
  readonly programs?: Readonly<Record<string, FakeProgram>>;
  /** Lines that are typed. */
  readonly input?: readonly string[];
  /** Whether the streams are terminals. */
  readonly terminal?: boolean;
  /** Reaches real servers; without it every connection is refused. */
  readonly dialer?: Dialer;
  /** Milliseconds since 1970; by default the real clock. */
  readonly now?: () => number;
}

/** A fake host with what was written to it. */
export interface FakeHost extends Host {
  /** Everything written so far. */
  readonly written: { stdout: string; stderr: string };
  /** Files as they stand now. */
  readonly stored: Map<string, Uint8Array>;
  /** The code given to `exit`, if it was called. */
  readonly exited: { code: number | undefined };
  /** Delivers a signal. */
  send(signal: EndingSignal): void;
}

/** Makes a fake host. */
export function fakeHost(machine: FakeMachine = {}): FakeHost {
  const written = { stdout: "", stderr: "" };
  const exited: FakeHost["exited"] = { code: undefined };
  const handlers = new Set<(signal: EndingSignal) => void>();
  const input = [...machine.input ?? []];
  const stored = new Map(
    Object.entries(machine.files ?? {}).map(([path, contents]) => [path, bytesOf(contents)]),
  );
  const stream = (name: "stdout" | "stderr"): OutputStream => ({
    write: (text) => void (written[name] += text),
    isTerminal: machine.terminal ?? false,
    columns: () => 80,
  });
  const refuse = () =>
    Promise.reject(Object.assign(new Error("connection refused"), { name: "ConnectionRefused" }));
  return {
    env: machine.env ?? {},
    cwd: "/work",
    stdout: stream("stdout"),
    stderr: stream("stderr"),
    interactive: machine.terminal ?? false,
    inputIsTerminal: machine.terminal ?? false,
    readLine: () => Promise.resolve(input.shift() ?? null),
    now: machine.now ?? (() => Date.now()),
    files: fakeFiles(stored),
    programs: fakePrograms(machine.programs ?? {}),
    dialer: machine.dialer ?? { tcp: refuse, unix: refuse },
    onSignal(handler) {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    onUnhandled: () => () => {},
    exit(code) {
      exited.code = code;
      throw new Error(`exit(${code})`);
    },
    platform: "test-machine",
    runtime: "test",
    programDirectory: "/program/",
    written,
    stored,
    exited,
    send: (signal) => handlers.forEach((handler) => handler(signal)),
  };
}

function bytesOf(contents: string | Uint8Array): Uint8Array {
  return typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
}

function fakeFiles(stored: Map<string, Uint8Array>): HostFiles {
  // deno-lint-ignore require-await -- a missing file must be a rejection
  async function read(path: string): Promise<Uint8Array> {
    const contents = stored.get(path);
    if (contents !== undefined) return contents;
    throw new OperationError(`Cannot read "${path}": there is no such file or directory`, {
      code: "not_found",
      details: { path },
    });
  }
  return {
    list(directory) {
      const prefix = `${directory.replace(/\/$/, "")}/`;
      const entries = new Map<string, FileEntry>();
      for (const [path, contents] of stored) {
        if (!path.startsWith(prefix)) continue;
        const [name = "", ...below] = path.slice(prefix.length).split("/");
        entries.set(
          name,
          below.length > 0
            ? { name, kind: "directory", size: 0 }
            : { name, kind: "file", size: contents.length },
        );
      }
      if (entries.size === 0) {
        return Promise.reject(
          new OperationError(
            `Cannot list directory "${directory}": there is no such file or directory`,
            {
              code: "not_found",
              details: { path: directory },
            },
          ),
        );
      }
      return Promise.resolve([...entries.values()].sort((a, b) => a.name < b.name ? -1 : 1));
    },
    readAll: (paths) => Promise.all(paths.map(read)),
    readSmall: async (paths, limit) =>
      (await Promise.all(paths.map(read))).map((bytes) => bytes.length > limit ? null : bytes),
    stream: async (path) => new Blob([(await read(path)).slice()]).stream(),
    create(path, contents) {
      if (stored.has(path)) {
        return Promise.reject(
          new OperationError(`Cannot create "${path}": it exists already`, {
            code: "already_exists",
            details: { path },
          }),
        );
      }
      stored.set(path, bytesOf(contents));
      return Promise.resolve();
    },
    readText: (path) => {
      const contents = stored.get(path);
      return Promise.resolve(
        contents === undefined ? undefined : new TextDecoder().decode(contents),
      );
    },
    mode: (path) => Promise.resolve(stored.has(path) ? 0o600 : undefined),
    inspect: (path) => Promise.resolve(factsOf(stored, path)),
  };
}

/** Everything belongs to this user, on a disk of which half is full. */
function factsOf(stored: ReadonlyMap<string, Uint8Array>, path: string): FileFacts | undefined {
  const contents = stored.get(path);
  const directory = `${path.replace(/\/$/, "")}/`;
  if (contents === undefined && ![...stored.keys()].some((each) => each.startsWith(directory))) {
    return undefined;
  }
  return {
    realPath: path.startsWith("/") ? path : `/work/${path}`,
    kind: contents === undefined ? "directory" : "file",
    size: contents?.length ?? 0,
    mode: contents === undefined ? 0o700 : 0o600,
    owner: { uid: 1000, gid: 1000 },
    self: { uid: 1000, gid: 1000 },
    access: { read: true, write: true, execute: contents === undefined },
    disk: { total: 2e9, free: 1e9 },
  };
}
