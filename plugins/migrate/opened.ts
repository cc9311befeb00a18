/** A session like those of sqlx beside the files, for commands that need both. */
import type { Context, Session } from "../../core/plugin.ts";
import { SQLX_SESSION } from "./history.ts";
import { directoriesOf, readSource, type Source } from "./source.ts";

/** What such a command works with. */
export interface Opened {
  readonly session: Session;
  readonly source: Source;
}

/**
 * Reads the files while the session is being opened, and closes it after the work.
 *
 * @throws OperationError when the files cannot be read, or the database not be opened
 */
export async function withFilesAndSession<T>(
  context: Context,
  directories: readonly string[],
  work: (opened: Opened) => Promise<T>,
): Promise<T> {
  const opening = context.db.session(SQLX_SESSION);
  // Its failure is told below, after what is wrong with the files.
  opening.catch(() => {});
  const source = await readSource(context, directoriesOf(context, directories));
  const session = await opening;
  try {
    return await work({ session, source });
  } finally {
    await session.close();
  }
}
