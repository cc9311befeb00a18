/**
 * The audit of one run: each command that writes or destroys is told of, in a file before it begins
 * and after it has ended, and in the database once the run has done its work.
 */
import { OperationError, type Plan, type Result } from "../plugin.ts";
import type { CommandEntry } from "../command_tree.ts";
import type { Configuration } from "../config.ts";
import type { SharedDatabaseState } from "../database.ts";
import { type ErrorReport, EXIT_PROBLEMS, finalReport } from "../errors.ts";
import type { CommandInput } from "../input.ts";
import type { Run } from "../run.ts";
import type { AuditOutcome, AuditRecord } from "./record.ts";

/** What is audited, and where. */
export interface AuditOptions {
  readonly run: Run;
  readonly configuration: Configuration;
  readonly shared: SharedDatabaseState;
  /** The file of `--audit-log`. */
  readonly file: string | undefined;
}

/** One command to be audited. */
export interface Audited {
  readonly entry: CommandEntry;
  readonly input: Pick<CommandInput, "flags" | "args">;
  /** The command that runs it. */
  readonly parent?: string | undefined;
}

/** The audit of one run. */
export interface Audit {
  /**
   * Takes note of a command, and makes sure that the file can be written.
   *
   * @throws OperationError of kind `refused` when it cannot
   */
  attempt(audited: Audited): Promise<Attempt>;
  /** Writes into the database what is not there yet; never throws. */
  flush(): Promise<void>;
  /** Writes into the file how everything ended that is under way, since the process ends now. */
  abandon(report: ErrorReport): void;
}

/** One command that is audited. */
export interface Attempt {
  /** What its plan tells: one that changes nothing is not audited. */
  planned(plan: Plan): void;
  /**
   * Tells that it begins.
   *
   * @throws OperationError of kind `refused` when the file does not take that
   */
  begin(): Promise<void>;
  /** Tells that it has ended well. */
  ended(result: Result): Promise<void>;
  /** Tells that it has failed, or was refused. */
  failed(error: unknown): Promise<void>;
}

/** What is known of a command that is under way. */
interface Noted extends Audited {
  readonly startedAt: number;
  /** Where it is not the configured one. */
  database: string | undefined;
  state: "open" | "begun" | "left out";
  /** Whether anything that is there is lost. */
  destroys: boolean;
  record: Promise<AuditRecord> | undefined;
  /** Tells in the file how it ended, at once; there once its beginning is told. */
  end: ((outcome: AuditOutcome) => void) | undefined;
}

/** A record for the database. */
interface Pending {
  readonly noted: Noted;
  readonly outcome: AuditOutcome;
}

/** More are not kept until the end of a run. */
const MOST_PENDING = 1000;

/** Makes the audit of one run; what it needs is loaded when there is something to tell. */
export function createAudit({ run, configuration, shared, file }: AuditOptions): Audit {
  const { host, log, signal } = run;
  const inTable = configuration.get("AUDIT_TABLE") !== "off";
  const underWay = new Set<Noted>();
  let pending: Pending[] = [];
  let append: Promise<(line: string) => void> | undefined;

  function recordOf(noted: Noted): Promise<AuditRecord> {
    return noted.record ??= (async () => {
      const { recordOf } = await import("./record.ts");
      const { entry: { command, path }, input, parent, startedAt, database } = noted;
      const facts = { command, path, parent, input, startedAt, database };
      const redact = (text: string) => run.redactor.text(text);
      return await recordOf(facts, { host, configuration, runId: run.id(), redact });
    })();
  }

  async function appending(): Promise<(line: string) => void> {
    if (file === undefined) return () => {};
    return await (append ??= host.files.appending(file));
  }

  async function orRefused(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      throw new OperationError(
        `Refused: ${error.message}, and what is done has to be told there; nothing was changed`,
        {
          kind: "refused",
          code: "audit_log_failed",
          hint: "Give another file with --audit-log or AUDIT_LOG, or mend this one",
          details: error.details,
          cause: error,
        },
      );
    }
  }

  async function begin(noted: Noted): Promise<void> {
    if (noted.state === "left out") return;
    noted.state = "begun";
    if (file === undefined) return;
    await orRefused(async () => {
      const [record, write] = await Promise.all([recordOf(noted), appending()]);
      const line = (event: string, more: object) =>
        write(JSON.stringify({ time: timeOf(host.now()), event, ...record, ...more }) + "\n");
      line("started", {});
      noted.end = (outcome) => line("ended", outcome);
      underWay.add(noted);
    });
  }

  /** Whatever is wrong with it, the operation has ended as it has. */
  async function settle(noted: Noted, ending: () => Promise<Ending>): Promise<void> {
    underWay.delete(noted);
    if (noted.state === "left out") return;
    try {
      await tell(noted, await ending());
    } catch (error) {
      log.warn(`Cannot tell in the audit how ${noted.entry.path} ended: ${error}`);
    }
  }

  async function tell(noted: Noted, ending: Ending): Promise<void> {
    const outcome = { ...ending, duration_ms: Math.max(0, host.now() - noted.startedAt) };
    if (file !== undefined) await settleInFile(noted, outcome);
    if (noted.state === "begun" && noted.destroys) {
      const { lineOf } = await import("./record.ts");
      log.info(lineOf(await recordOf(noted), outcome));
    }
    // Where there is nothing to tell, nothing is asked of the server either.
    if (!inTable || !outcome.changed || noted.entry.command.database === "none") return;
    pending.push({ noted, outcome });
    if (pending.length >= MOST_PENDING) await flush();
  }

  async function settleInFile(noted: Noted, outcome: AuditOutcome): Promise<void> {
    try {
      if (noted.end !== undefined) return noted.end(outcome);
      // What was refused before it began has one line.
      const [record, write] = await Promise.all([recordOf(noted), appending()]);
      const time = timeOf(host.now());
      write(JSON.stringify({ time, event: "ended", ...record, ...outcome }) + "\n");
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      log.warn(`${error.message}: how ${noted.entry.path} ended is not told there`);
    }
  }

  async function flush(): Promise<void> {
    const all = pending;
    pending = [];
    // Who has not been reached is not waited for now.
    if (all.length === 0 || !shared.answered) return;
    try {
      const failed = signal.aborted || all.some(({ outcome }) => !isSuccess(outcome));
      const rows = await Promise.all(all.map(async ({ noted, outcome }) => ({
        ...await recordOf(noted),
        ...outcome,
        id: crypto.randomUUID(),
      })));
      const { writeRows } = await import("./table.ts");
      const problem = await writeRows(rows, {
        parameters: configuration.connection(),
        dialer: host.dialer,
        hurried: failed,
        makes: all.some(({ noted, outcome }) =>
          isSuccess(outcome) && noted.entry.command.needs !== "read"
        ),
      });
      if (problem === undefined) return;
      const known = failed || shared.stateRefused === true ||
        all.every(({ noted }) => noted.entry.command.needs !== undefined);
      log[known ? "debug" : "warn"](problem);
    } catch (error) {
      // An operation is never failed by what tells of it.
      log.warn(`Cannot write the audit into the database: ${error}`);
    }
  }

  return {
    async attempt(audited) {
      const noted: Noted = {
        ...audited,
        startedAt: host.now(),
        database: undefined,
        state: "open",
        destroys: audited.entry.command.effect === "destroy",
        record: undefined,
        end: undefined,
      };
      if (file !== undefined) await orRefused(async () => void await appending());
      return {
        planned({ database, destroys, changes }) {
          if (changes === false) noted.state = "left out";
          if (destroys === false) noted.destroys = false;
          noted.database = database;
          noted.record = undefined;
        },
        begin: () => begin(noted),
        ended: (result) => settle(noted, () => Promise.resolve(successOf(result))),
        failed: (error) => settle(noted, () => failureOf(finalReport(error, signal))),
      };
    },
    flush,
    abandon(report) {
      for (const { end, startedAt } of underWay) {
        try {
          end?.({
            result: report.kind === "signal" ? "interrupted" : "failed",
            exit_code: report.exit,
            error_code: report.code,
            changed: true,
            duration_ms: Math.max(0, host.now() - startedAt),
          });
        } catch (error) {
          log.warn(`Cannot tell in the audit log that the run ends: ${error}`);
        }
      }
      underWay.clear();
    },
  };
}

type Ending = Omit<AuditOutcome, "duration_ms">;

function successOf({ problems = [], changed = true }: Result): Ending {
  const found = problems.length > 0;
  return {
    result: found ? "problems" : "succeeded",
    exit_code: found ? EXIT_PROBLEMS : 0,
    error_code: null,
    changed,
  };
}

async function failureOf(report: ErrorReport): Promise<Ending> {
  const { resultOf } = await import("./record.ts");
  return {
    result: resultOf(report),
    exit_code: report.exit,
    error_code: report.code,
    changed: true,
  };
}

function isSuccess({ result }: AuditOutcome): boolean {
  return result === "succeeded" || result === "problems";
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
