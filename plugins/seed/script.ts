/** Runs an SQL seed file in a transaction that is under way. */
import { createHash } from "node:crypto";
import { type Context, DatabaseError, OperationError, type Session } from "../../core/plugin.ts";
import { locate, type SentText } from "../sql/location.ts";
import { type Piece, PIECE_BYTES, readPieces } from "../sql/pieces.ts";
import { FileFault } from "./fault.ts";
import type { SeedFile } from "./files.ts";
import { SeedRules } from "./rules.ts";
import { lastRows, type ShownRows } from "./shown_rows.ts";

/** What running a file gave. */
export interface RanScript {
  /** The SHA-256 of the file in hexadecimal. */
  readonly checksum: string;
  /** The rows of its last statement, when it gives any. */
  readonly shown: ShownRows | undefined;
}

/** How many pieces are remembered for error messages; more than the session sends ahead. */
const REMEMBERED = 16;

/**
 * Runs a file; large ones are sent in pieces while they are read.
 *
 * @throws FileFault when it holds what cannot be run, or DatabaseError with details `line`,
 *   `column` and the lines as its excerpt
 */
export async function runScript(
  { files, progress }: Context,
  file: SeedFile,
  session: Session,
): Promise<RanScript> {
  const rules = new SeedRules();
  const hash = createHash("sha256");
  const label = `Loading ${file.name}`;
  const recent = new Map<number, Piece>();
  let held: Piece | undefined;
  let sent = 0;
  const pieces = readPieces(await files.stream(file.path), {
    rules,
    hash,
    bytes: PIECE_BYTES,
    onProgress: (done) => progress({ label, done, total: file.size, unit: "bytes" }),
  });
  /** All pieces but the last one, whose rows are wanted. */
  async function* steps() {
    for await (const piece of pieces) {
      refuse(rules);
      if (held !== undefined) {
        recent.set(sent, held);
        recent.delete(sent++ - REMEMBERED);
        yield { sql: held.bytes };
      }
      held = piece;
    }
    refuse(rules);
  }
  try {
    await session.pipeline(ReadableStream.from(steps()));
  } catch (error) {
    const failed = error instanceof DatabaseError ? recent.get(error.step) : undefined;
    throw withPlace(error, failed);
  }
  return { shown: await runLast(session, held), checksum: hash.digest("hex") };
}

function refuse({ faults: [fault] }: SeedRules): void {
  if (fault !== undefined) throw fault;
}

async function runLast(session: Session, piece: Piece | undefined): Promise<ShownRows | undefined> {
  if (piece === undefined) return undefined;
  try {
    return await lastRows(await session.execute(piece.bytes));
  } catch (error) {
    throw withPlace(error, piece);
  }
}

function withPlace(error: unknown, sent: SentText | undefined): unknown {
  if (!(error instanceof DatabaseError)) return error;
  const place = sent === undefined ? undefined : locate(error, sent);
  return place === undefined ? error : new DatabaseError(error.server, error.step, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    excerpt: place.excerpt,
    completed: error.completed,
    details: { line: place.line, column: place.column },
  });
}

/**
 * Reads a file without running it.
 *
 * @throws FileFault when it holds what cannot be run
 */
export async function checkScript({ files }: Context, file: SeedFile): Promise<void> {
  const rules = new SeedRules();
  const hash = createHash("sha256");
  const stream = await files.stream(file.path);
  const pieces = readPieces(stream, { rules, hash, bytes: PIECE_BYTES });
  try {
    while (!(await pieces.next()).done) refuse(rules);
    refuse(rules);
  } catch (error) {
    throw asFault(error);
  }
}

/** What splitting the text found wrong, as a fault of the file. */
export function asFault(error: unknown): unknown {
  if (!(error instanceof OperationError) || !error.code.startsWith("sql_")) return error;
  const { line, column } = error.details;
  return new FileFault(error.message, {
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    place: {
      ...(typeof line === "number" ? { line } : {}),
      ...(typeof column === "number" ? { column } : {}),
    },
  });
}
