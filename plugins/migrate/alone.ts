/** Applies a file whose statements run one by one, outside a transaction. */
import { createHash, type Hash } from "node:crypto";
import {
  type Context,
  DatabaseError,
  OperationError,
  type Session,
  type Step,
} from "../../core/plugin.ts";
import { buildIndex, buildsConcurrently } from "./concurrent_index.ts";
import { isLarge, sameBytes } from "./contents.ts";
import { failure, isConnectionLoss } from "./failure.ts";
import { type Piece, readPieces } from "../sql/pieces.ts";
import { isLasting, ScriptRules } from "./rules.ts";
import { changedMeanwhile, type Checked, readWhole, type Script } from "./script.ts";
import type { MigrationFile } from "./files.ts";
import { resolveHint } from "./plan.ts";
import type { SqlStatement } from "../sql/statement.ts";
import type { ApplyOptions } from "./transaction.ts";

/** How far a file is. */
interface Position {
  /** Statements that are done. */
  done: number;
  /** Of these, the ones that left something in the database. */
  kept: number;
  /** What `kept` was before a transaction that the file has begun itself; undefined outside of one. */
  keptBefore: number | undefined;
  /** The statement that runs. */
  piece: Piece | undefined;
  /** What is to be told when it fails. */
  readonly facts: string[];
}

/**
 * Applies a file statement by statement, each a simple query that is waited for.
 *
 * When only one of them leaves something behind, it is recorded after it, as sqlx
 * does it. Otherwise the file is recorded as broken off before the first and as
 * applied after the last: should one fail, both tools know that it is half applied.
 *
 * @throws OperationError with the place in the file and what is left to do
 */
export async function applyAlone(
  context: Context,
  script: Script & { readonly checked: Checked },
  options: ApplyOptions,
): Promise<void> {
  const { checksum, lasting } = script.checked;
  const { session, records } = options;
  const marked = lasting > 1;
  const started = context.now();
  if (marked) await markStarted(script, options);
  const position: Position = {
    done: 0,
    kept: 0,
    keptBefore: undefined,
    piece: undefined,
    facts: [],
  };
  try {
    const hash = createHash("sha384");
    for await (const piece of await piecesOf(context, script, hash)) {
      position.piece = piece;
      await runStatement(context, { script, options, position, piece });
      advance(position, piece.statement);
    }
    position.piece = undefined;
    if (!sameBytes(new Uint8Array(hash.digest()), checksum)) throw changedMeanwhile(script.file);
    const nanoseconds = BigInt(Math.round((context.now() - started) * 1e6));
    await write(session, records.finished(checksum, { started: marked, nanoseconds }));
  } catch (error) {
    throw await brokenOff(error, { context, script, options, position });
  }
}

async function markStarted(
  { file, checked }: Script & { readonly checked: Checked },
  { session, records, before }: ApplyOptions,
): Promise<void> {
  try {
    await write(session, records.started(checked.checksum));
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    const facts = [`Nothing of this file was done${before}`];
    throw failure(error, { file, part: "record", facts });
  }
}

async function write(session: Session, { sql, params }: Step): Promise<void> {
  await session.pipeline([{ sql, params: params ?? [] }]);
}

async function piecesOf(
  { files }: Context,
  { file, checked }: Script & { readonly checked: Checked },
  hash: Hash,
): Promise<AsyncGenerator<Piece>> {
  const stream = isLarge(file) ? await files.stream(file.path) : ReadableStream.from([
    checked.bytes ?? await readWhole(file, { files, checksum: checked.checksum }),
  ]);
  return readPieces(stream, { rules: new ScriptRules(true), hash, bytes: 0 });
}

interface Running {
  readonly script: Script & { readonly checked: Checked };
  readonly options: ApplyOptions;
  readonly position: Position;
}

async function runStatement(
  context: Context,
  { script, options, position, piece }: Running & { readonly piece: Piece },
): Promise<void> {
  const { session } = options;
  const { statement } = piece;
  const { file, checked } = script;
  const run = () => session.pipeline([{ sql: piece.bytes }]);
  context.progress({
    label: `Applying ${file.fileName}, statement`,
    done: position.done,
    total: checked.statements,
    unit: "items",
  });
  if (!buildsConcurrently(statement)) {
    await run();
  } else {
    const place = `${file.path}:${piece.line}:${piece.column}`;
    await buildIndex(context, { session, statement, place, run, facts: position.facts });
  }
}

function advance(position: Position, statement: SqlStatement): void {
  const { kind, chain } = statement;
  position.done++;
  if (kind === "begin" || chain) position.keptBefore ??= position.kept;
  else if (kind === "rollback") undo(position);
  else if (kind === "commit" || kind === "prepared") position.keptBefore = undefined;
  else if (isLasting(statement)) position.kept++;
}

function undo(position: Position): void {
  position.kept = position.keptBefore ?? position.kept;
  position.keptBefore = undefined;
}

/** What the history says of a file that broke off. */
type Recorded = "half" | "not at all" | "unknown";

/** Leaves the history telling the truth, as far as the server can still be spoken to. */
async function settle(
  error: unknown,
  { context, script, options, position }: Running & { readonly context: Context },
): Promise<Recorded> {
  const { session, records } = options;
  const { file, checked } = script;
  const marked = checked.lasting > 1;
  const unsettled = marked ? "half" : "unknown";
  if (isConnectionLoss(error) || context.signal.aborted) return unsettled;
  try {
    if (position.keptBefore !== undefined) await session.query("ROLLBACK");
    undo(position);
    if (position.kept === 0) {
      if (marked) await write(session, records.withdrawn());
      return "not at all";
    }
    if (!marked) await write(session, records.started(checked.checksum));
    return "half";
  } catch (second) {
    context.log.debug(`Cannot record how migration ${file.version} ended: ${second}`);
    return unsettled;
  }
}

async function brokenOff(
  error: unknown,
  running: Running & { readonly context: Context },
): Promise<unknown> {
  const { context, script, options, position } = running;
  const { file } = script;
  const recorded = await settle(error, running);
  const facts = [...position.facts, outcome(recorded, running) + options.before];
  const hint = recorded === "half" ? resolveAdvice(file) : undefined;
  if (error instanceof DatabaseError) {
    const part = position.piece === undefined ? "record" : "file";
    return failure(error, { file, part, sent: position.piece, facts, hint });
  }
  if (error instanceof OperationError) {
    const { kind, code, details, message } = error;
    const advice = hint ?? error.hint;
    return new OperationError(message, {
      kind,
      code,
      excerpt: facts.join("\n"),
      ...(advice === undefined ? {} : { hint: advice }),
      details: { ...details, file: file.path, version: String(file.version) },
      cause: error,
    });
  }
  // A signal ends the run without further words, so these come before it.
  for (const fact of facts) context.log.warn(`${file.path}: ${fact}`);
  if (hint !== undefined) context.log.warn(hint);
  return error;
}

function outcome(recorded: Recorded, { script: { file, checked }, position }: Running): string {
  const done = `${position.done} of ${checked.statements} statements of this file are done`;
  switch (recorded) {
    case "half":
      return `${done}; migration ${file.version} is recorded as broken off half-way`;
    case "unknown":
      return `${done}, and what became of the next one is not known; ` +
        `see what \`observatory migrate status\` says of migration ${file.version}`;
    default:
      return file.kind === "down"
        ? "The migration is still recorded as applied"
        : "Nothing of this file was kept, and it is not recorded";
  }
}

function resolveAdvice({ version, kind }: MigrationFile): string {
  return kind === "down"
    ? `Finish the rollback by hand and run \`observatory migrate resolve ${version} --unapplied\`, ` +
      `or bring back what it removed and run \`observatory migrate resolve ${version} --applied\``
    : resolveHint(version);
}
