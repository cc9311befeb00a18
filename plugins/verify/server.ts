/** What the server is and whether it answers: the checks of the replaced system's manual, but for TimescaleDB. */
import { identifier } from "../sql/names.ts";
import { type Check, type Finding, type Server, type Subject } from "./check.ts";
import { judgeVersion } from "./majors.ts";

/** Whether the database can be entered. */
export const connection: Check = {
  needs: "nothing",
  async run({ context, reach }: Subject) {
    const { host, port, database, user } = context.db.target;
    const address = host.startsWith("/") ? `${host} (port ${port})` : `${host}:${port}`;
    const details = { host, port, database, user };
    const { server, exists } = await reach();
    if (!exists || server === undefined) {
      return {
        status: "failed",
        message: `Database "${database}" does not exist on ${address}`,
        remedy: "Run `observatory migrate`, which creates it, or check DB_NAME",
        details,
      };
    }
    const { rows: [row] } = await server.session.query<ConnectionRow>(CONNECTION);
    const { tls = null, cipher = null, pid } = row ?? {};
    // The address may be a pooler's; its connection to the server says nothing of ours.
    const pooled = pid !== server.session.pid;
    const protection = pooled ? "" : tls === null ? ", without TLS" : `, ${tls}`;
    const message = `Connected to ${address} as ${user}, database "${database}"${protection}`;
    if (!pooled) {
      return { status: "ok", message, details: { ...details, tls, cipher, pooled } };
    }
    return {
      status: "warning",
      message: `${message}, through a connection pooler: locks and state of sessions do not hold`,
      remedy: "Connect to the server itself, or to the pooler's port for whole sessions",
      details: { ...details, pooled },
    };
  },
};

interface ConnectionRow {
  readonly pid: number;
  readonly tls: string | null;
  readonly cipher: string | null;
}

const CONNECTION = `
SELECT pg_backend_pid() AS pid, ssl.version AS tls, ssl.cipher
FROM (SELECT) AS one LEFT JOIN pg_stat_ssl AS ssl ON ssl.pid = pg_backend_pid() AND ssl.ssl`;

/** Whether the server's version is one to run. */
export const version: Check = {
  needs: "server",
  run: (server: Server) => Promise.resolve(judgeVersion(server, server.context.now())),
};

const SAMPLES = 3;

/** Whether the server answers a query, and how fast. */
export const query: Check = {
  needs: "server",
  async run({ session }: Server) {
    const times: number[] = [];
    for (let sample = 0; sample < SAMPLES; sample++) {
      const start = performance.now();
      const { rows: [row] } = await session.query<{ one: number }>("SELECT 1 AS one");
      times.push(performance.now() - start);
      if (row?.one !== 1) {
        return {
          status: "failed",
          message: `SELECT 1 gave ${row?.one} instead of 1`,
          remedy: "Check what stands between this machine and the server",
        };
      }
    }
    const median = times.sort((a, b) => a - b)[Math.floor(SAMPLES / 2)] ?? 0;
    const milliseconds = Math.round(median * 100) / 100;
    return {
      status: "ok",
      message:
        `SELECT 1 took ${milliseconds} ms (median of ${SAMPLES}, read-only transaction included)`,
      details: { milliseconds },
    };
  },
};

/** What tells whether the server takes writes. */
export interface WritesRow {
  readonly standby: boolean;
  readonly read_only: boolean;
  /** Where `default_transaction_read_only` comes from, as pg_settings tells; null where hidden. */
  readonly source: string | null;
  readonly role: string;
  readonly database: string;
}

const READ_ONLY = "default_transaction_read_only";

const WRITES = `
SELECT pg_is_in_recovery() AS standby,
  current_setting('${READ_ONLY}')::boolean AS read_only,
  (SELECT source FROM pg_settings WHERE name = '${READ_ONLY}') AS source,
  session_user::text AS role, current_database()::text AS database`;

/** Whether the server takes writes: it may be a standby, or set to read-only. */
export const writes: Check = {
  needs: "server",
  async run({ session }: Server) {
    const { rows: [row] } = await session.query<WritesRow>(WRITES);
    return row === undefined
      ? { status: "skipped", message: "The server told nothing" }
      : judgeWrites(row);
  },
};

/** Judges whether writes will succeed. */
export function judgeWrites(row: WritesRow): Finding {
  const { standby, read_only } = row;
  const details = { standby, read_only };
  if (standby) {
    return {
      status: "warning",
      message: "The server is a standby: everything that writes will fail",
      remedy: "Connect to the primary; with several hosts set PGTARGETSESSIONATTRS=read-write",
      details,
    };
  }
  if (read_only) {
    return {
      status: "warning",
      message: `${READ_ONLY} is on: everything that writes will fail`,
      remedy: writable(row),
      details,
    };
  }
  return { status: "ok", message: "The server takes writes", details };
}

/** How the setting is taken back where it was made: in a session that it does not hold back. */
function writable({ source, role, database }: WritesRow): string {
  const [reset, writing] = [`RESET ${READ_ONLY};`, `SET ${READ_ONLY} = off;`];
  switch (source) {
    case "database":
      return `${writing}\nALTER DATABASE ${identifier(database)} ${reset}`;
    case "user":
      return `${writing}\nALTER ROLE ${identifier(role)} ${reset}`;
    case "database user":
      return `${writing}\nALTER ROLE ${identifier(role)} IN DATABASE ${
        identifier(database)
      } ${reset}`;
    case "client":
      return "Take it out of PGOPTIONS, or of the options of the connection string";
    default:
      return `${writing}\nALTER SYSTEM ${reset}\nSELECT pg_reload_conf();\n` +
        "Or take it out of the server's configuration file";
  }
}
