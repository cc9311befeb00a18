/**
 * Throw-away servers that speak S3's protocol, for the tests, the demo and the benchmarks:
 * versitygw where it is installed, else npm's fauxqs. A server lives no longer than the process that
 * started it, however that process ends.
 */

import { join } from "node:path";
import { PROJECT } from "./build.ts";

/** Which server: versitygw checks signatures and knows conditional writes, fauxqs does neither. */
export type S3Kind = "versitygw" | "fauxqs";

/** Where a server is reached, and by whom. Its region is `us-east-1`. */
export interface S3Address {
  readonly kind: S3Kind;
  /** Such as `http://127.0.0.1:7070`. */
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** A running throw-away server. */
export interface S3Server extends S3Address, AsyncDisposable {
  /** Stops the server and removes what it holds; safe to call twice. */
  stop(): Promise<void>;
}

/** How a server is started. */
export interface S3ServerOptions {
  /** By default versitygw where it is found. */
  readonly kind?: S3Kind;
  /** Whether a connection serves several requests; by default it does. For versitygw alone. */
  readonly keepAlive?: boolean;
  /** A certificate with its chain, and its key, as PEM text. For versitygw alone. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

const ACCESS_KEY = "observatory-test-key";
const SECRET_KEY = "observatory-test-secret";

/** How long a server may take to start, in milliseconds. */
const START_LIMIT = 30_000;

/** How often a start is tried when another process takes the chosen port first. */
const PORT_TRIES = 5;

/**
 * Runs the server, stops it when standard input ends, and removes its directory. It runs in a session
 * of its own: the terminal's Ctrl-C must not take the server from an owner that is cleaning up.
 */
const SUPERVISOR = `
directory=$1
shift
exec 3<&0 </dev/null
trap '' HUP INT TERM PIPE
"$@" >"$directory/log" 2>&1 3<&- &
server=$!
{ cat <&3; kill -KILL "$server"; } >/dev/null 2>&1 &
stopper=$!
wait "$server" 2>/dev/null
echo exited
cat <&3 >/dev/null
kill -KILL "$stopper" 2>/dev/null
rm -rf "$directory"
`;

/**
 * Starts a server with nothing in it, and waits until it answers.
 *
 * @throws Error with the end of the server's log when it does not start
 */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const kind = options.kind ?? (await findVersitygw() === undefined ? "fauxqs" : "versitygw");
  return kind === "fauxqs" ? await startFauxqs() : await startVersitygw(options);
}

/** The path of versitygw: on PATH, or where Go installs programs; undefined when it is not there. */
export async function findVersitygw(): Promise<string | undefined> {
  const home = Deno.env.get("HOME") ?? "";
  const directories = [
    ...(Deno.env.get("PATH") ?? "").split(":"),
    Deno.env.get("GOBIN") ?? "",
    ...(Deno.env.get("GOPATH") ?? join(home, "go")).split(":").map((path) => join(path, "bin")),
  ];
  for (const directory of directories.filter((each) => each !== "")) {
    const path = join(directory, "versitygw");
    if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
  }
  return undefined;
}

async function startVersitygw({ keepAlive = true, tls }: S3ServerOptions): Promise<S3Server> {
  const program = await findVersitygw();
  if (program === undefined) throw new Error("Cannot start versitygw: it is not installed");
  let failure: unknown;
  // It needs extended attributes, which not every system has in memory.
  for (const parent of ["/dev/shm", Deno.env.get("TMPDIR") ?? "/tmp"]) {
    const there = await Deno.stat(parent).then(({ isDirectory }) => isDirectory, () => false);
    for (let tries = 0; there && tries < PORT_TRIES; tries++) {
      try {
        return await runVersitygw(program, { keepAlive, parent, tls });
      } catch (error) {
        failure = error;
        if (!(error instanceof Error && /address already in use/i.test(error.message))) break;
      }
    }
  }
  throw failure;
}

async function runVersitygw(
  program: string,
  { keepAlive, parent, tls }: {
    readonly keepAlive: boolean;
    readonly parent: string;
    readonly tls: S3ServerOptions["tls"];
  },
): Promise<S3Server> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-s3-", dir: parent });
  const port = freePort();
  await Deno.mkdir(join(directory, "data"));
  const secure: string[] = [];
  if (tls !== undefined) {
    await Deno.writeTextFile(join(directory, "cert"), tls.cert);
    await Deno.writeTextFile(join(directory, "key"), tls.key, { mode: 0o600 });
    secure.push("--cert", join(directory, "cert"), "--key", join(directory, "key"));
  }
  const child = supervise(directory, {
    command: [
      program,
      "--port",
      `127.0.0.1:${port}`,
      "--quiet",
      ...(keepAlive ? ["--keep-alive"] : []),
      ...secure,
      "posix",
      join(directory, "data"),
    ],
    env: { ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY },
  });
  const ended = tellsOfItsEnd(child);
  const deadline = Date.now() + START_LIMIT;
  while (!await listens(port)) {
    if (ended.yet || Date.now() > deadline) {
      const log = await Deno.readTextFile(join(directory, "log"));
      await end(child);
      throw new Error(`Cannot start versitygw: ${log.trim().split("\n").slice(-5).join("\n")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const scheme = tls === undefined ? "http" : "https";
  return serverOf(child, { kind: "versitygw", endpoint: `${scheme}://127.0.0.1:${port}` });
}

async function startFauxqs(): Promise<S3Server> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", join(PROJECT, "tasks", "fauxqs.ts")],
    cwd: PROJECT,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    detached: true,
  }).spawn();
  let told = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!told.includes("\n")) {
    const { done, value = "" } = await reader.read();
    if (done) throw new Error("Cannot start fauxqs: it ended before it told its port");
    told += value;
  }
  await reader.cancel();
  return serverOf(child, { kind: "fauxqs", endpoint: `http://127.0.0.1:${told.trim()}` });
}

function serverOf(
  child: Deno.ChildProcess,
  { kind, endpoint }: Pick<S3Address, "kind" | "endpoint">,
): S3Server {
  // A process whose work is done may end without stopping the server by hand.
  child.unref();
  let stopping: Promise<void> | undefined;
  const stop = () => stopping ??= end(child);
  return {
    kind,
    endpoint,
    accessKeyId: ACCESS_KEY,
    secretAccessKey: SECRET_KEY,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function supervise(
  directory: string,
  { command, env }: {
    readonly command: readonly string[];
    readonly env: Readonly<Record<string, string>>;
  },
): Deno.ChildProcess {
  return new Deno.Command("/bin/sh", {
    args: ["-c", SUPERVISOR, "s3-supervisor", directory, ...command],
    cwd: directory,
    clearEnv: true,
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    detached: true,
  }).spawn();
}

/** Whether the server has ended by itself. */
function tellsOfItsEnd(child: Deno.ChildProcess): { yet: boolean } {
  const ended = { yet: false };
  (async () => {
    for await (const _ of child.stdout) ended.yet = true;
  })();
  return ended;
}

async function end(child: Deno.ChildProcess): Promise<void> {
  child.ref();
  await child.stdin.close();
  await child.status;
}

async function listens(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

/** A TCP port that nobody listens on now. */
function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
