import assert from "assert";
import { join } from "node:path";
import { type Host, systemHost } from "../../core/host.ts";
import { run } from "../../core/run.ts";
import { startServer } from "../../tasks/server.ts";

/** Which part of a secret, however it is cut or encoded, must be seen nowhere. */
const TELLTALE = /s3cr3t/i;

interface Attempt {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly exit: number;
}

/** Runs the program in this process, in a directory with files. */
async function runIn(
  directory: string,
  { args, env }: { args: readonly string[]; env: Readonly<Record<string, string>> },
) {
  let written = "";
  const stream = {
    write: (text: string) => void (written += text),
    isTerminal: false,
    columns: () => 80,
  };
  const host: Host = {
    ...systemHost(),
    env: {
      HOME: directory,
      MIGRATIONS_DIR: join(directory, "migrations"),
      PGPASSFILE: join(directory, "passwords"),
      ...env,
    },
    cwd: directory,
    stdout: stream,
    stderr: stream,
    interactive: false,
    onSignal: () => () => {},
    onUnhandled: () => () => {},
    exit(code) {
      throw new Error(`The run was ended at once with ${code}`);
    },
  };
  return { code: await run(args, host), written };
}

/** Runs every attempt in all forms of output, and looks for the secret in what was written. */
async function attempt(attempts: Readonly<Record<string, Attempt>>): Promise<void> {
  for (const [what, { args = [], env = {}, files = {}, exit }] of Object.entries(attempts)) {
    const directory = await Deno.makeTempDir({ prefix: "observatory-secrets-" });
    try {
      await Deno.mkdir(join(directory, "migrations"));
      for (const [name, text] of Object.entries(files)) {
        await Deno.writeTextFile(join(directory, name), text, { mode: 0o600 });
      }
      const status = ["migrate", "status", "--wait", "0", "--verbose"];
      for (const form of [[], ["--json"], ["--log-format=json"]]) {
        const { code, written } = await runIn(directory, {
          args: [...status, ...args, ...form],
          env,
        });
        assert.equal(code, exit, `${what}: ${written}`);
        assert.doesNotMatch(written, TELLTALE, what);
        const config = await runIn(directory, { args: ["config", ...args, ...form], env });
        assert([0, 2, 3].includes(config.code), what);
        assert.doesNotMatch(config.written, TELLTALE, what);
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  }
}

Deno.test("a password in a URL: is never shown, whatever is wrong with the URL", async () => {
  const urls: Readonly<Record<string, number>> = {
    "postgres://u:s3cr3t-pw@127.0.0.1:1/x": 5,
    "postgres://u:s3cr3t-pw@nowhere.invalid/x": 5,
    "postgres://u:s3cr3t%20pw%2F@127.0.0.1:1/x": 5,
    "postgres://127.0.0.1:1/x?user=u&password=s3cr3t-pw": 5,
    "host=127.0.0.1 port=1 user=u password='s3cr3t pw'": 5,
    "postgres://u:s3cr3t-pw@127.0.0.1:port/x": 2,
    "postgres://u:s3cr3t-pw@127.0.0.1:1/x?sslmode=maybe": 2,
    "postgres://u:s3cr3t-pw@127.0.0.1:1/x?nothing=1": 5,
    "postgres://u:s3cr3t%zzpw@127.0.0.1:1/x": 2,
    "postgres://u:s3cr3t/pw@127.0.0.1:1/x": 2,
    "postgres//u:s3cr3t-pw@127.0.0.1:1/x": 2,
    "mysql://u:s3cr3t-pw@127.0.0.1:1/x": 2,
    "host=127.0.0.1 password='s3cr3t-pw": 2,
    "host=127.0.0.1 port=1 pasword=s3cr3t-pw": 5,
    "s3cr3t-pw": 2,
  };
  await attempt(
    Object.fromEntries(
      Object.entries(urls).map(([url, exit]) => [url, { env: { DATABASE_URL: url }, exit }]),
    ),
  );
});

Deno.test("a password from elsewhere: is never shown either", async () => {
  const here = { DB_HOST: "127.0.0.1", DB_PORT: "1" };
  const url = "postgres://u:s3cr3t-pw@127.0.0.1:1/x";
  await attempt({
    "DB_PASSWORD": { env: { ...here, DB_PASSWORD: "s3cr3t-pw" }, exit: 5 },
    "PGPASSWORD": { env: { ...here, PGPASSWORD: "s3cr3t-pw" }, exit: 5 },
    "quotes and backslashes": { env: { ...here, DB_PASSWORD: `s3cr3t"\\'pw` }, exit: 5 },
    "--database-url": { args: [`--database-url=${url}`], exit: 5 },
    "--database-url that is wrong": { args: [`--database-url=${url}?sslmode=x`], exit: 2 },
    "--databse-url": { args: ["--databse-url", url], exit: 2 },
    "a URL as an argument": { args: [url], exit: 2 },
    ".env": { files: { ".env": `DB_HOST=127.0.0.1\nDB_PORT=1\nDB_PASSWORD=s3cr3t-pw\n` }, exit: 5 },
    ".env with a broken line": {
      files: { ".env": `DB_HOST=127.0.0.1\nDB_PORT=1\nDB_PASSWORD "s3cr3t-pw\n` },
      exit: 5,
    },
    "a disagreement": {
      env: { DB_HOST: "127.0.0.2" },
      files: { ".env": `DATABASE_URL=${url}\n` },
      exit: 2,
    },
    "a password file": {
      env: { ...here, DB_USER: "u" },
      files: { "passwords": "127.0.0.1:1:*:u:s3cr3t-pw\n" },
      exit: 5,
    },
    "AWS_SECRET_ACCESS_KEY": { env: { ...here, AWS_SECRET_ACCESS_KEY: "s3cr3t-pw" }, exit: 5 },
  });
});

Deno.test("a wrong password: is exit 5 at once, and not shown", async () => {
  await using server = await startServer({
    hba: ["local all all trust", "host all all 127.0.0.1/32 scram-sha-256"],
  });
  const { port } = server;
  await attempt({
    "a wrong password": {
      env: { DATABASE_URL: `postgres://postgres:s3cr3t-pw@127.0.0.1:${port}/postgres` },
      exit: 5,
    },
    "no password": {
      env: { DB_HOST: "127.0.0.1", DB_PORT: String(port), DB_NAME: "postgres" },
      exit: 5,
    },
  });
});
