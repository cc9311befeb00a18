/** How a backup is restored without this program, for its manifest. */
import type { CompressionMethod, Manifest } from "../repository/manifest.ts";
import { literal } from "../sql/names.ts";

/** What the lines are made from. */
export type ByHand = Pick<
  Manifest,
  | "kind"
  | "source"
  | "client"
  | "format"
  | "compression"
  | "files"
  | "encryption"
  | "globals"
  | "roles"
  | "timescaledb"
>;

/** The first major that knows `transaction_timeout`. */
const TIMEOUT_SINCE = 17;

/** What writes a script as it was before it was compressed. */
const CAT: Readonly<Record<CompressionMethod, string>> = {
  none: "cat",
  gzip: "gunzip --stdout",
  zstd: "zstd --decompress --stdout",
  lz4: "lz4 --decompress --stdout",
};

/** The lines for a shell, in their order; lines with # tell what is to be decided. */
export function restoreByHand(backup: ByHand): string[] {
  const { source, encryption, globals, roles, timescaledb, format } = backup;
  const files = backup.files.filter(({ name }) => format !== "directory" || name === globals);
  const data = backup.files.find(({ name }) => name !== globals)?.name.replace(/\/.*$/s, "") ?? "";
  const lines = files.map(({ name, sha256 }) =>
    `echo ${word(`${sha256}  ${name}`)} | sha256sum --check`
  );
  if (format === "directory") {
    lines.push(`# Compare the SHA-256 of every file in ${data} with the manifest's`);
  }
  const plain = (name: string) => encryption === null ? name : name.replace(/\.age$/, "");
  if (encryption !== null) {
    for (const { name } of files) {
      lines.push(`age --decrypt --identity KEY_FILE --output ${word(plain(name))} ${word(name)}`);
    }
  }
  if (globals !== null) {
    lines.push(
      "# Roles that exist already are reported as errors, which may be passed over",
      `psql --no-psqlrc --dbname postgres --file ${word(plain(globals))}`,
    );
  } else if (roles.length > 0) lines.push(remark(`These roles have to exist: ${roles.join(", ")}`));
  if (backup.kind === "full" || backup.kind === "schema") lines.push(createLine(source));
  else {lines.push(
      remark(`The database ${source.database} exists, with what the backup leaves out`),
    );}
  const target = targetOf(source);
  const run = (sql: string) => `psql --no-psqlrc ${target} --command ${word(sql)}`;
  if (timescaledb !== null) {
    lines.push(
      run(`CREATE EXTENSION IF NOT EXISTS timescaledb VERSION ${literal(timescaledb.version)}`),
      run("SELECT timescaledb_pre_restore()"),
    );
  }
  lines.push(restoreLine(backup, { data: plain(data), target }));
  if (timescaledb !== null) lines.push(run("SELECT timescaledb_post_restore()"));
  if (backup.kind !== "schema") lines.push(`vacuumdb --analyze-only ${target}`);
  return lines;
}

function createLine(source: ByHand["source"]): string {
  const { database, encoding, collate, ctype, locale } = source;
  return [
    "createdb --template template0",
    `--encoding ${word(encoding)} --lc-collate ${word(collate)} --lc-ctype ${word(ctype)}`,
    ...providerFlags(locale),
    `${database.startsWith("-") ? "-- " : ""}${word(database)}`,
  ].join(" ");
}

/** What tells createdb of another provider than the operating system. */
function providerFlags(locale: ByHand["source"]["locale"]): string[] {
  if (!locale || locale.provider === "libc") return [];
  const { provider, name, rules } = locale;
  const flags = [`--locale-provider ${provider}`];
  const flag = provider === "icu" ? "--icu-locale" : "--builtin-locale";
  if (name !== null) flags.push(`${flag} ${word(name)}`);
  if (rules !== null) flags.push(`--icu-rules ${word(rules)}`);
  return flags;
}

/** A name that looks like a connection is taken for one, unless it stands in one. */
function targetOf({ database }: ByHand["source"]): string {
  const misleading = database.includes("=") || /^postgres(ql)?:\/\//.test(database);
  const name = misleading ? `dbname='${database.replaceAll(/['\\]/g, "\\$&")}'` : database;
  return `--dbname ${word(name)}`;
}

/** A line that is no command, whatever is told in it. */
function remark(text: string): string {
  return `# ${text.replaceAll(/\s+/g, " ")}`;
}

function restoreLine(
  { format, source, client, compression: { method } }: ByHand,
  { data, target }: { readonly data: string; readonly target: string },
): string {
  const server = Math.floor(source.server_version_num / 10_000);
  // What newer programs write sets a timeout that older servers do not know, whoever restores it.
  const unknown = server < TIMEOUT_SINCE && parseInt(client.version) >= TIMEOUT_SINCE;
  if (format !== "plain") {
    return unknown
      ? `pg_restore --no-password ${target} ${word(data)} || ` +
        `echo "PostgreSQL ${server} does not know transaction_timeout: pass over that one error, and no other"`
      : `pg_restore --exit-on-error --no-password ${target} ${word(data)}`;
  }
  const psql = `psql --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction ${target}`;
  if (method === "none" && !unknown) return `${psql} --file ${word(data)}`;
  const filter = unknown ? " | sed '1,40{/^SET transaction_timeout = 0;$/d;}'" : "";
  return `${CAT[method]} ${word(data)}${filter} | ${psql}`;
}

/** A word for the shell. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
