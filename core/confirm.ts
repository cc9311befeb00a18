/** The gate before what destroys data. */
import { OperationError } from "./plugin.ts";

/** What the gate is told. */
export interface ConfirmOptions {
  /** What will be done, such as `reset`. */
  readonly command: string;
  /** The words that were given after its name, for the line that would pass. */
  readonly words?: readonly string[];
  /** The name that must be typed or given. */
  readonly database: string;
  /** The server, for the question: `host:port`. */
  readonly server: string;
  readonly force: boolean;
  /** The value of `--confirm`. */
  readonly confirm: string | undefined;
  /** Whether `ENVIRONMENT` is `production`, where `--force` alone does not suffice. */
  readonly production: boolean;
  /** Asks on the terminal; undefined where nobody can be asked. */
  readonly ask: ((question: string) => Promise<string | null>) | undefined;
}

/**
 * Lets a destroying command pass, or refuses.
 *
 * @throws OperationError of kind `refused`, with the line that would pass
 */
export async function confirmDestruction(options: ConfirmOptions): Promise<void> {
  const { command, database, confirm } = options;
  const line = ["observatory", command, ...givenWords(options.words ?? []), "--confirm"].join(" ") +
    ` ${shellWord(database)}`;
  if (confirm !== undefined) {
    if (confirm === database) return;
    throw refused(`--confirm names "${confirm}", but the database is "${database}"`, line);
  }
  if (options.force) {
    if (!options.production) return;
    throw refused(`${command} needs more than --force where ENVIRONMENT is production`, line);
  }
  if (options.ask === undefined) {
    throw refused(`${command} needs a confirmation, and nobody can be asked here`, line);
  }
  const answer = await options.ask(
    `This destroys data in "${database}" on ${options.server}.\nType the database's name to go on: `,
  );
  if (answer?.trim() !== database) throw refused(`${command} was not confirmed`, line);
}

/** The words without those that confirm. */
function givenWords(words: readonly string[]): string[] {
  return words
    .filter((word, index) =>
      word !== "--force" && !/^--confirm(=|$)/.test(word) && words[index - 1] !== "--confirm"
    )
    .map(shellWord);
}

/** The text as one word of a POSIX shell. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function refused(reason: string, line: string): OperationError {
  return new OperationError(`Refused: ${reason}; nothing was changed`, {
    kind: "refused",
    code: "not_confirmed",
    hint: `To go on: ${line}`,
  });
}
