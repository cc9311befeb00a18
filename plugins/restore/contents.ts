/** What a file is, told by its first bytes and never by its name. */
import { Buffer } from "node:buffer";
import { OperationError } from "../../core/plugin.ts";

/** A dump's form. */
export type DumpFormat = "custom" | "directory" | "tar" | "plain";

/** What may be wrapped around a dump. */
export type Wrapping = "age" | "gzip" | "zstd" | "lz4";

/** What is in a file. */
export interface Contents {
  readonly format: DumpFormat;
  /** What is wrapped around it, the outermost first. */
  readonly wrapping: readonly Wrapping[];
}

/** How many bytes tell what it is. */
export const HEAD_BYTES = 4096;

/** How encryption by age begins in its form for text. */
export const ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----";

const WRAPPINGS: readonly (readonly [Wrapping, string])[] = [
  ["age", "age-encryption.org/v1\n"],
  ["age", ARMOR],
  ["gzip", "\x1f\x8b\x08"],
  ["zstd", "\x28\xb5\x2f\xfd"],
  ["lz4", "\x04\x22\x4d\x18"],
];

/** What is taken for a dump by its name alone; tells people what they have. */
const OTHERS: readonly (readonly [RegExp | string, string])[] = [
  ["PK\x03\x04", "a ZIP archive"],
  [/^BZh[1-9]/, "compressed by bzip2"],
  ["\xfd7zXZ\0", "compressed by xz"],
  ["7z\xbc\xaf", "a 7z archive"],
  ["SQLite format 3\0", "a database of SQLite"],
  ["\x7fELF", "a program"],
  [/^%PDF-/, "a PDF document"],
  [/^Salted__/, "encrypted by openssl"],
  ["-----BEGIN PGP", "encrypted by GnuPG"],
  // A packet for a public key, or for a passphrase.
  ["\x85\x02\x0c\x03", "encrypted by GnuPG"],
  ["\x85\x01\x0c\x03", "encrypted by GnuPG"],
  ["\x84^\x03", "encrypted by GnuPG"],
  ["\x8c\x0d\x04", "encrypted by GnuPG"],
  [/^version https:\/\/git-lfs/, "a pointer of Git LFS, and not the file itself"],
  [/^(\xff\xfe|\xfe\xff)/, "text in UTF-16; PostgreSQL reads UTF-8"],
  [/^\s*(<\?xml|<!doctype|<html|<Error)/i, "XML or HTML, such as a server's error message"],
  [/^\s*[{[]\s*["{[\]}]/, "JSON"],
  [/^(--|\/\*).{0,40}(MySQL|MariaDB) dump/s, "a dump of MySQL"],
  [/^\s*\/\*!\d{5} /, "a dump of MySQL"],
];

/** What a statement or a command of psql may begin with. */
const SQL = new Set(
  ("abort alter analyze begin call checkpoint close cluster comment commit copy create deallocate " +
    "declare delete discard do drop end execute explain fetch grant import insert listen load lock " +
    "merge move notify prepare reassign refresh reindex release reset revoke rollback savepoint " +
    "security select set show start table truncate unlisten update vacuum values with")
    .split(" "),
);

/**
 * Recognises one layer by its first bytes.
 *
 * @param head up to `HEAD_BYTES` of them; fewer only where there are no more
 * @returns what is wrapped around the rest, or the dump's form; never `directory`
 * @throws OperationError `unknown_contents` of kind `refused`, which tells what it looks like
 */
export function recognise(
  head: Uint8Array,
  { title }: { readonly title: string },
): { readonly wrapping: Wrapping } | { readonly format: DumpFormat } {
  if (head.length === 0) throw unknown(title, "it is empty");
  const bytes = latin1(head.subarray(0, HEAD_BYTES));
  const wrapping = WRAPPINGS.find(([, magic]) => bytes.startsWith(magic))?.[0];
  if (wrapping !== undefined) return { wrapping };
  if (isSkippable(bytes, 0)) return { wrapping: skippable(bytes) };
  if (bytes.startsWith("PGDMP")) {
    // The eleventh byte is the format; a tar's stands in a directory's table of contents.
    if (bytes.charCodeAt(10) === 1) return { format: "custom" };
    throw unknown(title, "it is the table of contents of a dump in the directory format", {
      hint: "Name the directory that it was in",
    });
  }
  if (bytes.slice(257, 262) === "ustar") {
    if (/^toc\.dat\0/.test(bytes)) return { format: "tar" };
    throw unknown(title, "it is a tar archive, and none that pg_dump has written", {
      hint: "Unpack it, and name what is in it",
    });
  }
  const other = OTHERS.find(([sign]) =>
    typeof sign === "string" ? bytes.startsWith(sign) : sign.test(bytes)
  )?.[1];
  if (other !== undefined) throw unknown(title, `it is ${other}`);
  requireSql(head, { title });
  return { format: "plain" };
}

/** zstd and lz4 share frames that are skipped; what comes behind the first tells. */
function skippable(bytes: string): Wrapping {
  let at = 0;
  while (isSkippable(bytes, at)) {
    const [a = 0, b = 0, c = 0, d = 0] = [4, 5, 6, 7].map((index) => bytes.charCodeAt(at + index));
    at += 8 + a + b * 256 + c * 65536 + d * 2 ** 24;
  }
  return bytes.slice(at, at + 4) === "\x04\x22\x4d\x18" ? "lz4" : "zstd";
}

function isSkippable(bytes: string, at: number): boolean {
  const code = bytes.charCodeAt(at);
  return code >= 0x50 && code <= 0x5f && bytes.startsWith("\x2a\x4d\x18", at + 1);
}

/** A character for each byte: what is called so on the web is another encoding. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function requireSql(head: Uint8Array, { title }: { readonly title: string }): void {
  const text = latin1(head);
  // deno-lint-ignore no-control-regex -- what no text holds is looked for
  if (/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text)) throw unknown(title, "it is binary");
  if (/^\uFEFF?(\s|--[^\n]*\n)*-- PostgreSQL database cluster dump/.test(text)) {
    throw unknown(title, "it is of pg_dumpall, and holds roles and databases of a whole server", {
      hint: `psql runs it: psql --dbname=postgres --file=${title}`,
    });
  }
  const statement = afterComments(text.replace(/^\xef\xbb\xbf/, ""));
  if (statement === "" || statement.startsWith("\\") || statement.startsWith("(")) return;
  const [word = ""] = /^[a-z]+/i.exec(statement) ?? [];
  if (!SQL.has(word.toLowerCase())) {
    const shown = statement.split("\n")[0]?.slice(0, 40) ?? "";
    throw unknown(title, `it is text, and no SQL: it begins with ${JSON.stringify(shown)}`);
  }
}

function afterComments(text: string): string {
  let rest = text;
  for (;;) {
    const next = rest.trimStart().replace(/^(;|--.*(\n|$))/, "");
    const block = next.startsWith("/*") ? afterBlock(next) : next;
    if (block.length === rest.length) return block;
    rest = block;
  }
}

/** Blocks of comments may lie within each other; one that does not end here is all there is. */
function afterBlock(text: string): string {
  let depth = 0;
  for (const { 0: mark, index } of text.matchAll(/\/\*|\*\//g)) {
    depth += mark === "/*" ? 1 : -1;
    if (depth === 0) return text.slice(index + 2);
  }
  return "";
}

function unknown(
  title: string,
  reason: string,
  { hint = "Dumps are what pg_dump writes, compressed or encrypted by age or not, and SQL" } = {},
): OperationError {
  return new OperationError(`Cannot restore ${title}: ${reason}`, {
    kind: "refused",
    code: "unknown_contents",
    hint,
    details: { reason },
  });
}
