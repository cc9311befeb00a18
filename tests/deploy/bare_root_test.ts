/**
 * The compiled program on a machine with nothing but the C library: a root directory that holds
 * the program, the libraries that it names, and what every kernel gives.
 */
import assert from "assert";
import { dirname, join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { compiledProgram } from "../compiled_program.ts";
import { openDatabase, sharedServer, uniqueName } from "../database.ts";
import { freshBucket } from "../s3.ts";
import { skipWhenMissing } from "../skip.ts";

const compiled = await compiledProgram();
const ignore = skipWhenMissing(
  "the program on a bare root",
  Deno.uid() === 0 ? compiled.missing : "only root changes its root directory",
);

interface BareRoot extends AsyncDisposable {
  readonly path: string;
  run(
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
}

async function bareRoot(program: string): Promise<BareRoot> {
  const path = await Deno.makeTempDir({ prefix: "observatory-bare-" });
  for (const directory of ["tmp", "dev", "proc", "home/me", "bin"]) {
    await Deno.mkdir(join(path, directory), { recursive: true });
  }
  await Deno.copyFile(program, join(path, "bin/observatory"));
  await Deno.chmod(join(path, "bin/observatory"), 0o755);
  for (const library of await librariesOf(program)) {
    await Deno.mkdir(dirname(join(path, library)), { recursive: true });
    await Deno.copyFile(await Deno.realPath(library), join(path, library));
    await Deno.chmod(join(path, library), 0o755);
  }
  return {
    path,
    async run(args, env = {}) {
      // Mounted in a namespace of its own, so that nothing stays mounted.
      const enter = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && ' +
        'exec chroot "$0" /bin/observatory "$@"';
      const { code, stdout, stderr } = await new Deno.Command("unshare", {
        args: ["--mount", "sh", "-c", enter, path, ...args],
        cwd: "/",
        clearEnv: true,
        env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/home/me", ...env },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).output();
      const decoder = new TextDecoder();
      return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** The libraries that the loader would load, the loader itself included. */
async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("ldd", { args: [program] }).output();
  return [...new TextDecoder().decode(stdout).matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) =>
    path
  );
}

/** The packages that every Debian has: the C library, and GCC's part of it. */
const OF_LIBC =
  /^(?:ld-linux-x86-64|ld-linux-aarch64|libc|libdl|libm|libpthread|librt|libutil|libgcc_s)\.so\.\d+$/;

Deno.test({
  name: "bare root: the program needs the C library and nothing else",
  ignore,
  async fn() {
    const libraries = await librariesOf(compiled.path ?? "");
    assert.ok(libraries.length >= 2, libraries.join());
    for (const library of libraries) {
      assert.match(library.slice(library.lastIndexOf("/") + 1), OF_LIBC);
    }
  },
});

Deno.test({
  name:
    "bare root: help, migrate, seed, exec, verify, plugins and S3 work; the rest names its package",
  ignore,
  async fn() {
    await using root = await bareRoot(compiled.path ?? "");
    const server = await sharedServer();
    await using bucket = await freshBucket();
    const name = uniqueName("bare");
    await using _database = openDatabase(server, name);
    await copy(join(PROJECT, "migrations"), join(root.path, "migrations"));
    await copy(join(PROJECT, "seeds"), join(root.path, "seeds"));
    await Deno.mkdir(join(root.path, "plugins"));
    await Deno.writeTextFile(join(root.path, "plugins/hello.ts"), PLUGIN);
    const env = { ...bucket.env, DATABASE_URL: server.url(name), PLUGINS_DIR: "/plugins" };
    const works = async (...args: string[]) => {
      const result = await root.run(args, env);
      assert.equal(result.code, 0, `${args.join(" ")}\n${result.stdout}${result.stderr}`);
      return result.stdout;
    };
    assert.match(await works("help"), /observatory migrate/);
    assert.match(await works("--version"), /^observatory \d/);
    await works("migrate");
    await works("seed", "--env", "development");
    const counted = await works(
      "exec",
      "SELECT count(*) > 0 AS some FROM projects",
      "--format",
      "csv",
    );
    assert.equal(counted, "some\nt\n");
    assert.match(await works("plugin", "list"), /hello/);
    assert.equal(await works("hello"), "hello\n");
    const checks = ["connection", "version", "query", "writes", "rights", "migrations", "s3"];
    await works("verify", ...checks.flatMap((check) => ["--only", check]));
    await works("backup", "list", "--where", "s3");
    await works("reset", "--force", "--no-seed");

    // What starts PostgreSQL's programs says where they come from.
    for (const args of [["backup", "--s3-only"], ["shell"], ["sql", "/migrations/README.md"]]) {
      const { code, stderr } = await root.run(args, env);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /Cannot find (?:pg_dump|psql)/);
      assert.match(stderr, /Hint: Install the package postgresql-client/);
    }
    const verify = await root.run(["verify"], env);
    assert.match(verify.stdout + verify.stderr, /postgresql-client/);
  },
});

const PLUGIN = `import { command, definePlugin } from "observatory";
const hello = command({
  summary: "Say hello",
  examples: [{ line: "observatory hello", note: "say it" }],
  effect: "read",
  database: "none",
  run: () => ({ data: null, text: "hello" }),
});
export default definePlugin({ name: "hello", api: 1, summary: "Hello", commands: { hello } });
`;

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for await (const entry of Deno.readDir(from)) {
    const paths = [join(from, entry.name), join(to, entry.name)] as const;
    await (entry.isDirectory ? copy(...paths) : Deno.copyFile(...paths));
  }
}
