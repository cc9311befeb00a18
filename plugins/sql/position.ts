/** Lines and columns in a file of UTF-8 that is gone through in pieces. */

/** Counts lines and columns. */
export class Position {
  /** The offset in the file of the first byte of the piece in hand. */
  base = 0;
  /** The current line, from 1; lines end with a line feed. */
  line = 1;
  /** The offset in the file of the current line's first byte. */
  lineStart = 0;
  // Characters of the current line up to the offset `#counted`; void once `lineStart` is beyond it.
  #counted = 0;
  #characters = 0;

  /** Begins a line at an index of the piece. */
  newLine(index: number): void {
    this.line++;
    this.lineStart = this.base + index;
  }

  /**
   * The column, from 1, of a byte of the piece. Columns of one line have to be asked for in
   * ascending order: what was counted is not counted again.
   */
  column(piece: Uint8Array, at: { index: number; lineStart?: number }): number {
    const lineStart = at.lineStart ?? this.lineStart;
    const goesOn = this.#counted > lineStart;
    let characters = goesOn ? this.#characters : 0;
    for (let i = (goesOn ? this.#counted : lineStart) - this.base; i < at.index; i++) {
      if ((piece[i]! & 0xc0) !== 0x80) characters++;
    }
    this.#counted = this.base + at.index;
    this.#characters = characters;
    return characters + 1;
  }

  /** Goes on to the next piece, after so many bytes of this one. */
  leave(piece: Uint8Array, used: number): void {
    this.column(piece, { index: used });
    this.base += used;
  }
}
