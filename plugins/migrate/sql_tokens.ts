/** What is kept of one statement's tokens while it is scanned, and what they say of it. */
import {
  hasChain,
  isRoutine,
  lookUpFirstWord,
  MOST_WORDS,
  type SqlStatement,
  USUAL_WORDS,
} from "./sql_statement.ts";

type Conclusion = Pick<SqlStatement, "words" | "kind" | "chain">;

/** Takes the tokens of a statement in their order; one object serves all statements of a file. */
export class TokenRecord {
  /** Whether tokens are still of interest; when not, the scanner need not make words of them. */
  wanted = true;
  /** How many parentheses are open. */
  depth = 0;
  #words: string[] = [];
  #limit = USUAL_WORDS;
  #watched = false;
  #routine = false;
  /** How many BEGIN ATOMIC bodies are open. */
  #bodies = 0;
  #copyFromClient = false;
  #continuous = false;
  // The last tokens of a watched statement, the last one first.
  #last = "";
  #last2 = "";
  #last3 = "";

  /** Takes a token, written as in `SqlStatement.words`; a parenthesis before it changes `depth`. */
  add(token: string): void {
    const words = this.#words;
    if (words.length < this.#limit) {
      words.push(token);
      if (words.length === 1) this.#begin(token);
      else if (this.#watched && words.length <= 4) this.#routine ||= isRoutine(words);
    } else if (!this.#watched) {
      this.wanted = false;
      return;
    }
    if (this.#watched) this.#watch(token);
  }

  /** Takes a semicolon and says whether it ends the statement. */
  endsAtSemicolon(): boolean {
    if (this.depth === 0 && this.#bodies === 0) return true;
    if (this.wanted) this.add(";");
    return false;
  }

  /** Says what the tokens so far are as a statement, and forgets them. */
  conclude(): Conclusion {
    const words = this.#words;
    const rule = lookUpFirstWord(words[0] ?? "");
    const kind = rule === undefined ? "other" : rule.kind(words, {
      copyFromClient: this.#copyFromClient,
      continuous: this.#continuous,
      withNoData: this.#last3 === "WITH" && this.#last2 === "NO" && this.#last === "DATA",
    });
    const chain = (kind === "commit" || kind === "rollback") && hasChain(words);
    this.#reset();
    return { words, kind, chain };
  }

  #begin(first: string): void {
    const rule = lookUpFirstWord(first);
    if (rule === undefined) return;
    this.#limit = MOST_WORDS;
    this.#watched = rule.watched;
  }

  #watch(token: string): void {
    const last = this.#last;
    if (this.#routine && this.depth === 0) {
      if (token === "ATOMIC" && last === "BEGIN") this.#bodies++;
      else if (token === "END" && this.#bodies > 0 && (last === ";" || last === "ATOMIC")) {
        this.#bodies--;
      }
    }
    if (last === "FROM" && (token === "STDIN" || token === "STDOUT")) {
      // The grammar takes either word for the client, whichever way the data goes.
      if (this.depth === 0 && this.#words[0] === "COPY") this.#copyFromClient = true;
    } else if (last === "." && token === "CONTINUOUS") {
      // TimescaleDB takes both names for its options.
      if (this.#last2 === "TIMESCALEDB" || this.#last2 === "TSDB") this.#continuous = true;
    } else if (last === "=" && this.#last2 === "CONTINUOUS") {
      if (token === "FALSE" || token === "OFF") this.#continuous = false;
    }
    this.#last3 = this.#last2;
    this.#last2 = last;
    this.#last = token;
  }

  #reset(): void {
    this.wanted = true;
    this.depth = 0;
    this.#words = [];
    this.#limit = USUAL_WORDS;
    this.#watched =
      this.#routine =
      this.#copyFromClient =
      this.#continuous =
        false;
    this.#bodies = 0;
    this.#last = this.#last2 = this.#last3 = "";
  }
}
