/**
 * A PostgreSQL server for one verification, on this machine: on a socket in a private directory, and
 * on no network. It lives no longer than this process, however that ends: a shell script in a session
 * of its own holds the server, waits on a pipe for its owner's end, then stops the server and removes
 * the directory.
 */
import { dirname } from "node:path";
import { type ClientTool, type Context, OperationError, type Program } from "../../core/plugin.ts";
import { sizeText } from "../repository/size.ts";
import { HOLDER, STARTER } from "./throwaway_script.ts";

/** What server is needed. */
export interface ThrowawayOptions {
  /** The lowest major that will do: the dumped server's. */
  readonly major: number;
  /** Bytes that the restored tables will take. */
  readonly size: number;
  /** A library that must be preloaded, such as `timescaledb`. */
  readonly preload?: string;
}

/** A running throw-away server. */
export interface ThrowawayServer {
  /** The context over its database `postgres`, as its superuser `postgres`. */
  readonly context: Context;
  /** Such as `15.18`. */
  readonly version: string;
  readonly directory: string;
  /** Ends all sessions, stops the server and removes its data; safe to call twice. */
  stop(): Promise<void>;
}

/** How long the server may take to start, in milliseconds. */
const START_MILLISECONDS = 120_000;

/** Bytes of the log of changes, and of what every database has. */
const BESIDES = 512 * 1024 ** 2;

/** The longest path of a socket is about 100 bytes. */
const LONGEST_PARENT = 60;

/** Speed over durability, since the data is thrown away; nothing works in the background. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "",
  unix_socket_permissions: "0700",
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_wal_size: "256MB",
  checkpoint_timeout: "1h",
  autovacuum: "off",
  max_connections: "50",
  // A dump of thousands of tables is restored in one transaction.
  max_locks_per_transaction: "4096",
  logging_collector: "off",
};

/**
 * Starts one where the programs of a fitting server are installed.
 *
 * @throws OperationError of kind `refused`: `no_server` where there is none, `no_space` where the
 *   data would not fit, `server_not_started` with the end of its log
 */
export async function startThrowaway(
  ctx: Context,
  options: ThrowawayOptions,
): Promise<ThrowawayServer> {
  const server = await findServer(ctx, options.major);
  const parent = await chooseParent(ctx, options.size);
  const user = await accountFor(ctx, parent);
  const preload = options.preload === undefined ? {} : {
    shared_preload_libraries: options.preload,
    // What is restored has jobs, which must not change it.
    ...(options.preload === "timescaledb" ? { "timescaledb.max_background_workers": "0" } : {}),
  };
  ctx.log.info(`Starting a throw-away server of PostgreSQL ${server.version} in ${parent}...`);
  const settings = Object.entries({ ...SETTINGS, ...preload }).flatMap((
    [name, value],
  ) => ["-c", `${name}=${value}`]);
  const owner = openPipe();
  const program = await ctx.exec("/bin/sh", {
    args: [
      ...["-c", STARTER, "observatory-verify", HOLDER, parent],
      ...[`${dirname(server.path)}/initdb`, server.path, ...settings],
    ],
    env: { LC_ALL: "C" },
    stdin: owner.stream,
    ...(user === undefined ? {} : { user }),
  });
  const held = follow(program);
  let stopping: Promise<void> | undefined;
  const stop = () => stopping ??= end(held, owner.close);
  try {
    const directory = await held.directory;
    const context = await reach(ctx, directory);
    await untilReady(context, held);
    return { context, version: server.version, directory, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function findServer(ctx: Context, major: number): Promise<ClientTool> {
  try {
    return await ctx.clientTool("postgres", { major });
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    throw new OperationError(
      `Cannot restore the backup for a trial: no server of PostgreSQL ${major} or newer is installed here`,
      {
        kind: "refused",
        code: "no_server",
        hint: `Install the package postgresql-${major}, or name a server for scratch databases ` +
          "by --on URL; --level read needs none",
        details: { major, found: error.details["found"] ?? [] },
        cause: error,
      },
    );
  }
}

/** Where its directory is made: where TMPDIR says, else where there is room. */
async function chooseParent(ctx: Context, size: number): Promise<string> {
  const given = ctx.config.get("TMPDIR");
  const needed = size + BESIDES;
  const rooms: string[] = [];
  for (const path of given ? [given.replace(/(?<=.)\/+$/, "")] : ["/var/tmp", "/tmp"]) {
    const facts = await ctx.files.inspect(path);
    if (facts?.kind !== "directory" || facts.realPath.length > LONGEST_PARENT) continue;
    if (facts.disk.free >= needed) return facts.realPath;
    rooms.push(`${sizeText(facts.disk.free)} in ${path}`);
  }
  throw new OperationError(
    rooms.length === 0
      ? `Cannot make a throw-away server${given ? ` in "${given}", which TMPDIR names` : ""}: ` +
        `it takes a directory whose path has at most ${LONGEST_PARENT} bytes`
      : `Cannot make a throw-away server: it takes ${sizeText(needed)}, and there are ` +
        `${rooms.join(" and ")}`,
    {
      kind: "refused",
      code: rooms.length === 0 ? "no_directory" : "no_space",
      hint: "Name another directory by TMPDIR, or a server for scratch databases by --on URL",
      details: { needed },
    },
  );
}

/** Whom the server runs as, where this process is root's; it refuses to be root's. */
async function accountFor(
  ctx: Context,
  parent: string,
): Promise<{ uid: number; gid: number } | undefined> {
  const facts = await ctx.files.inspect(parent);
  if (facts?.self.uid !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = [await numberOf(ctx, "-u", name), await numberOf(ctx, "-g", name)];
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new OperationError(
    "Cannot make a throw-away server as root: there is no user postgres or nobody to run it",
    {
      kind: "refused",
      code: "no_account",
      hint: "Run this as another user, or name a server for scratch databases by --on URL",
    },
  );
}

async function numberOf(ctx: Context, flag: string, user: string): Promise<number | undefined> {
  const program = await ctx.exec("id", { args: [flag, user] });
  const [text, , { code }] = await Promise.all([
    new Response(program.stdout).text(),
    new Response(program.stderr).text(),
    program.exit,
  ]);
  return code === 0 && /^\d+\s*$/.test(text) ? Number(text) : undefined;
}

/** What this process holds open as long as it lives. */
function openPipe(): { readonly stream: ReadableStream<Uint8Array>; readonly close: () => void } {
  let close = () => {};
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      close = () => {
        close = () => {};
        controller.close();
      };
    },
    cancel() {
      close = () => {};
    },
  });
  return { stream, close: () => close() };
}

/** The script that holds a server, and what it tells. */
interface Held {
  /** Settles when the script has made it. */
  readonly directory: Promise<string>;
  /** Settles with the end of the server's log when it has ended, and the directory is removed. */
  readonly over: Promise<string>;
}

function follow(program: Program): Held {
  const made = Promise.withResolvers<string>();
  const read = async () => {
    let told = "";
    for await (const text of program.stdout.pipeThrough(new TextDecoderStream())) {
      told += text;
      const directory = /^directory (.*)\n/.exec(told)?.[1];
      if (directory !== undefined) made.resolve(directory);
    }
    return told.replace(/^directory .*\n/, "");
  };
  const over = (async () => {
    const [told, complaints] = await Promise.all([read(), new Response(program.stderr).text()]);
    await program.exit;
    return `${complaints}${told}`;
  })();
  over.then((log) => made.reject(notStarted(log)), made.reject);
  made.promise.catch(() => {});
  return { directory: made.promise, over };
}

function notStarted(log: string): OperationError {
  const lines = log.trim().split("\n").filter((line) => line !== "").slice(-5);
  return new OperationError(
    `Cannot start a throw-away server: ${lines.join("; ") || "it has ended without a word"}`,
    {
      kind: "refused",
      code: "server_not_started",
      hint: "Name a server for scratch databases by --on URL",
      details: { log: lines },
    },
  );
}

async function reach(ctx: Context, directory: string): Promise<Context> {
  const query = new URLSearchParams({ host: directory, user: "postgres", sslmode: "disable" });
  const url = `postgresql:///postgres?${query}`;
  const context = await ctx.at?.(url, { named: "the throw-away server" });
  if (context === undefined) throw new Error("Only built-ins reach other servers");
  return context;
}

async function untilReady(context: Context, { over }: Held): Promise<void> {
  const deadline = context.now() + START_MILLISECONDS;
  let log: string | undefined;
  over.then((text) => log = text, () => log ??= "");
  for (;;) {
    try {
      const session = await context.db.session({ wait: 0, notices: "drop" });
      return await session.close();
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof OperationError) || error.kind !== "connection") throw error;
      if (log !== undefined) throw notStarted(log);
      if (context.now() > deadline) throw notStarted(error.message);
    }
    await context.sleep(50);
  }
}

/** Lets the script stop the server, and waits until it has; the end of the run hastens it. */
async function end({ over }: Held, close: () => void): Promise<void> {
  close();
  await over.catch(() => {});
}
