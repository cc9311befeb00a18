/**
 * What a migration file may hold. Its statements and its row in the history are
 * committed together, so a file that controls transactions itself is either
 * brought into that one transaction with the same outcome, or refused.
 */
import type { SqlStatement } from "../sql/statement.ts";

/** Why a file cannot be applied: at one statement of it. */
export interface Fault {
  readonly code: string;
  readonly statement: SqlStatement;
  /** Completes "FILE:LINE:COLUMN: …". */
  readonly reason: string;
  readonly hint: string;
}

/** The first bytes that take a file out of the transaction, compared by sqlx as they stand. */
export const NO_TRANSACTION = "-- no-transaction";

const OTHER_TRANSACTIONS =
  `Put what belongs together into one file each, or make "${NO_TRANSACTION}" the file's first line: ` +
  "its statements then run one by one, and what is done stays done when a later one fails. " +
  "A file that must not change, as it is applied elsewhere, can be run by `psql -f` and recorded by " +
  "`observatory migrate resolve VERSION --applied`";

/**
 * Goes through the statements of one file in order and tells which are sent.
 *
 * In a transaction, BEGIN and the last COMMIT are left out: the file then runs in
 * the transaction that records it. The outcome is sqlx's, where BEGIN inside a
 * transaction only warns and COMMIT ends it one statement early.
 */
export class ScriptRules {
  /** Whether the statements run one by one, outside a transaction. */
  readonly noTransaction: boolean;
  /** What stands against the file; of each kind the first one. */
  readonly faults: Fault[] = [];
  /** What will probably not work or not do what was meant; completes "FILE: …". */
  readonly warnings: string[] = [];
  /** The file's own BEGIN when it has options, which the transaction then begins with. */
  begin: SqlStatement | undefined;
  /** How many statements are sent. */
  sent = 0;
  /** How many of these leave something in the database. */
  lasting = 0;
  #open: SqlStatement | undefined;
  #ended: SqlStatement | undefined;

  constructor(noTransaction: boolean) {
    this.noTransaction = noTransaction;
  }

  /** Takes the next statement; false when it is to be left out. */
  accept(statement: SqlStatement): boolean {
    if (statement.kind === "copy-stdin") this.#fault(statement, COPY);
    if (statement.kind === "psql-command") this.#fault(statement, psqlCommand(statement));
    const sent = this.noTransaction ? this.#alone(statement) : this.#together(statement);
    if (sent) this.sent++;
    if (sent && isLasting(statement)) this.lasting++;
    return sent;
  }

  /** Ends the file. */
  finish(): void {
    if (this.#open === undefined) return;
    if (this.noTransaction) {
      this.#fault(this.#open, UNENDED);
    } else {
      this.warnings.push(
        `line ${this.#open.line} begins a transaction that the file does not end; ` +
          "it is committed together with the file's record",
      );
    }
  }

  #alone(statement: SqlStatement): boolean {
    const { kind, chain } = statement;
    if (kind === "begin" || chain) this.#open = statement;
    else if (kind === "commit" || kind === "rollback") this.#open = undefined;
    else if (kind === "prepared" && statement.words[0] === "PREPARE") this.#open = undefined;
    return true;
  }

  #together(statement: SqlStatement): boolean {
    if (this.#ended !== undefined) {
      this.#fault(statement, afterEnd(this.#ended));
      return false;
    }
    switch (statement.kind) {
      case "begin":
        return this.#ownBegin(statement);
      case "commit":
        if (statement.chain) this.#fault(statement, chained(statement));
        this.#ended = statement;
        this.#open = undefined;
        return false;
      case "rollback":
        this.#fault(statement, ROLLBACK);
        return false;
      case "prepared":
        this.#fault(statement, PREPARED);
        return false;
      case "no-transaction":
        this.#fault(statement, outside(statement));
        return false;
      case "timescale-no-transaction":
        this.warnings.push(
          `line ${statement.line}: TimescaleDB refuses ${named(statement)} inside a transaction; ` +
            `add WITH NO DATA, or make "${NO_TRANSACTION}" the file's first line`,
        );
        return true;
      case "timescale-update":
        this.warnings.push(
          `line ${statement.line}: TimescaleDB wants ${named(statement)} as the first statement ` +
            "of a session of its own; run it by hand with `psql -X`",
        );
        return true;
      default:
        return true;
    }
  }

  #ownBegin(statement: SqlStatement): false {
    this.#open ??= statement;
    if (!hasOptions(statement)) return false;
    if (this.sent > 0 || this.begin !== undefined) this.#fault(statement, LATE_OPTIONS);
    this.begin ??= statement;
    return false;
  }

  #fault(statement: SqlStatement, fault: Omit<Fault, "statement">): void {
    if (this.faults.some(({ code }) => code === fault.code)) return;
    this.faults.push({ ...fault, statement });
  }
}

/** Whether a statement leaves something: settings are gone with the session, and transactions are not things. */
export function isLasting({ kind, words: [word] }: SqlStatement): boolean {
  if (kind === "begin" || kind === "commit" || kind === "rollback") return false;
  return word !== "SET" && word !== "RESET" && word !== "SHOW";
}

/** Whether a BEGIN says more than BEGIN [WORK | TRANSACTION] or START TRANSACTION. */
function hasOptions({ words }: SqlStatement): boolean {
  const bare = words[1] === "WORK" || words[1] === "TRANSACTION" ? 2 : 1;
  return words.filter((word) => word !== ";").length > bare;
}

function named({ words }: SqlStatement): string {
  return words.slice(0, 3).filter((word) => /^\w+$/.test(word)).join(" ");
}

const COPY = {
  code: "copy_from_stdin",
  reason: "COPY FROM stdin carries its data in a form that only psql can send",
  hint: "Write the rows as INSERT, or load this part with `psql -f`",
};

function psqlCommand({ words }: SqlStatement): Omit<Fault, "statement"> {
  return {
    code: "psql_command",
    reason: `${words[0]} is a command of psql, which the server does not know`,
    hint:
      "Remove it, or say the same in SQL; the output of pg_dump begins with \\restrict, which can go",
  };
}

const UNENDED = {
  code: "unended_transaction",
  reason:
    "this transaction is not ended in the file, so the migration could not be recorded after it",
  hint: "Add a COMMIT",
};

function afterEnd(ended: SqlStatement): Omit<Fault, "statement"> {
  return {
    code: "own_transaction",
    reason:
      `this comes after the COMMIT of line ${ended.line}, so the file is not one transaction: ` +
      "a failure here would leave the part before it applied and not recorded",
    hint: OTHER_TRANSACTIONS,
  };
}

function chained(statement: SqlStatement): Omit<Fault, "statement"> {
  return {
    code: "own_transaction",
    reason: `${named(statement)} AND CHAIN makes more than one transaction of the file, ` +
      "so it cannot be recorded together with all of it",
    hint: OTHER_TRANSACTIONS,
  };
}

const ROLLBACK = {
  code: "own_transaction",
  reason: "ROLLBACK ends the transaction in which the file is applied and recorded: " +
    "what comes before it would be undone, and the migration recorded all the same",
  hint: "Remove it, or use SAVEPOINT and ROLLBACK TO",
};

const PREPARED = {
  code: "own_transaction",
  reason: "two-phase commit takes the file's changes out of the transaction that records it",
  hint: OTHER_TRANSACTIONS,
};

const LATE_OPTIONS = {
  code: "own_transaction",
  reason: "the options of this BEGIN come too late: the file's transaction has begun before",
  hint: "Make it the file's first statement",
};

function outside(statement: SqlStatement): Omit<Fault, "statement"> {
  return {
    code: "needs_no_transaction",
    reason: `the server refuses ${named(statement)} inside a transaction`,
    hint: `Make "${NO_TRANSACTION}" the very first bytes of the file`,
  };
}
