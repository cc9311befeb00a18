/** The `DATABASE_URL` of scripts. */
import type { Context } from "../../core/plugin.ts";

/** What a URL tells behind its `?`, with the settings that hold it. */
const WORDS: readonly (readonly [name: string, setting: string])[] = [
  ["sslmode", "PGSSLMODE"],
  ["sslrootcert", "PGSSLROOTCERT"],
  ["sslcert", "PGSSLCERT"],
  ["sslkey", "PGSSLKEY"],
];

/**
 * The connection as a URL without its password: scripts write `psql "$DATABASE_URL"`, and every
 * user of the machine can read what stands on a command line. libpq, and the drivers that follow
 * it, take the password from `PGPASSWORD`, and what else the URL lacks from the other variables.
 */
export function scriptUrl(ctx: Context): string {
  const { database, user } = ctx.db.target;
  const hosts = (ctx.config.get("DB_HOST") ?? "localhost").split(",");
  const ports = (ctx.config.get("DB_PORT") ?? "5432").split(",");
  const sockets = hosts.some((host) => /^[/@]/.test(host));
  const words = WORDS.flatMap(([name, setting]) => {
    const value = ctx.config.get(setting);
    // `prefer` is what everybody does without being told.
    return value === undefined || value === "prefer" ? [] : [[name, value]];
  });
  const query = [
    // A path cannot stand before the slash.
    ...(sockets ? [["host", hosts.join(",")], ["port", ports.join(",")]] : []),
    ...words,
  ].map(([name, value]) => `${name}=${encodeURIComponent(value ?? "")}`).join("&");
  const place = sockets ? "" : hosts.map((host, index) => {
    const name = host.includes(":") ? `[${host.replaceAll("%", "%25")}]` : encodeURIComponent(host);
    return `${name}:${ports[index] ?? ports[0]}`;
  }).join(",");
  return `postgresql://${encodeURIComponent(user)}@${place}/${encodeURIComponent(database)}` +
    (query === "" ? "" : `?${query}`);
}
