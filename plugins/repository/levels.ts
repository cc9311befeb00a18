/** The levels of a verification, apart from what makes and reads results: a declaration loads no more. */

/**
 * What was looked at, each level more than the one before: that the stored bytes are those of the
 * manifest; that all of it can be read; that it can be restored; that what is restored is what was
 * dumped; that it is what the user asserts.
 */
export const LEVELS = ["bytes", "read", "restore", "compare", "assert"] as const;

/** How thoroughly a backup was verified. */
export type Level = typeof LEVELS[number];

/** Whether a level is the one asked for, or above it; none is above none. */
export function isAtLeast(level: Level | null, least: Level): boolean {
  return level !== null && LEVELS.indexOf(level) >= LEVELS.indexOf(least);
}
