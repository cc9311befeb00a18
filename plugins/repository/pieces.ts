/** Forms that are read as they come, in pieces of any size. */

/** What a reader takes its bytes from. */
export interface Pieces {
  /** How many bytes have been taken. */
  readonly position: number;
  /** The next bytes; good until more are taken. */
  take(count: number): Generator<void, Uint8Array>;
  skip(count: number): Generator<void, void>;
  /** Skips what is there now. */
  skipPiece(): Generator<void, void>;
  /** Hands over what is there now, without waiting; `use` tells how many bytes of it are taken. */
  now(use: (piece: Uint8Array) => number): void;
  /** Whether there is nothing more. */
  atEnd(): Generator<void, boolean>;
}

/** Gives a reader its pieces. */
export interface PieceReader<T> {
  /** @throws what the reader throws, and `tooMuch` when it is through */
  push(bytes: Uint8Array): void;
  /**
   * Tells that nothing more comes.
   *
   * @throws what the reader throws, and `tooLittle` when it wants more
   */
  end(): T;
}

/** What is told of a form that is not whole. */
export interface Wrong {
  readonly tooMuch: () => Error;
  /** @param position how many bytes there were */
  readonly tooLittle: (position: number) => Error;
}

const NOTHING = new Uint8Array();

/**
 * Starts a reader, which waits at every `yield` for more.
 *
 * @param read returns when the form is whole
 */
export function createPieces<T>(
  read: (pieces: Pieces) => Generator<void, T>,
  { tooMuch, tooLittle }: Wrong,
): PieceReader<T> {
  let piece: Uint8Array = NOTHING;
  let finished = false;
  let position = 0;
  let over: { readonly value: T } | undefined;
  function* more(): Generator<void, void> {
    if (!finished) yield;
    if (piece.length === 0) throw tooLittle(position);
  }
  function* skip(count: number): Generator<void, void> {
    for (let left = count; left > 0;) {
      if (piece.length === 0) yield* more();
      const taken = Math.min(left, piece.length);
      piece = piece.subarray(taken);
      left -= taken;
      position += taken;
    }
  }
  function* take(count: number): Generator<void, Uint8Array> {
    if (piece.length >= count) {
      const taken = piece.subarray(0, count);
      yield* skip(count);
      return taken;
    }
    // It lies in several pieces.
    const all = new Uint8Array(count);
    for (let done = 0; done < count;) {
      if (piece.length === 0) yield* more();
      const part = piece.subarray(0, count - done);
      all.set(part, done);
      done += part.length;
      yield* skip(part.length);
    }
    return all;
  }
  const reading = read({
    get position() {
      return position;
    },
    take,
    skip,
    *skipPiece() {
      yield* skip(piece.length);
    },
    now(use) {
      const taken = use(piece);
      piece = piece.subarray(taken);
      position += taken;
    },
    *atEnd() {
      if (piece.length === 0 && !finished) yield;
      return piece.length === 0;
    },
  });
  const advance = () => {
    const step = reading.next();
    if (step.done === true) over = { value: step.value };
  };
  advance();
  return {
    push(bytes) {
      if (bytes.length === 0) return;
      if (over !== undefined) throw tooMuch();
      piece = bytes;
      advance();
      if (over !== undefined && piece.length > 0) throw tooMuch();
    },
    end() {
      finished = true;
      if (over === undefined) advance();
      if (over === undefined) throw new Error("A reader waits after the end of what it reads");
      return over.value;
    },
  };
}
