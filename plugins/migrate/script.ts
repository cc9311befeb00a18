/** Migration files read and found fit to be applied, before any of them is. */
import { createHash } from "node:crypto";
import { type Files, OperationError } from "../../core/plugin.ts";
import { type Contents, isLarge, sameBytes, sha384 } from "./contents.ts";
import type { MigrationFile } from "./files.ts";
import { PIECE_BYTES, readPieces } from "../sql/pieces.ts";
import type { Problem } from "./problems.ts";
import { type Fault, NO_TRANSACTION, ScriptRules } from "./rules.ts";
import { excerpt } from "../sql/excerpt.ts";
import { SqlScanner } from "../sql/scanner.ts";

/** A file that is ready to be applied. */
export interface Script {
  readonly file: MigrationFile;
  /** Whether its statements run one by one, each in a transaction of its own. */
  readonly noTransaction: boolean;
  /** What it was when it was checked; undefined for a large file that is checked while it is sent. */
  readonly checked: Checked | undefined;
}

/** What checking a file found. */
export interface Checked {
  readonly checksum: Uint8Array;
  /** How many statements are sent. */
  readonly statements: number;
  /** How many of these leave something in the database. */
  readonly lasting: number;
  /** What the transaction begins with: BEGIN, or the file's own with its options. */
  readonly begin: string | Uint8Array;
  /** Statements that are not sent, in bytes: BEGIN and COMMIT. */
  readonly leftOut: readonly Range[];
  /** The bytes of a small file, where they are kept. */
  readonly bytes: Uint8Array | undefined;
}

/** From the first byte to the one after the last. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** What reading the files found. */
export interface Scripts {
  readonly scripts: readonly Script[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

/** How files are read. */
export interface ScriptOptions {
  readonly files: Files;
  /** Checksums and bytes of small files that were read before. */
  readonly contents: Contents;
  /**
   * Whether a large file that is applied first may be checked while it is sent:
   * should it be refused then, nothing has been applied before it.
   */
  readonly firstWhileSent: boolean;
}

/** Reads and checks files in the order in which they will be applied. */
export async function readScripts(
  wanted: readonly MigrationFile[],
  options: ScriptOptions,
): Promise<Scripts> {
  const scripts: Script[] = [];
  const problems: Problem[] = [];
  const warnings: string[] = [];
  for (const [index, file] of wanted.entries()) {
    try {
      const read = isLarge(file)
        ? await readLarge(file, {
          files: options.files,
          whileSent: options.firstWhileSent && index === 0,
        })
        : await readSmall(file, options);
      scripts.push(read.script);
      problems.push(...read.problems);
      warnings.push(...read.warnings.map((warning) => `${file.path}: ${warning}`));
    } catch (error) {
      problems.push(unreadable(file, error));
    }
  }
  return { scripts, problems, warnings };
}

interface ReadScript {
  readonly script: Script;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

async function readSmall(
  file: MigrationFile,
  { files, contents }: ScriptOptions,
): Promise<ReadScript> {
  const known = contents.get(file.version);
  const bytes = known?.bytes ?? await readWhole(file, { files, checksum: known?.checksum });
  const noTransaction = startsWithDirective(bytes);
  const rules = new ScriptRules(noTransaction);
  const scanner = new SqlScanner();
  const leftOut = [...scanner.scan(bytes), ...scanner.finish()]
    .filter((statement) => !rules.accept(statement))
    .map(({ start, end }) => ({ start, end }));
  rules.finish();
  const checked: Checked = {
    checksum: known?.checksum ?? sha384(bytes),
    statements: rules.sent,
    lasting: rules.lasting,
    begin: rules.begin === undefined ? "BEGIN" : bytes.slice(rules.begin.start, rules.begin.end),
    leftOut,
    bytes: known?.bytes,
  };
  return {
    script: { file, noTransaction, checked },
    problems: [
      ...byteOrderMark(file, scanner.bom),
      ...rules.faults.map((fault) => problemOf(fault, { file, bytes })),
    ],
    warnings: [...rules.warnings, ...lateDirective(bytes, noTransaction)],
  };
}

async function readLarge(
  file: MigrationFile,
  { files, whileSent }: { files: Files; whileSent: boolean },
): Promise<ReadScript> {
  const head = await readHead(files, file);
  const noTransaction = startsWithDirective(head);
  const warnings = lateDirective(head, noTransaction);
  if (whileSent && !noTransaction) {
    return {
      script: { file, noTransaction, checked: undefined },
      problems: byteOrderMark(file, startsWith(head, BYTE_ORDER_MARK)),
      warnings,
    };
  }
  const rules = new ScriptRules(noTransaction);
  const hash = createHash("sha384");
  const pieces = readPieces(await files.stream(file.path), { rules, hash, bytes: PIECE_BYTES });
  while (!(await pieces.next()).done) {
    // Only what the rules and the hash find is wanted.
  }
  const checked: Checked = {
    checksum: new Uint8Array(hash.digest()),
    statements: rules.sent,
    lasting: rules.lasting,
    begin: "BEGIN",
    leftOut: [],
    bytes: undefined,
  };
  return {
    script: { file, noTransaction, checked },
    problems: [
      ...byteOrderMark(file, startsWith(head, BYTE_ORDER_MARK)),
      ...rules.faults.map((fault) => problemOf(fault, { file })),
    ],
    warnings: [...rules.warnings, ...warnings],
  };
}

/**
 * Reads a small file whole.
 *
 * @throws OperationError when it is not what it was when its checksum was computed
 */
export async function readWhole(
  file: MigrationFile,
  { files, checksum }: { files: Files; checksum: Uint8Array | undefined },
): Promise<Uint8Array> {
  const [bytes = new Uint8Array()] = await files.readAll([file.path]);
  if (checksum !== undefined && !sameBytes(checksum, sha384(bytes))) throw changedMeanwhile(file);
  return bytes;
}

/** The error of a file that was written to during the run. */
export function changedMeanwhile(file: MigrationFile): OperationError {
  return new OperationError(`The file "${file.path}" was changed while this run was reading it`, {
    code: "file_changed_meanwhile",
    hint: "Run again when nothing writes to the directory",
    details: { file: file.path, version: String(file.version) },
  });
}

async function readHead(files: Files, file: MigrationFile): Promise<Uint8Array> {
  const reader = (await files.stream(file.path)).getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return value ?? new Uint8Array();
}

const DIRECTIVE = new TextEncoder().encode(NO_TRANSACTION);
const BYTE_ORDER_MARK = new Uint8Array([0xef, 0xbb, 0xbf]);
/** How far into a file a directive is looked for that does not come first. */
const LOOK_BYTES = 2048;

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}

function startsWithDirective(bytes: Uint8Array): boolean {
  return startsWith(bytes, DIRECTIVE);
}

function lateDirective(bytes: Uint8Array, noTransaction: boolean): string[] {
  if (noTransaction) return [];
  const head = new TextDecoder().decode(bytes.subarray(0, LOOK_BYTES));
  if (!/^\s*(--[^\n]*\n\s*)*--\s*no-transaction/i.test(head)) return [];
  return [`"${NO_TRANSACTION}" counts only as the very first bytes of a file; here it is ignored`];
}

/** Puts a file's name before what was found wrong with its text. */
export function problemOf(
  fault: Fault,
  { file, bytes }: { file: MigrationFile; bytes?: Uint8Array },
): Problem {
  const { code, statement: { line, column, start }, reason, hint } = fault;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const shown = bytes && excerpt({
    text: decoder.decode(bytes),
    position: [...decoder.decode(bytes.subarray(0, start))].length + 1,
  });
  return {
    code,
    message: `${file.path}:${line}:${column}: ${reason}`,
    hint,
    version: String(file.version),
    file: file.path,
    line,
    column,
    ...(shown === undefined ? {} : { excerpt: shown.lines }),
  };
}

function byteOrderMark(file: MigrationFile, found: boolean): Problem[] {
  if (!found) return [];
  return [{
    code: "byte_order_mark",
    message: `The file "${file.path}" begins with a byte order mark, which the server refuses`,
    hint: "Save it as UTF-8 without one",
    version: String(file.version),
    file: file.path,
  }];
}

function unreadable(file: MigrationFile, error: unknown): Problem {
  // What is wrong with the text is told with the file's name; other errors end the run as they are.
  if (!(error instanceof OperationError) || !error.code.startsWith("sql_")) throw error;
  return {
    code: error.code,
    message: `Cannot read migration "${file.path}": ${error.message}`,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    version: String(file.version),
    file: file.path,
  };
}
