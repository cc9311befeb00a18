/** Text of the command line or the environment in messages, unless it may hold a password. */

/** What stands for a secret wherever it is shown. */
export const MASK = "********";

// URLs, and what libpq's keywords and common variables call secrets.
const TELLTALE = /:\/\/|pass|pwd|secret|token|\bkey\b/i;

/**
 * The text in quotes, for messages about text that is not what it should be; or
 * a stand-in where it looks like something that holds a password, as a database
 * URL in the wrong place does.
 */
export function shown(text: string): string {
  return TELLTALE.test(text) ? "(not shown, since it may hold a password)" : `"${text}"`;
}
