/** What is wrong with a file itself. */
import { OperationError } from "../../core/plugin.ts";

/** Where in a file something is wrong, as far as it is known. */
export interface Place {
  /** From 1. */
  readonly line?: number;
  /** Characters, from 1. */
  readonly column?: number;
  /** The number of the row, from 1. */
  readonly ordinal?: number;
  /** The line as COPY counts what it is given. */
  readonly copyLine?: number;
  /** Bytes. */
  readonly offset?: number;
}

/** Something wrong with a file; its message completes "Cannot load FILE:LINE: …". */
export class FileFault extends OperationError {
  override name = "FileFault";
  readonly place: Place;

  constructor(
    reason: string,
    { place = {}, ...options }: {
      readonly code: string;
      readonly hint?: string;
      readonly place?: Place;
      readonly details?: Readonly<Record<string, unknown>>;
    },
  ) {
    super(reason, options);
    this.place = place;
  }

  /** The same with a place, where it has none yet. */
  at(place: Place): FileFault {
    return Object.keys(this.place).length > 0 ? this : new FileFault(this.message, {
      code: this.code,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      place,
      details: this.details,
    });
  }
}

/** Adds the line to a fault that does not tell its place yet; leaves other errors as they are. */
export function inLine(error: unknown, line: number): unknown {
  return error instanceof FileFault ? error.at({ line }) : error;
}
