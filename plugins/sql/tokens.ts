/** What is kept of one statement's tokens while it is scanned, and what they say of it. */
import {
  type FirstWord,
  hasChain,
  isRoutine,
  lookUpFirstWord,
  MOST_WORDS,
  type SqlStatement,
  unquoted,
  USUAL_WORDS,
} from "./statement.ts";

type Conclusion = Pick<SqlStatement, "words" | "kind" | "chain">;

/** Takes the tokens of a statement in their order; one object serves all statements of a file. */
export class TokenRecord {
  /** Whether tokens are still of interest; when not, the scanner need not make words of them. */
  wanted = true;
  /**
   * Whether the last token taken was the last one of interest and the statement is of kind
   * `other` whatever follows; to be set back by who takes notice.
   */
  complete = false;
  /** How many parentheses are open. */
  depth = 0;
  #own: string[] = [];
  /** The tokens taken over from an earlier statement. */
  #repeated: readonly string[] | undefined;
  #rule: FirstWord | undefined;
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

  /** Takes a token, written as in `SqlStatement.words`, while `wanted`. */
  add(token: string): void {
    const words = this.#own;
    if (words.length < this.#limit) {
      words.push(token);
      if (words.length === 1) this.#begin(token);
      else if (words.length === 4 && this.#watched) this.#decideToWatch();
    }
    if (this.#watched) this.#watch(token);
    else if (words.length === this.#limit) {
      this.wanted = false;
      this.complete = this.#rule === undefined;
    }
  }

  /** The tokens so far, as in `SqlStatement.words`. */
  get words(): readonly string[] {
    return this.#repeated ?? this.#own;
  }

  /** Takes, for the first tokens of a statement, those with which another was `complete`. */
  repeat(tokens: { readonly words: readonly string[]; readonly depth: number }): void {
    this.#repeated = tokens.words;
    this.depth = tokens.depth;
    this.wanted = false;
  }

  /** Takes a semicolon and says whether it ends the statement. */
  endsAtSemicolon(): boolean {
    if (this.depth === 0 && this.#bodies === 0) return true;
    if (this.wanted) this.add(";");
    return false;
  }

  /** Says what the tokens so far are as a statement, and forgets them. */
  conclude(): Conclusion {
    const words = this.words;
    const rule = this.#rule;
    let conclusion: Conclusion = { words, kind: "other", chain: false };
    if (rule !== undefined) {
      const kind = rule.kind(words, {
        copyFromClient: this.#copyFromClient,
        continuous: this.#continuous,
        withNoData: this.#last3 === "WITH" && this.#last2 === "NO" && this.#last === "DATA",
      });
      const chain = (kind === "commit" || kind === "rollback") && hasChain(words);
      conclusion = { words, kind, chain };
      this.#forgetMarks();
    }
    if (this.#repeated === undefined) this.#own = [];
    this.#repeated = undefined;
    this.wanted = true;
    this.complete = false;
    this.depth = 0;
    return conclusion;
  }

  #begin(first: string): void {
    this.#rule = lookUpFirstWord(first);
    if (this.#rule === undefined) return;
    this.#limit = MOST_WORDS;
    this.#watched = this.#rule.watches !== undefined;
  }

  /** By its fourth token it is clear whether the rest of a statement tells anything. */
  #decideToWatch(): void {
    this.#watched = this.#rule?.watches?.(this.#own) ?? false;
    this.#routine = isRoutine(this.#own);
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
      if (this.depth === 0 && this.#own[0] === "COPY") this.#copyFromClient = true;
    } else if (last === "." && unquoted(token) === "CONTINUOUS") {
      // TimescaleDB takes both names for its options.
      const owner = unquoted(this.#last2);
      if (owner === "TIMESCALEDB" || owner === "TSDB") this.#continuous = true;
    }
    this.#last3 = this.#last2;
    this.#last2 = last;
    this.#last = token;
  }

  #forgetMarks(): void {
    this.#rule = undefined;
    this.#limit = USUAL_WORDS;
    this.#watched = false;
    this.#routine = false;
    this.#bodies = 0;
    this.#copyFromClient = false;
    this.#continuous = false;
    this.#last = this.#last2 = this.#last3 = "";
  }
}
