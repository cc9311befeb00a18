/** A connection, as far as an operation on it uses it. */
import type { OperationError } from "../plugin.ts";

/** Takes the messages of one answer, up to the server's being ready again. */
export interface Receiver {
  /** The promise, where there is one, is waited for before more is read from the server. */
  receive(type: number, bytes: Uint8Array, start: number, end: number): void | Promise<void>;
}

/** Where questions go and answers come from. */
export interface Line {
  /** Registers for the next answer; `done` is given the error when the connection is lost. */
  expect(receiver: Receiver, done: (lost?: OperationError) => void): void;
  /** Never rejects: who waits for the answer is told why none comes. */
  send(bytes: Uint8Array): Promise<void>;
  /** Asks the server, by another connection, to cancel what runs. */
  cancel(): Promise<void>;
}
