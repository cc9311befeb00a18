/** Versions of migrations, as shells offer them. */
import type { Candidate, Completer } from "../../core/plugin.ts";
import { listMigrationFiles } from "./files.ts";
import { directoriesOf } from "./source.ts";

/** The versions that there are files of, in their order. */
export const migrations: Completer = async (context, { dir = [] }) => {
  const { ups } = await listMigrationFiles(context.files, directoriesOf(context, dir));
  return [...ups.values()].map(({ version, description }): Candidate => ({
    value: String(version),
    description,
  }));
};
