/** Applies a file together with its record, in one transaction and, when it is small, one round trip. */
import { createHash, type Hash } from "node:crypto";
import {
  type Context,
  DatabaseError,
  OperationError,
  type Session,
  type Step,
} from "../../core/plugin.ts";
import { isLarge, sameBytes } from "./contents.ts";
import { connectionBroke, type FailedPart, failure, isConnectionLoss } from "./failure.ts";
import type { SentText } from "../sql/location.ts";
import { type Piece, PIECE_BYTES, readPieces } from "../sql/pieces.ts";
import { refuse } from "./problems.ts";
import type { Records } from "./records.ts";
import { ScriptRules } from "./rules.ts";
import { changedMeanwhile, type Checked, problemOf, readWhole, type Script } from "./script.ts";

/** What applying a file needs. */
export interface ApplyOptions {
  readonly session: Session;
  readonly records: Records;
  /** What became of the files of this run before this one, for messages; empty when there are none. */
  readonly before: string;
}

/** Completes a sentence on the file that failed by what became of the ones before it. */
export function beforeIt(count: number, done: "applied" | "rolled back"): string {
  if (count === 0) return "";
  return count === 1
    ? `; the one before it in this run is ${done}`
    : `; the ${count} before it in this run are ${done}`;
}

/**
 * Applies a file in a transaction.
 *
 * @throws OperationError with the place in the file; nothing of it is applied then
 */
export async function applyTogether(
  context: Context,
  script: Script,
  options: ApplyOptions,
): Promise<void> {
  const { file, checked } = script;
  try {
    if (checked === undefined || isLarge(file)) await applyStream(context, script, options);
    else await applyWhole(context, { ...script, checked }, options);
  } catch (error) {
    throw isConnectionLoss(error) ? connectionBroke(error, file) : error;
  }
}

async function applyWhole(
  { files }: Context,
  { file, checked }: Script & { readonly checked: Checked },
  options: ApplyOptions,
): Promise<void> {
  const { session, records } = options;
  const bytes = checked.bytes ?? await readWhole(file, { files, checksum: checked.checksum });
  const sent = blanked(bytes, checked);
  const steps: Step[] = [
    { sql: checked.begin },
    { sql: sent },
    records.together(checked.checksum),
    { sql: "COMMIT" },
  ];
  try {
    committed(await session.pipeline(steps), file.path);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    const part = PARTS[error.step] ?? "commit";
    throw failure(error, {
      file,
      part,
      sent: part === "file" ? { bytes: sent, line: 1, column: 1, original: bytes } : undefined,
      facts: [`Nothing of this file was kept${options.before}`],
    });
  }
}

const PARTS: readonly FailedPart[] = ["begin", "file", "record", "commit"];

/** The file with what is not sent made spaces, so that every place in it stays where it is. */
function blanked(bytes: Uint8Array, { leftOut }: Checked): Uint8Array {
  if (leftOut.length === 0) return bytes;
  const copy = bytes.slice();
  for (const { start, end } of leftOut) {
    for (let at = start; at < end; at++) if (copy[at] !== 0x0a) copy[at] = 0x20;
  }
  return copy;
}

/** An aborted transaction answers COMMIT with ROLLBACK; that it gets here is never expected. */
function committed(results: readonly { readonly command: string }[], path: string): void {
  const tag = results.at(-1)?.command;
  if (tag === "COMMIT") return;
  throw new OperationError(
    `Cannot apply "${path}": the server answers the commit with ${tag ?? "nothing"}`,
    { code: "not_committed", hint: "Nothing of this file was kept" },
  );
}

async function applyStream(context: Context, script: Script, options: ApplyOptions): Promise<void> {
  const { session, before } = options;
  const { file } = script;
  const source = await sourceOf(context, script, options);
  try {
    committed(await session.pipeline(ReadableStream.from(source.steps())), file.path);
  } catch (error) {
    // A stream ends with what failed, so its transaction is still open; a run that
    // is ending closes the session, which does the same.
    if (!isConnectionLoss(error) && !context.signal.aborted) await session.query("ROLLBACK");
    if (!(error instanceof DatabaseError)) throw error;
    const { part, sent } = source.stepAt(error.step);
    throw failure(error, {
      file,
      part,
      sent,
      facts: [`Nothing of this file was kept${before}`],
    });
  } finally {
    context.progress(null);
  }
}

interface StepSource {
  steps(): AsyncGenerator<Step>;
  /** What was sent as a step, as long as it can still fail. */
  stepAt(index: number): { part: FailedPart; sent: SentText | undefined };
}

/** How many pieces are remembered for error messages; more than the session sends ahead. */
const REMEMBERED = 16;

async function sourceOf(
  { files, progress, log }: Context,
  { file, checked }: Script,
  { records }: ApplyOptions,
): Promise<StepSource> {
  const rules = new ScriptRules(false);
  const hash = createHash("sha384");
  const recent = new Map<number, Piece>();
  let begin: string | Uint8Array = "BEGIN";
  let sent = 0;
  const pieces = readPieces(await files.stream(file.path), {
    rules,
    hash,
    bytes: PIECE_BYTES,
    onBegin: (text) => begin = text,
    onProgress: (done) =>
      progress({ label: `Applying ${file.fileName}`, done, total: file.size, unit: "bytes" }),
  });
  async function* steps(): AsyncGenerator<Step> {
    for await (const piece of pieces) {
      if (sent++ === 0) yield { sql: begin };
      refuse(rules.faults.map((fault) => problemOf(fault, { file })));
      recent.set(sent, piece);
      recent.delete(sent - REMEMBERED);
      yield { sql: piece.bytes };
    }
    if (sent === 0) yield { sql: begin };
    refuse(rules.faults.map((fault) => problemOf(fault, { file })));
    if (checked === undefined) {
      for (const warning of rules.warnings) log.warn(`${file.path}: ${warning}`);
    }
    const checksum = digest(hash);
    // What is recorded must be what was checked and sent, byte for byte.
    if (checked !== undefined && !sameBytes(checksum, checked.checksum)) {
      throw changedMeanwhile(file);
    }
    yield records.together(checksum);
    yield { sql: "COMMIT" };
  }
  return {
    steps,
    stepAt(index) {
      const piece = recent.get(index);
      if (piece !== undefined) return { part: "file", sent: piece };
      return {
        part: index === 0 ? "begin" : index === sent + 1 ? "record" : "commit",
        sent: undefined,
      };
    },
  };
}

function digest(hash: Hash): Uint8Array {
  return new Uint8Array(hash.digest());
}
