/** What flags and arguments mean beyond their types. */
import { OperationError } from "../../core/plugin.ts";
import { parseVersion } from "./names.ts";

/**
 * Reads the value of a flag or argument that names a version.
 *
 * @throws OperationError of kind `usage` when it is none
 */
export function versionOf(text: string, label: string): bigint {
  const version = parseVersion(text);
  if (version !== undefined) return version;
  throw new OperationError(`The value "${text}" of ${label} is not a version`, {
    kind: "usage",
    code: "usage",
    hint: "A version is the number that a file's name begins with, such as 20240101000000 or 0001",
  });
}

/**
 * Reads how many migrations are to be taken back.
 *
 * @throws OperationError of kind `usage` when it is no count, or given beside a version
 */
export function stepsOf(steps: number | undefined, to: string | undefined): number {
  if (steps !== undefined && to !== undefined) {
    throw new OperationError("The flags --steps and --to exclude each other", {
      kind: "usage",
      code: "usage",
    });
  }
  if (steps === undefined || (Number.isInteger(steps) && steps > 0)) return steps ?? 1;
  throw new OperationError(`The value ${steps} of --steps is not a whole number above 0`, {
    kind: "usage",
    code: "usage",
  });
}

/**
 * Reads which of two flags is given.
 *
 * @throws OperationError of kind `usage` when it is neither or both
 */
export function exactlyOneOf<N extends string>(
  flags: Readonly<Record<N, boolean>>,
  [first, second]: readonly [N, N],
): N {
  if (flags[first] !== flags[second]) return flags[first] ? first : second;
  throw new OperationError(`Give one of the flags --${first} and --${second}`, {
    kind: "usage",
    code: "usage",
  });
}

/**
 * Refuses flags that contradict each other.
 *
 * @throws OperationError of kind `usage` when both are given
 */
export function oneOf<N extends string>(
  flags: Readonly<Record<N, boolean>>,
  [first, second]: readonly [N, N],
): void {
  if (!flags[first] || !flags[second]) return;
  throw new OperationError(`The flags --${first} and --${second} exclude each other`, {
    kind: "usage",
    code: "usage",
  });
}
