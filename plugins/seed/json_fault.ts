/** Where a text stops being JSON; the parser of the runtime tells it only sometimes. */

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
// deno-lint-ignore no-control-regex -- control characters are what strings may not hold
const CHARACTERS = /(?:[^"\\\u0000-\u001f]|\\(?:["\\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;

/** The index of the first character that does not fit; the text's length when it breaks off. */
export function jsonFaultIndex(text: string): number {
  return new Walk(text).run();
}

/** What may come next. */
type Expected = "value" | "value or ]" | "key" | "key or }" | "colon" | "comma" | "end";

class Walk {
  readonly #text: string;
  /** The brackets that are open, innermost last. */
  readonly #open: ("{" | "[")[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  run(): number {
    let expected: Expected | undefined = "value";
    while (expected !== undefined) {
      this.#skip(SPACE);
      expected = this.#next(expected);
    }
    return this.#at;
  }

  /** @returns what may come after the next token; undefined when that token does not fit */
  #next(expected: Expected): Expected | undefined {
    const character = this.#text[this.#at];
    switch (expected) {
      case "value":
      case "value or ]":
        return expected === "value or ]" && character === "]" ? this.#close() : this.#value();
      case "key":
      case "key or }":
        if (expected === "key or }" && character === "}") return this.#close();
        return character === '"' && this.#string() ? "colon" : undefined;
      case "colon":
        return this.#take(":") ? "value" : undefined;
      case "comma": {
        const inner = this.#open.at(-1);
        if (character === (inner === "{" ? "}" : "]")) return this.#close();
        return this.#take(",") ? inner === "{" ? "key" : "value" : undefined;
      }
      case "end":
        return undefined;
    }
  }

  #value(): Expected | undefined {
    const character = this.#text[this.#at];
    if (character === "{" || character === "[") {
      this.#open.push(character);
      this.#at++;
      return character === "{" ? "key or }" : "value or ]";
    }
    const whole = character === '"' ? this.#string() : this.#skip(WORD) || this.#skip(NUMBER);
    return whole ? this.#after() : undefined;
  }

  #string(): boolean {
    this.#at++;
    this.#skip(CHARACTERS);
    return this.#take('"');
  }

  #close(): Expected {
    this.#at++;
    this.#open.pop();
    return this.#after();
  }

  #after(): Expected {
    return this.#open.length === 0 ? "end" : "comma";
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const length = pattern.exec(this.#text)?.[0].length ?? 0;
    this.#at += length;
    return length > 0;
  }
}
