/** Errors in the sources of plugins, told by file, line and column. */

import { OperationError } from "../plugin.ts";

/** A place in a source; line and column count from 1. */
export interface SourcePlace {
  /** An absolute path without links. */
  readonly path: string;
  readonly line: number;
  readonly column: number;
}

/** What is wrong there, and what to do. */
export interface SourceProblem {
  readonly reason: string;
  readonly hint?: string | undefined;
}

/** The source is not valid: its author has to mend it. */
export function invalidSource(place: SourcePlace, problem: SourceProblem): OperationError {
  return sourceError(place, problem, { kind: "failed", code: "plugin_invalid" });
}

/** The source asks for what no plugin gets. */
export function refusedSource(place: SourcePlace, problem: SourceProblem): OperationError {
  return sourceError(place, problem, { kind: "refused", code: "plugin_refused" });
}

/** The plugin's file went away since it was found, or is a link that leads nowhere. */
export function missingEntry(path: string): OperationError {
  return new OperationError(`Cannot load plugin file "${path}": there is no such file`, {
    code: "plugin_invalid",
    hint: "Where it is a link, look where that leads",
    details: { path },
  });
}

function sourceError(
  { path, line, column }: SourcePlace,
  { reason, hint }: SourceProblem,
  { kind, code }: { readonly kind: "failed" | "refused"; readonly code: string },
): OperationError {
  return new OperationError(`Cannot load plugin file "${path}:${line}:${column}": ${reason}`, {
    kind,
    code,
    ...(hint === undefined ? {} : { hint }),
    details: { path, line, column },
  });
}
