/** What TimescaleDB must find on a server before a dump with hypertables is restored there. */
import { OperationError, type Session } from "../../core/plugin.ts";
import type { Manifest } from "../repository/manifest.ts";
import { identifier } from "../sql/names.ts";
import { installedTimescale, otherVersion } from "./timescale_mode.ts";

/** What the server offers for a dump. */
export interface TimescaleOffer {
  /** The version that will be used: the dump's, else the server's own. */
  readonly version: string;
  /** What is to be told before it is used. */
  readonly warnings: readonly string[];
}

const OFFER = `
SELECT (SELECT default_version FROM pg_catalog.pg_available_extensions
    WHERE name = 'timescaledb') AS standard,
  ARRAY(SELECT version FROM pg_catalog.pg_available_extension_versions
    WHERE name = 'timescaledb' ORDER BY version)::text AS versions,
  pg_catalog.current_setting('server_version_num')::int / 10000 AS major,
  EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'timescaledb.max_background_workers')
    AS loaded`;

/**
 * Makes sure that the server has TimescaleDB in the version that made the dump, for a database that
 * has no TimescaleDB yet.
 *
 * @param session in any database of the server
 * @param version null where the dump does not tell
 * @throws OperationError of kind `refused`, saying what to install
 */
export async function requireTimescale(
  session: Session,
  version: string | null,
): Promise<TimescaleOffer> {
  const { rows: [offer] } = await session.query<
    { standard: string | null; versions: string; major: number; loaded: boolean }
  >(OFFER);
  const standard = offer?.standard ?? null;
  const major = offer?.major ?? 0;
  const wanted = version === null ? "TimescaleDB" : `TimescaleDB ${version}`;
  const install = installLine(version, major);
  if (standard === null) {
    throw refused(`Cannot restore: the backup needs ${wanted}, which the server does not have`, {
      code: "timescaledb_missing",
      hint: install,
      details: { version, available: [] },
    });
  }
  const available = (offer?.versions ?? "{}").slice(1, -1).split(",").filter(Boolean);
  if (version !== null && !available.includes(version)) {
    throw refused(
      `Cannot restore: the backup needs TimescaleDB ${version}, and the server has ` +
        `${available.join(", ")}; its catalogue is readable only by the version that wrote it`,
      { code: "timescaledb_version", hint: install, details: { version, available } },
    );
  }
  const warnings: string[] = [];
  if (version === null) {
    warnings.push(
      `The dump does not tell which TimescaleDB made it; the server's ${standard} is taken, which ` +
        "fails at the end if it was another one",
    );
  }
  // A server may have it built in; where it has not, creating the extension fails, and loses nothing.
  if (offer?.loaded !== true) {
    warnings.push(
      "The server seems not to have loaded TimescaleDB's library: add timescaledb to " +
        "shared_preload_libraries and restart it, if the extension cannot be created",
    );
  }
  return { version: version ?? standard, warnings };
}

/** Nobody can know how a server's TimescaleDB was installed; the package's name is that of its makers. */
function installLine(version: string | null, major: number): string {
  const file = version === null ? "" : ` ${version}`;
  return `Install TimescaleDB${file} on the server, such as by the package ` +
    `timescaledb-2-postgresql-${major}${version === null ? "" : ` in version ${version}`}, ` +
    "and add timescaledb to shared_preload_libraries";
}

const OBJECTS = `
SELECT (SELECT count(*) FROM timescaledb_information.hypertables)::int AS hypertables,
  (SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000)::int AS jobs`;

/**
 * Makes sure that a dump with hypertables can be restored into a database as it stands: TimescaleDB
 * numbers its hypertables, chunks and jobs, so those of a dump and of the database would have the
 * same numbers.
 *
 * @param session in that database
 * @throws OperationError of kind `refused`, naming --swap as the way
 */
export async function requireFreeOfTimescale(
  session: Session,
  { database, version }: { readonly database: string; readonly version: string | null },
): Promise<void> {
  const installed = await installedTimescale(session);
  if (installed === undefined) return;
  if (version !== null && installed.version !== version) {
    throw otherVersion({ database, version, installed: installed.version });
  }
  const { rows: [found] } = await session.query<{ hypertables: number; jobs: number }>(OBJECTS);
  const { hypertables = 0, jobs = 0 } = found ?? {};
  if (hypertables + jobs === 0) return;
  throw refused(
    `Cannot restore into "${database}" as it stands: TimescaleDB keeps hypertables ` +
      `(${hypertables}) and jobs (${jobs}) there, whose numbers in its catalogue would be those of the backup's`,
    {
      code: "timescaledb_in_use",
      hint: "Restore with --swap, which fills a new database and then puts it in this one's place",
      details: { database, hypertables, jobs },
    },
  );
}

/**
 * Makes sure that the owners of the dump's background jobs exist: the catalogue names them, whoever
 * the restored tables are to belong to.
 *
 * @throws OperationError of kind `refused` with the statements that make them
 */
export async function requireJobOwners(
  session: Session,
  manifest: Manifest | null,
): Promise<void> {
  // Its own jobs, whose numbers are below, are made with the extension and never dumped.
  const jobs = manifest?.timescaledb?.jobs.filter(({ id }) => id >= 1000) ?? [];
  const owners = [...new Set(jobs.map(({ owner }) => owner))];
  if (owners.length === 0) return;
  const { rows } = await session.query<{ name: string }>(
    "SELECT rolname::text AS name FROM pg_catalog.pg_roles",
  );
  const present = new Set(rows.map(({ name }) => name));
  const absent = owners.filter((owner) => !present.has(owner)).sort();
  if (absent.length === 0) return;
  throw refused(
    `Cannot restore: background jobs of TimescaleDB belong to roles that the server lacks: ${
      absent.join(", ")
    }`,
    {
      code: "roles_missing",
      hint: `Make them first: ${
        absent.map((role) => `CREATE ROLE ${identifier(role)} LOGIN;`).join(" ")
      }`,
      details: { roles: absent },
    },
  );
}

function refused(
  message: string,
  options: {
    readonly code: string;
    readonly hint: string;
    readonly details: Readonly<Record<string, unknown>>;
  },
): OperationError {
  return new OperationError(message, { kind: "refused", ...options });
}
