/** What stands against a run, found before anything is changed, and told all at once. */
import { OperationError } from "../../core/plugin.ts";

/** One thing that stands against a run. */
export interface Problem {
  /** A stable name for programs, such as `checksum_changed`. */
  readonly code: string;
  /** One sentence with the file or version it is about. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
  /** The migration, as text since it may be beyond what JSON readers keep. */
  readonly version?: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  /** The lines it is about, with a caret. */
  readonly excerpt?: string;
}

/**
 * Ends the run when there are problems.
 *
 * @throws OperationError of kind `refused`: the problem itself when it is the
 * only one, otherwise all of them as a list
 */
export function refuse(problems: readonly Problem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  throw problems.length === 1 ? single(first) : several(problems, first);
}

function single(problem: Problem): OperationError {
  const { code, message, hint, excerpt, ...details } = problem;
  return new OperationError(`${message}; nothing was changed`, {
    kind: "refused",
    code,
    ...(hint === undefined ? {} : { hint }),
    ...(excerpt === undefined ? {} : { excerpt }),
    details,
  });
}

function several(problems: readonly Problem[], first: Problem): OperationError {
  const same = problems.every((problem) => problem.code === first.code);
  const hints = new Set(problems.flatMap((problem) => problem.hint ?? []));
  return new OperationError(
    `${problems.length} problems stand against this run; nothing was changed`,
    {
      kind: "refused",
      code: same ? first.code : "several_problems",
      excerpt: problems.map((problem) => `- ${problem.message}`).join("\n"),
      ...(hints.size === 0 ? {} : { hint: [...hints].join("\n      ") }),
      details: { problems },
    },
  );
}
