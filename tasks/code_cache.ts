/**
 * The code caches of the program: what V8 made of its texts, so that a run does not compile it anew.
 * Half of what a short run took beyond the start of the runtime was that.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";

/** A migration, for the run that the caches are made of. */
const MIGRATION = { version: "1", file: "1_first.sql", sql: "SELECT 1;\n" };

/** A plugin, for the runs beside one and of its command. */
const PLUGIN = `import { command, definePlugin } from "observatory";
export default definePlugin({
  name: "cached",
  api: 1,
  summary: "Say it",
  commands: {
    "cached": command({
      summary: "Say it",
      examples: [{ line: "observatory cached", note: "say it" }],
      effect: "read",
      database: "none",
      flags: { "often": { type: "number", default: 1, help: "How often" } },
      run: (_ctx, { flags }) => Promise.resolve({ data: flags.often, text: "said" }),
    }),
  },
});
`;

/**
 * Runs the usual command lines in `maker`, which is `tasks/compiled/make_cache.ts` compiled, and has
 * it write the caches. The server that they meet is played here.
 *
 * @returns what the program answers to `--version`
 * @throws Error when one of them fails, or V8 does not take the caches again
 */
export async function makeCodeCache(
  { maker, scripts, output, directory }: {
    readonly maker: string;
    /** The names of the scripts. */
    readonly scripts: readonly string[];
    /** The directory where the caches are written. */
    readonly output: string;
    /** An empty directory to work in. */
    readonly directory: string;
  },
): Promise<string> {
  await Deno.writeTextFile(join(directory, MIGRATION.file), MIGRATION.sql);
  const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = serve(server);
  const url = `postgres://postgres@127.0.0.1:${server.addr.port}/cache?sslmode=disable`;
  const plugins = await writePlugin(directory);
  const lines = [
    ["--version"],
    ["help"],
    ["config"],
    ["migrate", "--dir", directory, "--wait", "0"],
    // What is found for the first time, then again.
    ["config", "--plugin-dir", plugins],
    ["config", "--plugin-dir", plugins],
    ["cached", "--plugin-dir", plugins],
    // At a TAB nobody wants to wait.
    ["__complete", "bash", "--", "observatory migrate --to ", "25", ""],
    ["__complete", "zsh", "--", "--plugin-dir", plugins, "cached", "--"],
  ];
  try {
    const env = { DATABASE_URL: url, NO_COLOR: "1", XDG_CACHE_HOME: join(directory, "cache") };
    const options = { cwd: directory, env };
    const given = [output, scripts.join(","), JSON.stringify(lines)];
    const answers = await runMaker(maker, ["make", ...given], options);
    await runMaker(maker, ["check", ...given], options);
    // That of the first line.
    return answers.slice(0, answers.indexOf("\n") + 1);
  } finally {
    server.close();
    await serving;
  }
}

/** Nobody else may write to a plugin, whatever the usual modes of new files are here. */
async function writePlugin(directory: string): Promise<string> {
  const plugins = join(directory, "plugins");
  const file = join(plugins, "cached.ts");
  await Deno.mkdir(plugins);
  await Deno.writeTextFile(file, PLUGIN);
  await Deno.chmod(plugins, 0o755);
  await Deno.chmod(file, 0o644);
  return plugins;
}

async function runMaker(
  maker: string,
  args: string[],
  options: { readonly cwd: string; readonly env: Record<string, string> },
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(maker, {
    ...options,
    args,
    clearEnv: true,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`Cannot make the code cache: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout);
}

/** A server that has applied the one migration, and whatever it is asked tells its digest. */
async function serve(server: Deno.Listener): Promise<void> {
  const talks: Promise<void>[] = [];
  for await (const connection of server) talks.push(talk(connection));
  await Promise.all(talks);
}

const READY = message("Z", "I");
const GREETING = joined(
  message("R", "\0\0\0\0"),
  message("S", "server_version\0" + "15.0\0"),
  message("K", "\0\0\0\x01\0\0\0\x01"),
  READY,
);
const ANSWER = joined(
  message("1"),
  message("2"),
  message("T", "\0\x01digest\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
  message("D", `\0\x01\0\0\0\x40${digest()}`),
  message("C", "SELECT 1\0"),
  READY,
);

async function talk(connection: Deno.Conn): Promise<void> {
  using _ = connection;
  const buffer = new Uint8Array(64 << 10);
  let answer = GREETING;
  // Each of the short messages of this run comes in one piece.
  while (await connection.read(buffer).catch(() => null) !== null) {
    if (buffer[0] === 0x58) return; // X
    await connection.write(answer);
    answer = ANSWER;
  }
}

function digest(): string {
  const checksum = createHash("sha384").update(MIGRATION.sql).digest("hex");
  return createHash("sha256").update(`${MIGRATION.version} ${checksum} true`).digest("hex");
}

function message(type: string, body = ""): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(`${type}\0\0\0\0${body}`, (letter) => letter.charCodeAt(0));
  new DataView(bytes.buffer).setInt32(1, bytes.length - 1);
  return bytes;
}

function joined(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}
