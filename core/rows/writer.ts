/** What writers of rows have in common. */
import type { RowPart } from "../plugin.ts";

/** Turns the parts of a result into text, one after the other. */
export interface RowWriter {
  /** The text that can be written once this part is known; it may be about earlier parts. */
  part(part: RowPart): string;
}
