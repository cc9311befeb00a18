/** Checks of values that were read as JSON: each tells the first thing that is wrong. */

/**
 * Looks at a value.
 *
 * @param place what the value is called, such as `files[0].size`
 * @returns what is wrong with it, such as `files[0].size is missing`
 */
export type Check = (value: unknown, place: string) => string | undefined;

/** A text; with a pattern, one that it matches. */
export function text(pattern?: RegExp, what = "text"): Check {
  return (value, place) =>
    typeof value === "string" && (pattern?.test(value) ?? true)
      ? undefined
      : problem(value, place, what);
}

/** A whole number, neither negative nor too large to be exact. */
export const count: Check = (value, place) =>
  Number.isSafeInteger(value) && Number(value) >= 0
    ? undefined
    : problem(value, place, "a whole number from 0 on");

/** A whole number, which may be negative. */
export const integer: Check = (value, place) =>
  Number.isSafeInteger(value) ? undefined : problem(value, place, "a whole number");

/** True or false. */
export const truth: Check = (value, place) =>
  typeof value === "boolean" ? undefined : problem(value, place, "true or false");

/** A moment in ISO 8601 and UTC. */
export const moment: Check = (value, place) =>
  typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value) &&
    !Number.isNaN(Date.parse(value))
    ? undefined
    : problem(value, place, "a time in UTC");

/** A SHA-256, in lower-case hexadecimal digits. */
export const sha256: Check = text(/^[0-9a-f]{64}$/, "a SHA-256");

/** One of several values. */
export function oneOf(...values: readonly (string | number)[]): Check {
  return (value, place) =>
    values.some((each) => each === value)
      ? undefined
      : problem(value, place, values.length === 1 ? `${values[0]}` : `one of ${values.join(", ")}`);
}

/** Null, or what the check wants. */
export function orNull(check: Check): Check {
  return (value, place) => value === null ? undefined : check(value, place);
}

/** A list of what the check wants. */
export function list(check: Check): Check {
  return (value, place) => {
    if (!Array.isArray(value)) return problem(value, place, "a list");
    for (const [index, each] of value.entries()) {
      const found = check(each, `${place}[${index}]`);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

/** An object with these members; it may have others, which a later version has added. */
export function object(members: Readonly<Record<string, Check>>): Check {
  return (value, place) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return problem(value, place, "an object");
    }
    for (const [name, check] of Object.entries(members)) {
      const member = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
      const found = check(member, place === "" ? name : `${place}.${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

function problem(value: unknown, place: string, what: string): string {
  const subject = place === "" ? "it" : place;
  return value === undefined ? `${subject} is missing` : `${subject} is not ${what}`;
}
