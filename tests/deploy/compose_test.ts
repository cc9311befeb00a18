/**
 * The Compose files, read by the library that `docker compose` reads them with: what `docker compose
 * config` would show.
 */
import assert from "assert";
import { join } from "node:path";
import { cacheDirectory } from "../../tasks/server_binaries.ts";
import { directoryWith } from "../cli/project.ts";
import { skipWhenMissing } from "../skip.ts";
import { check, programMissing, readProject } from "./validators.ts";

/** compose-go's own program, which loads, merges and checks. */
const LOADER = "github.com/compose-spec/compose-go/v2/cmd";
const VERSION = "v2.16.2";

const missing = await programMissing("go", "compose-go is built by Go");
// Go is on some machines alone, like the S3 server that is built by it.
const ignore = missing !== undefined;
if (!ignore) skipWhenMissing("the Compose files", (await loader()).missing);

/** The path of the program, built once. */
async function loader(): Promise<{ readonly path: string; readonly missing: string | undefined }> {
  const directory = join(cacheDirectory(), `compose-go-${VERSION}-${Deno.build.arch}`);
  const path = join(directory, "cmd");
  const there = await Deno.stat(path).then(() => true, () => false);
  if (there) return { path, missing: undefined };
  await Deno.mkdir(directory, { recursive: true });
  const { code, text } = await check("env", [
    ...[`GOBIN=${directory}`, "go", "install", `${LOADER}@${VERSION}`],
  ]);
  return { path, missing: code === 0 ? undefined : text };
}

interface Service {
  readonly image: string;
  readonly build?: unknown;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly profiles?: readonly string[];
  readonly read_only?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes: readonly {
    readonly source: string;
    readonly target: string;
    readonly read_only?: boolean;
  }[];
}

/** What comes of files. */
async function servicesOf(
  files: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, Service>>> {
  await using directory = await directoryWith(files);
  const names = Object.keys(files).filter((name) => name.endsWith(".yml"));
  const { path } = await loader();
  const { code, text } = await check(path, ["-format", "json", ...names], { cwd: directory.path });
  assert.equal(code, 0, text);
  return JSON.parse(text).services;
}

/** Where the manual's volumes are, and whether they may be written to. */
function mounts({ volumes }: Service): Record<string, string> {
  return Object.fromEntries(
    volumes.map(({ source, target, read_only }) => [
      target,
      `${source.replace(/^.*\/observatory-cli-[^/]*\//, "./")}${read_only ? " read-only" : ""}`,
    ]),
  );
}

Deno.test({
  name:
    "deploy/docker-compose.yml: the CLI is a tool, with the manual's volumes, on a read-only root",
  ignore,
  async fn() {
    const { cli, timescaledb, s3 } = await servicesOf({
      "docker-compose.yml": await readProject("deploy/docker-compose.yml"),
    });
    assert.ok(cli && timescaledb && s3);
    assert.deepEqual(cli.profiles, ["tools"]);
    assert.equal(timescaledb.profiles, undefined);
    assert.equal(cli.read_only, true);
    assert.deepEqual(mounts(cli), {
      "/app/migrations": "./migrations read-only",
      "/app/seeds": "./seeds read-only",
      "/app/scripts": "./scripts read-only",
      "/app/data": "./data read-only",
      "/app/plugins": "./plugins read-only",
      "/app/backups": "backup_data",
    });
    // Nothing that would beat a value of .env.
    assert.deepEqual(
      Object.keys(cli.environment ?? {}).filter((name) => /^(?:DB_|DATABASE_URL)/.test(name)),
      [],
    );
    assert.equal(s3.environment?.["ROOT_ACCESS_KEY"], cli.environment?.["AWS_ACCESS_KEY_ID"]);
    assert.equal(mounts(s3)[`/data/${cli.environment?.["S3_BACKUP_BUCKET"]}`], "s3_data");
  },
});

/** The service of the old container, as its manual describes it. */
const OLD = `
services:
  timescaledb:
    image: timescale/timescaledb:2.13.0-pg15
  cli:
    build:
      context: .
      dockerfile: docker/Dockerfile.cli
    image: llm-observatory-cli:0.1.0
    container_name: llm-observatory-cli
    entrypoint: ["/usr/local/bin/cli-entrypoint.sh"]
    profiles: ["tools"]
    depends_on: [timescaledb]
    environment:
      DB_HOST: timescaledb
      DB_PASSWORD: \${DB_PASSWORD:-postgres}
    volumes:
      - ./crates/storage/migrations:/app/migrations:ro
      - ./docker/scripts/utilities:/app/scripts:ro
      - backup_data:/app/backups
      - ./docker/data:/app/data:ro
volumes:
  backup_data:
`;

Deno.test({
  name: "deploy/moving: the override puts the image in the old one's place, and keeps the rest",
  ignore,
  async fn() {
    const { cli } = await servicesOf({
      "docker-compose.yml": OLD,
      "docker-compose.override.yml": await readProject("deploy/moving/docker-compose.override.yml"),
    });
    assert.ok(cli);
    assert.equal(cli.image, "observatory:latest");
    // Of the old one's build nothing is left, or the manual's line would build it again.
    const { context, ...rest } = cli.build as { context: string };
    assert.match(context, /^\/.*\/observatory$/);
    assert.deepEqual(rest, { dockerfile: "Dockerfile" });
    assert.deepEqual([cli.entrypoint, cli.command], [["observatory"], ["help"]]);
    assert.deepEqual(cli.profiles, ["tools"]);
    assert.deepEqual(cli.environment, { DB_HOST: "timescaledb", DB_PASSWORD: "postgres" });
    assert.deepEqual(mounts(cli), {
      "/app/migrations": "./crates/storage/migrations read-only",
      "/app/scripts": "./docker/scripts/utilities read-only",
      "/app/backups": "backup_data",
      "/app/data": "./docker/data read-only",
      "/app/seeds": "./seeds read-only",
    });
  },
});
