/** What the copies of a plugin's sources are called, in the directory of their own. */

/** The copy of the values of the contract. */
export const OBSERVATORY_COPY = "observatory.mjs";

/** The copy of a source: named by its number, so that no name of a user's is in an address. */
export function copyName(index: number): string {
  return `${index}.mjs`;
}

/** All copies of so many sources. */
export function copyNames(count: number): string[] {
  return [OBSERVATORY_COPY, ...Array.from({ length: count }, (_, index) => copyName(index))];
}
