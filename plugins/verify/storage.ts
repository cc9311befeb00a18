/** How the database keeps its text and pages. */
import { identifier } from "../sql/names.ts";
import { type Check, type Finding, type Server } from "./check.ts";

/** Whether every character can be kept. */
export const encoding: Check = {
  needs: "database",
  async run({ session }: Server) {
    const { rows: [row] } = await session.query<{ encoding: string }>(
      "SELECT current_setting('server_encoding') AS encoding",
    );
    return judgeEncoding(row?.encoding ?? "");
  },
};

/** Judges the encoding by the server's name for it. */
export function judgeEncoding(name: string): Finding {
  const details = { encoding: name };
  if (name === "UTF8") return { status: "ok", message: "The encoding is UTF8", details };
  return {
    status: "warning",
    message: name === "SQL_ASCII"
      ? "The encoding is SQL_ASCII: the server does not check what text holds"
      : `The encoding is ${name}: characters outside it cannot be kept`,
    remedy: "Dump the database, create it with ENCODING 'UTF8' TEMPLATE template0, and restore",
    details,
  };
}

/** What is known of the database's collation; nulls where it has no version. */
export interface CollationVersions {
  readonly database: string;
  readonly recorded: string | null;
  readonly actual: string | null;
}

/** The first major that records the version of a database's collation. */
const RECORDED_SINCE = 15;

/** Whether the operating system still sorts as it did when the indexes were built. */
export const collation: Check = {
  needs: "database",
  async run({ session, major }: Server) {
    if (major < RECORDED_SINCE) {
      return {
        status: "skipped",
        message: `PostgreSQL ${major} does not record the version of a database's collation`,
      };
    }
    const { rows: [row] } = await session.query<CollationVersions>(
      `SELECT datname::text AS database, datcollversion AS recorded,
         pg_database_collation_actual_version(oid) AS actual
       FROM pg_database WHERE datname = current_database()`,
    );
    return row === undefined
      ? { status: "skipped", message: "The server told nothing" }
      : judgeCollation(row);
  },
};

/** Judges the collation's versions. */
export function judgeCollation({ database, recorded, actual }: CollationVersions): Finding {
  const details = { recorded, actual };
  if (recorded === null || actual === null) {
    return { status: "ok", message: "The collation has no version that could change", details };
  }
  if (recorded === actual) {
    return { status: "ok", message: `The collation's version is ${actual}`, details };
  }
  return {
    status: "warning",
    message: `The collation was of version ${recorded} and is now of ${actual}: ` +
      "indexes on text may miss rows",
    remedy: `REINDEX DATABASE ${identifier(database)};\n` +
      `ALTER DATABASE ${identifier(database)} REFRESH COLLATION VERSION;`,
    details,
  };
}

/** Whether damaged pages are noticed; either is in order, so this only tells. */
export const checksums: Check = {
  needs: "server",
  async run({ session }: Server) {
    const { rows: [row] } = await session.query<{ enabled: boolean }>(
      "SELECT current_setting('data_checksums')::boolean AS enabled",
    );
    const enabled = row?.enabled === true;
    return {
      status: "ok",
      message: enabled
        ? "Data checksums are on"
        : "Data checksums are off: pages that the disk damages are not noticed",
      details: { enabled },
    };
  },
};
