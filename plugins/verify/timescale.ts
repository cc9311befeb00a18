/** TimescaleDB: plain PostgreSQL is fine too, since the migrations adapt. */
import type { Check, Finding, Server } from "./check.ts";
import { identifier } from "../sql/names.ts";

/** What is known of the extension. */
export interface TimescaleFacts {
  /** The version in this database. */
  readonly installed: string | null;
  /** The version that the server's files would create. */
  readonly available: string | null;
  /** Whether the server has loaded the library. */
  readonly loaded: boolean;
  /** Whether the database is set to TimescaleDB's restoring mode, which a restore begins and ends. */
  readonly restoring: boolean;
  /** The schema of the extension's functions. */
  readonly schema: string | null;
}

// A setting of the library tells whether it is loaded: shared_preload_libraries may be hidden.
const FACTS = `
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS installed,
  (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb') AS available,
  EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.max_background_workers') AS loaded,
  EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase,
      LATERAL unnest(s.setconfig) AS each
    WHERE d.datname = current_database()
      AND each ~* '^timescaledb[.]restoring=(on|t|true|y|yes|1)$')
    AS restoring,
  (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'timescaledb') AS schema`;

/** The extension's state in this database. */
export const timescaledb: Check = {
  needs: "database",
  async run({ session }: Server) {
    const { rows: [facts] } = await session.query<TimescaleFacts>(FACTS);
    return facts === undefined
      ? { status: "skipped", message: "The server told nothing" }
      : judgeTimescale(facts);
  },
};

/** Judges the extension's state. */
export function judgeTimescale(facts: TimescaleFacts): Finding {
  const { installed, available, loaded } = facts;
  const details = { ...facts };
  if (facts.restoring) {
    const end = installed === null
      ? "ALTER DATABASE … RESET timescaledb.restoring;"
      : `SELECT ${identifier(facts.schema ?? "public")}.timescaledb_post_restore();`;
    return {
      status: "failed",
      message:
        "The database is in TimescaleDB's restoring mode: hypertables are not known there, " +
        "and no background job runs",
      remedy: `Unless a restore is at work in it: ${end}`,
      details,
    };
  }
  if (installed === null) {
    const message = available === null
      ? "TimescaleDB is not installed (plain PostgreSQL)"
      : `TimescaleDB is not installed in this database; the server offers ${available}${
        loaded ? "" : ", but has not loaded its library"
      }`;
    return { status: "ok", message, details };
  }
  if (!loaded) {
    return {
      status: "warning",
      message: `TimescaleDB ${installed} is installed, but the server has not loaded its library`,
      remedy: "Add timescaledb to shared_preload_libraries and restart the server",
      details,
    };
  }
  const order = available === null ? 0 : compareVersions(available, installed);
  if (order > 0) {
    return {
      status: "warning",
      message: `TimescaleDB ${installed} is installed, and the server's files are of ${available}`,
      remedy: "As the first statement of a session: ALTER EXTENSION timescaledb UPDATE;\n" +
        'For example: psql -X -c "ALTER EXTENSION timescaledb UPDATE"',
      details,
    };
  }
  if (order < 0) {
    return {
      status: "warning",
      message: `TimescaleDB ${installed} is installed, but the server's files are of ${available}`,
      remedy: `Install TimescaleDB ${installed} or newer on the server`,
      details,
    };
  }
  return { status: "ok", message: `TimescaleDB ${installed}`, details };
}

/** Negative, zero or positive, as the first version is older, the same or newer. */
function compareVersions(first: string, second: string): number {
  const [a, b] = [numbers(first), numbers(second)];
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbers(version: string): number[] {
  return (version.match(/^[\d.]+/)?.[0] ?? "").split(".").map(Number);
}
