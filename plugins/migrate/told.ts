/** How results name migrations. */
import type { MigrationFile } from "./files.ts";

/** One migration in a result; versions are text, since JSON readers round large numbers. */
export interface Told {
  readonly version: string;
  readonly description: string;
  readonly file: string;
}

/** Names a migration by its file. */
export function told({ version, description, path }: MigrationFile): Told {
  return { version: String(version), description, file: path };
}
