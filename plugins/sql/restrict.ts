/** Which psql understands the plain dumps of today. */
import type { ClientTool } from "../../core/plugin.ts";

/** The first minors of each major that know `\restrict` (PostgreSQL's release notes of August 2025). */
const RESTRICT_SINCE: ReadonlyMap<number, number> = new Map([
  [13, 22],
  [14, 19],
  [15, 14],
  [16, 10],
  [17, 6],
]);

/** Whether this psql knows `\restrict`, with which plain dumps have begun since August 2025. */
export function knowsRestrict({ version, major }: Pick<ClientTool, "version" | "major">): boolean {
  if (major > 17) return true;
  const since = RESTRICT_SINCE.get(major);
  const minor = Number(/^\d+\.(\d+)/.exec(version)?.[1] ?? NaN);
  return since !== undefined && minor >= since;
}

/** The lowest version that knows it, of the major of this psql or else of 17. */
export function restrictSince({ major }: Pick<ClientTool, "major">): {
  readonly major: number;
  readonly version: string;
} {
  const since = RESTRICT_SINCE.get(major);
  return since === undefined
    ? { major: 17, version: "17.6" }
    : { major, version: `${major}.${since}` };
}
