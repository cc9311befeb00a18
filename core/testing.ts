/** A host without a machine, for tests of commands and plugins. */
import { type FakeProgram, fakePrograms } from "./testing_programs.ts";
import { fakeFiles } from "./plugin_testing_files.ts";
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
  const now = machine.now ?? (() => Date.now());
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
    now,
    files: hostFiles(stored, now),
    programs: fakePrograms(machine.programs ?? {}),
    dialer: machine.dialer ?? { tcp: refuse, unix: refuse },
    onSignal(handler) {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    onUnhandled: () => () => {},
    identity: () => Promise.resolve({ user: "tester", hostname: "test-machine", pid: 1 }),
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

function hostFiles(stored: Map<string, Uint8Array>, now: () => number): HostFiles {
  const files = fakeFiles(stored, { directory: "/work", now });
  return {
    ...files,
    readText: (path) => {
      const contents = stored.get(path);
      return Promise.resolve(
        contents === undefined ? undefined : new TextDecoder().decode(contents),
      );
    },
    appending: (path) =>
      Promise.resolve((line) => {
        const before = new TextDecoder().decode(stored.get(path) ?? new Uint8Array());
        stored.set(path, bytesOf(before + line));
      }),
    mode: async (path) => stored.has(path) ? (await files.inspect(path))?.mode : undefined,
  };
}
