/** The messages of a plugin's worker to the host. None of them is trusted: each is checked. */

import type { ErrorData } from "./guest/errors.mjs";
import { type StreamMessage, WINDOW } from "./guest/streams.mjs";
import {
  anything,
  boolean,
  type Check,
  type Checked,
  integer,
  listOf,
  LONG,
  object,
  oneOf,
  ProtocolError,
  recordOf,
  text,
} from "./shapes.ts";
import { id } from "./values.ts";

const name = text(1000);
const long = text(LONG);

const serverError = object({ severity: name, sqlstate: name, message: long }, {
  detail: long,
  hint: long,
  position: integer(0),
  internalPosition: integer(0),
  internalQuery: long,
  where: long,
  schema: name,
  table: name,
  column: name,
  constraint: name,
});

const errorShape = object({
  class: oneOf("operation", "database", "other"),
  name,
  message: text(1 << 20),
}, {
  stack: text(1 << 16),
  called: boolean,
  reason: boolean,
  kind: oneOf("failed", "usage", "refused", "connection", "locked"),
  code: name,
  hint: text(1 << 20),
  excerpt: text(1 << 20),
  details: recordOf(anything),
  server: serverError,
  step: integer(0),
  completed: integer(0),
});

/** An error as data. */
export const errorData: Check<ErrorData> = (value) => errorShape(value);

const type = anything;
const stream = id;
const SHAPES = {
  loaded: object({ type, declaration: text(1 << 20) }),
  failed: object({ type, error: errorData }),
  crashed: object({ type, error: errorData }),
  result: object({ type, id }, { value: anything }),
  error: object({ type, id, error: errorData }),
  call: object({ type, id, run: id, method: name, args: listOf(anything, 10) }),
  log: object({
    type,
    level: oneOf("debug", "info", "success", "warn"),
    text: text(LONG),
  }, { run: id }),
  progress: object({ type, run: id, state: anything }),
  pong: object({ type }),
  pull: object({ type, stream, count: integer(1, WINDOW) }),
  cancel: object({ type, stream, error: errorData }),
  part: object({ type, stream, value: anything }),
  done: object({ type, stream }),
  broken: object({ type, stream, error: errorData }),
};

type Shapes = typeof SHAPES;
type Shaped<K extends keyof Shapes> = Omit<Checked<Shapes[K]>, "type"> & { readonly type: K };

/** What a guest says. */
export type GuestMessage = { [K in keyof Shapes]: Shaped<K> }[keyof Shapes];

/**
 * Reads a message.
 *
 * @throws ProtocolError when no guest of ours has sent it
 */
export function readMessage(value: unknown): GuestMessage {
  const type = typeof value === "object" && value !== null && "type" in value
    ? value.type
    : undefined;
  if (typeof type !== "string" || !Object.hasOwn(SHAPES, type)) {
    const told = typeof type === "string" ? `of type "${type.slice(0, 100)}"` : "without a type";
    throw new ProtocolError(`no message ${told} was expected`);
  }
  // The shape is the one of this type, which it has.
  return SHAPES[type as keyof Shapes](value) as GuestMessage;
}

/** What a guest says of a stream. */
export type StreamGuestMessage = Extract<GuestMessage, { readonly type: StreamMessage["type"] }>;

/** Whether a message is about a stream. */
export function isStreamMessage(message: GuestMessage): message is StreamGuestMessage {
  return ["pull", "cancel", "part", "done", "broken"].includes(message.type);
}
