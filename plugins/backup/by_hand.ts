/** How a backup is restored without this program, for its manifest. */
import type { Manifest } from "../repository/manifest.ts";
import { literal } from "../sql/names.ts";

/** What the lines are made from. */
export type ByHand = Pick<
  Manifest,
  | "kind"
  | "source"
  | "format"
  | "compression"
  | "files"
  | "encryption"
  | "globals"
  | "timescaledb"
>;

/** The lines for a shell, in their order; lines with # tell what is to be decided. */
export function restoreByHand(backup: ByHand): string[] {
  const { source, encryption, globals, timescaledb, format } = backup;
  const files = backup.files.filter(({ name }) => name !== globals);
  const data = format === "directory"
    ? files[0]?.name.replace(/\/.*$/s, "") ?? ""
    : files[0]?.name ?? "";
  const lines: string[] = [];
  if (format === "directory") lines.push("# Compare the SHA-256 of every file with the manifest's");
  else {
    lines.push(
      ...files.map(({ name, sha256 }) => `echo ${word(`${sha256}  ${name}`)} | sha256sum --check`),
    );
  }
  const plain = (name: string) => encryption === null ? name : name.replace(/\.age$/, "");
  if (encryption !== null) {
    for (const name of [data, ...globals === null ? [] : [globals]]) {
      lines.push(`age --decrypt --identity KEY_FILE --output ${word(plain(name))} ${word(name)}`);
    }
  }
  if (globals !== null) {
    lines.push(
      "# Roles that exist already are reported as errors, which may be passed over",
      `psql --no-psqlrc --dbname postgres --file ${word(plain(globals))}`,
    );
  }
  const database = word(source.database);
  if (backup.kind === "full" || backup.kind === "schema") {
    lines.push(
      `createdb --template template0 --encoding ${word(source.encoding)} ${database}`,
    );
  } else lines.push(`# The database ${source.database} exists, with what the backup leaves out`);
  const run = (sql: string) => `psql --no-psqlrc --dbname ${database} --command ${word(sql)}`;
  if (timescaledb !== null) {
    lines.push(
      run(`CREATE EXTENSION IF NOT EXISTS timescaledb VERSION ${literal(timescaledb.version)}`),
      run("SELECT timescaledb_pre_restore()"),
    );
  }
  lines.push(restoreLine(backup, { data: plain(data), database }));
  if (timescaledb !== null) lines.push(run("SELECT timescaledb_post_restore()"));
  if (backup.kind !== "schema") lines.push(`vacuumdb --analyze-only --dbname ${database}`);
  return lines;
}

function restoreLine(
  { format, compression: { method } }: ByHand,
  { data, database }: { readonly data: string; readonly database: string },
): string {
  if (format !== "plain") {
    return `pg_restore --exit-on-error --no-password --dbname ${database} ${word(data)}`;
  }
  const psql = `psql --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --dbname ${database}`;
  if (method === "none") return `${psql} --file ${word(data)}`;
  return `${method === "gzip" ? "gunzip --stdout" : "zstd --decompress --stdout"} ${
    word(data)
  } | ${psql}`;
}

/** A word for the shell. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
