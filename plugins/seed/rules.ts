/** What an SQL seed file may hold, so that it and its record in the ledger are one transaction. */
import type { StatementRules } from "../sql/pieces.ts";
import type { SqlStatement } from "../sql/statement.ts";
import { FileFault } from "./fault.ts";

/** Goes through the statements of one file; a plain BEGIN first and COMMIT last are left out. */
export class SeedRules implements StatementRules {
  /** What stands against the file; the first fault tells. */
  readonly faults: FileFault[] = [];
  #begun = false;
  #ended: SqlStatement | undefined;
  #sent = 0;

  /** Takes the next statement; false when it is to be left out. */
  accept(statement: SqlStatement): boolean {
    if (this.#ended !== undefined) {
      this.#fault(statement, {
        code: "own_transaction",
        reason: `this comes after the COMMIT of line ${this.#ended.line}, so the file is not one ` +
          "transaction",
        hint: "Put what belongs together into one file each",
      });
    }
    const sent = this.#isSent(statement);
    if (sent) this.#sent++;
    return sent;
  }

  /** Ends the file. */
  finish(): void {
    // A transaction that the file does not end is committed with its record.
  }

  #isSent(statement: SqlStatement): boolean {
    const { kind, words } = statement;
    switch (kind) {
      case "begin":
        if (this.#sent > 0 || this.#begun || words.length > plainLength(words)) {
          this.#fault(statement, OWN_TRANSACTION);
        }
        this.#begun = true;
        return false;
      case "commit":
        if (!this.#begun || statement.chain) this.#fault(statement, OWN_TRANSACTION);
        this.#ended = statement;
        return false;
      case "rollback":
      case "prepared":
        this.#fault(statement, OWN_TRANSACTION);
        return false;
      case "copy-stdin":
        this.#fault(statement, COPY);
        return false;
      case "psql-command":
        this.#fault(statement, {
          code: "psql_command",
          reason: `${words[0]} is a command of psql, which the server does not know`,
          hint: "Remove it, or say the same in SQL",
        });
        return false;
      case "no-transaction":
        this.#fault(statement, {
          code: "needs_no_transaction",
          reason: `the server refuses ${named(statement)} inside a transaction`,
          hint: 'Put it into a migration that begins with "-- no-transaction"',
        });
        return false;
      default:
        return true;
    }
  }

  #fault(
    { line, column }: SqlStatement,
    { code, reason, hint }: {
      readonly code: string;
      readonly reason: string;
      readonly hint: string;
    },
  ): void {
    this.faults.push(new FileFault(reason, { code, hint, place: { line, column } }));
  }
}

/** How many words BEGIN [WORK | TRANSACTION] or START TRANSACTION has, with its semicolon. */
function plainLength(words: readonly string[]): number {
  const bare = words[1] === "WORK" || words[1] === "TRANSACTION" ? 2 : 1;
  return words[bare] === ";" ? bare + 1 : bare;
}

function named({ words }: SqlStatement): string {
  return words.slice(0, 3).filter((word) => /^\w+$/.test(word)).join(" ");
}

const OWN_TRANSACTION = {
  code: "own_transaction",
  reason: "the file controls transactions, but is itself loaded and recorded in one",
  hint: "Remove it; SAVEPOINT and ROLLBACK TO may be used",
};

const COPY = {
  code: "copy_from_stdin",
  reason: "COPY FROM stdin carries its data in a form that only psql can send",
  hint: "Put the rows into a .csv file that is named after the table",
};
