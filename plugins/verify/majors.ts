/** PostgreSQL's majors and how long their community supports them. */
import type { Finding } from "./check.ts";

/** The lowest major that the program works with. */
export const LOWEST_MAJOR = 12;

/** The day of each major's last release, as https://www.postgresql.org/support/versioning/ tells. */
const LAST_RELEASE: Readonly<Record<number, string>> = {
  10: "2022-11-10",
  11: "2023-11-09",
  12: "2024-11-21",
  13: "2025-11-13",
  14: "2026-11-12",
  15: "2027-11-11",
  16: "2028-11-09",
  17: "2029-11-08",
  18: "2030-11-14",
};

/**
 * Judges a server's version.
 *
 * @param now milliseconds since 1970
 */
export function judgeVersion(
  { version, major }: { readonly version: string; readonly major: number },
  now: number,
): Finding {
  const supportedUntil = LAST_RELEASE[major];
  const details = { version, major, supported_until: supportedUntil ?? null };
  const name = `PostgreSQL ${version}`;
  if (major < LOWEST_MAJOR) {
    return {
      status: "failed",
      message: `${name} is too old: the lowest major that is supported is ${LOWEST_MAJOR}`,
      remedy: "Upgrade the server, for example with pg_upgrade or by dump and restore",
      details,
    };
  }
  if (supportedUntil === undefined) return { status: "ok", message: name, details };
  // The day itself still counts.
  if (now >= Date.parse(supportedUntil) + 86_400_000) {
    return {
      status: "warning",
      message: `${name} has had no fixes since ${supportedUntil}, the end of its community support`,
      remedy: "Upgrade to a newer major, for example with pg_upgrade",
      details,
    };
  }
  return { status: "ok", message: `${name}, supported until ${supportedUntil}`, details };
}
