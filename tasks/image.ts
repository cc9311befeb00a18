/**
 * Builds the container image without a Docker engine, and tries the manual's lines in it:
 * `deno task image [--directory DIR]`. It takes root, and buildah and debootstrap of Debian's
 * packages; the first time two minutes, later half of one. What the Dockerfile begins with is made by
 * debootstrap. PostgreSQL's own repository is left out, so the client programs are those of Debian.
 */

import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildProgram, PROJECT } from "./build.ts";
import { startS3Server } from "./s3_server.ts";
import { startServer } from "./server.ts";
import { cacheDirectory } from "./server_binaries.ts";

const BASE = "docker.io/library/debian:trixie-slim";
const SUITE = "trixie";
/** The major of the client programs that this Debian has. */
const MAJOR = "17";
const IMAGE = "localhost/observatory:tried";
const BUCKET = "llm-observatory-backups";

/**
 * Runs words in the image's root directory as a container engine would: of a user without rights, as
 * process 1, with a root that is read-only but for /tmp and what is mounted.
 */
const ENTER = `
root=$1 site=$2 user=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$site/hosts" "$root/etc/hosts"
for name in migrations seeds scripts data plugins backups; do
  mount --bind "$site/$name" "$root/app/$name"
done
exec chroot --userspec="$user" "$root" /usr/bin/env --chdir=/app "$@"
`;

interface Outcome {
  readonly code: number;
  readonly text: string;
}

async function outcome(program: string, args: readonly string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: PROJECT,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Runs a program that must work; gives what it prints. */
async function need(program: string, args: readonly string[]): Promise<string> {
  const { code, text } = await outcome(program, args);
  if (code === 0) return text.trim();
  throw new Error(`${program} ${args.join(" ")} ended with ${code}\n${text}`);
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

/** Makes what stands for Debian's own image, once. */
async function makeBase(buildah: readonly string[], directory: string): Promise<void> {
  const [program = "", ...options] = buildah;
  if ((await outcome(program, [...options, "inspect", "--type", "image", BASE])).code === 0) return;
  say(`Making ${BASE} by debootstrap`);
  const root = join(directory, SUITE);
  await need("debootstrap", ["--variant=minbase", SUITE, root]);
  for (const waste of ["var/cache/apt/archives", "var/lib/apt/lists"]) {
    await need("find", [join(root, waste), "-type", "f", "-delete"]);
  }
  const container = await need(program, [...options, "from", "scratch"]);
  const archive = join(directory, `${SUITE}.tar`);
  await need("tar", ["-C", root, "--exclude=./dev/*", "-cf", archive, "."]);
  await need(program, [...options, "add", "--quiet", container, archive, "/"]);
  await need(program, [...options, "commit", "--quiet", container, BASE]);
  await need(program, [...options, "rm", container]);
  await Deno.remove(root, { recursive: true });
  await Deno.remove(archive);
}

/** Builds the image, and gives the directory of its root. */
async function makeImage(buildah: readonly string[]): Promise<string> {
  const [program = "", ...options] = buildah;
  const built = await buildProgram({ output: join(PROJECT, "dist", "observatory") });
  say(`Building ${IMAGE} with ${built.version}`);
  await need(program, [
    ...[...options, "bud", "--isolation", "chroot", "--tag", IMAGE],
    ...["--build-arg", "PROGRAM=dist", "--build-arg", "PGDG=no", "--build-arg", `MAJORS=${MAJOR}`],
    ".",
  ]);
  const container = await need(program, [...options, "from", "--pull-never", IMAGE]);
  return await need(program, [...options, "mount", container]);
}

/** The manual's lines, and what else a team does: each with the code that it ends with. */
const LINES: readonly (readonly [words: readonly string[], code?: number])[] = [
  [["help"]],
  [["config"]],
  [["migrate"]],
  [["migrate-status"]],
  [["migrate-rollback"]],
  [["migrate"]],
  [["seed", "--env", "development"]],
  [["verify"]],
  [["exec", "SELECT COUNT(*) FROM projects;"]],
  [["sql", "/app/data/custom-query.sql"]],
  [["shell", "-c", "/app/scripts/my-custom-script.sh"]],
  [["shell", "-c", "SELECT 1"]],
  [["hello"]],
  [["backup"]],
  [["backup", "--format", "plain", "--compress"]],
  [["backup", "--format", "directory", "--jobs", "2"]],
  [["backup", "--s3-upload"]],
  [["backup", "list"]],
  [["backup", "verify", "latest"]],
  [["backup", "verify", "latest", "--where", "s3"]],
  [["restore", "latest", "--s3-download", "--into", "copy"]],
  [["exec", "DROP DATABASE copy"]],
  [["reset", "--force"]],
  [["restore", "latest", "--clean", "--force"]],
  [["backup", "--output-dir", "/app/elsewhere"], 1],
  [["migrate", "--no-such-flag"], 2],
];

async function tryImage(root: string): Promise<number> {
  await using server = await startServer();
  await using bucket = await startS3Server();
  const site = await Deno.makeTempDir({ prefix: "observatory-image-" });
  try {
    await makeSite(site);
    const env = [
      "-i",
      ...["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/observatory"],
      ...[`DB_PORT=${server.port}`, `AWS_ENDPOINT_URL_S3=${bucket.endpoint}`],
      ...[`AWS_ACCESS_KEY_ID=${bucket.accessKeyId}`, `S3_BACKUP_BUCKET=${BUCKET}`],
      `AWS_SECRET_ACCESS_KEY=${bucket.secretAccessKey}`,
    ];
    const enter = (user: string, words: readonly string[]) =>
      outcome("unshare", [
        ...["--mount", "--pid", "--fork", "sh", "-euc", ENTER, "sh", root, site, user],
        ...[...env, "observatory", ...words],
      ]);
    let failed = 0;
    // The second user is any number that a platform may choose.
    for (const user of ["10001:0", "54321:0"]) {
      await outcome("chown", ["-R", user, join(site, "backups")]);
      for (const [words, expected = 0] of LINES) {
        const { code, text } = await enter(user, words);
        say(`${code === expected ? "ok  " : "FAIL"} ${user} ${words.join(" ")}: exit ${code}`);
        if (code === expected) continue;
        failed++;
        say(text);
      }
    }
    return failed === 0 ? 0 : 1;
  } finally {
    await Deno.remove(site, { recursive: true });
  }

  async function makeSite(site: string): Promise<void> {
    for (const name of ["migrations", "seeds"]) {
      await need("cp", ["-r", join(PROJECT, name), join(site, name)]);
    }
    for (const name of ["scripts", "data", "plugins", "backups"]) {
      await Deno.mkdir(join(site, name));
    }
    await Deno.writeTextFile(join(site, "hosts"), "127.0.0.1 localhost timescaledb s3\n");
    await Deno.writeTextFile(
      join(site, "data/custom-query.sql"),
      "SELECT count(*) FROM projects;\n",
    );
    const script = join(site, "scripts/my-custom-script.sh");
    await Deno.writeTextFile(
      script,
      '#!/usr/bin/env bash\nset -euo pipefail\npsql "${DATABASE_URL}" -c "SELECT COUNT(*) FROM projects;"\n',
    );
    await Deno.chmod(script, 0o755);
    await Deno.writeTextFile(join(site, "plugins/hello.ts"), PLUGIN);
    await Deno.chmod(site, 0o755);
    const client = new S3Client({
      endpoint: bucket.endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: bucket,
    });
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    client.destroy();
  }
}

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

async function main(): Promise<number> {
  const { values } = parseArgs({ args: Deno.args, options: { directory: { type: "string" } } });
  const directory = values.directory ?? join(cacheDirectory(), "image");
  await Deno.mkdir(directory, { recursive: true });
  const buildah = [
    "buildah",
    ...["--root", join(directory, "store"), "--runroot", join(directory, "run")],
    ...["--storage-driver", "vfs"],
  ];
  await makeBase(buildah, directory);
  try {
    return await tryImage(await makeImage(buildah));
  } finally {
    const [program = "", ...options] = buildah;
    await need(program, [...options, "rm", "--all"]);
    // What has no name any more: the stages, and images of earlier runs.
    await need(program, [...options, "rmi", "--prune"]);
  }
}

if (import.meta.main) Deno.exit(await main());
