/**
 * The licences of what the program holds, as the build has put them together. Sources hold nothing
 * but themselves; the compiled program has `tasks/compiled/packages/licenses.ts` in place of this file.
 */

/** The text; undefined where there is none. */
export function builtText(): Promise<string | undefined> {
  return Promise.resolve(undefined);
}
