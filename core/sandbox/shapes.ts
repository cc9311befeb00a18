/** What a value from a plugin's worker may be like: each check gives a copy of what is wanted, and no more. */

/** The worker has sent what no guest of ours sends. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

/** Gives the value as what it is wanted to be. @throws ProtocolError when it is something else */
export type Check<T> = (value: unknown) => T;

/** The type of what a check gives. */
export type Checked<C> = C extends Check<infer T> ? T : never;

type Checks = Readonly<Record<string, Check<unknown>>>;
type Fields<C extends Checks> = { [K in keyof C]: Checked<C[K]> };

/** Characters of a text that is long, such as SQL. */
export const LONG = 1 << 28;
/** Characters of a name or a path. */
export const SHORT = 1 << 14;

function refuse(wanted: string): never {
  throw new ProtocolError(`${wanted} was expected`);
}

/** A text of at most so many characters. */
export function text(limit = SHORT): Check<string> {
  return (value) => {
    if (typeof value !== "string") return refuse("a text");
    return value.length <= limit ? value : refuse(`a text of at most ${limit} characters`);
  };
}

/** A whole number from a least one to a greatest one. */
export function integer(least: number, greatest = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= least &&
      value <= greatest
      ? value
      : refuse(`a whole number from ${least} to ${greatest}`);
}

/** Any number but those that are none or have no end. */
export const number: Check<number> = (value) =>
  typeof value === "number" && Number.isFinite(value) ? value : refuse("a number");

/** True or false. */
export const boolean: Check<boolean> = (value) =>
  typeof value === "boolean" ? value : refuse("true or false");

/** Nothing. */
export const nothing: Check<null> = (value) => value === null ? value : refuse("null");

/** Bytes. */
export const bytes: Check<Uint8Array> = (value) =>
  value instanceof Uint8Array ? value : refuse("bytes");

/** Whatever can cross; looked at later, or by nobody. */
export const anything: Check<unknown> = (value) => value;

/** One of several texts. */
export function oneOf<T extends string>(...choices: readonly T[]): Check<T> {
  return (value) => choices.find((choice) => choice === value) ?? refuse(choices.join(" or "));
}

/** What one of the checks lets pass. */
export function either<A, B>(first: Check<A>, second: Check<B>): Check<A | B> {
  return (value) => {
    try {
      return first(value);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return second(value);
    }
  };
}

/** What may be left out. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value) => value === undefined ? undefined : check(value);
}

/** A list of at most so many. */
export function listOf<T>(check: Check<T>, limit = 1_000_000): Check<T[]> {
  return (value) => {
    if (!Array.isArray(value)) return refuse("a list");
    return value.length <= limit
      ? Array.from(value, (each) => check(each))
      : refuse(`a list of at most ${limit}`);
  };
}

/** Values by any names. */
export function recordOf<T>(check: Check<T>, limit = 10_000): Check<Record<string, T>> {
  return (value) => {
    const entries = Object.entries(plain(value));
    if (entries.length > limit) refuse(`an object of at most ${limit} properties`);
    return Object.fromEntries(
      entries.map(([name, each]) => [name, checkAt(`"${name.slice(0, 100)}"`, check, each)]),
    );
  };
}

/** An object with these properties, and perhaps those; others are refused. */
export function object<R extends Checks, O extends Checks = Record<never, never>>(
  required: R,
  optionals?: O,
): Check<Fields<R> & Partial<Fields<O>>> {
  const all = { ...optionals, ...required };
  return (value) => {
    const given = plain(value);
    const stranger = Object.keys(given).find((name) => !Object.hasOwn(all, name));
    if (stranger !== undefined) refuse(`no property "${stranger.slice(0, 100)}"`);
    const made: Record<string, unknown> = {};
    for (const [name, check] of Object.entries(all)) {
      const isThere = Object.hasOwn(given, name);
      const isRequired = Object.hasOwn(required, name);
      const own = isThere ? given[name] : undefined;
      if (own !== undefined || isRequired) made[name] = checkAt(name, check, own);
      if (isRequired && !isThere) refuse(`a property "${name}"`);
    }
    // Each property has just been checked by the check of its name.
    return made as Fields<R> & Partial<Fields<O>>;
  };
}

function checkAt<T>(name: string, check: Check<T>, value: unknown): T {
  try {
    return check(value);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError(`${name}: ${error.message}`);
  }
}

/** An object as literals make it: no list, no map, no date. */
function plain(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("an object");
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) refuse("a plain object");
  // Whatever its properties are, they are unknown.
  return value as Readonly<Record<string, unknown>>;
}
