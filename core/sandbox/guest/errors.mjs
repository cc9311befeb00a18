// @ts-check
/**
 * Errors on their way between the host and a plugin's worker; both sides run this file, each with
 * its own classes.
 *
 * @import { DatabaseError, ErrorKind, OperationError, ServerError } from "../../plugin.ts"
 */

/**
 * @typedef {object} ErrorData an error as data
 * @property {"operation" | "database" | "other"} class
 * @property {string} name
 * @property {string} message
 * @property {string} [stack] only from the plugin to the host
 * @property {boolean} [called] whether a call of the plugin's had failed with it; likewise
 * @property {boolean} [reason] whether it is what the run was ended with
 * @property {ErrorKind} [kind]
 * @property {string} [code]
 * @property {string} [hint]
 * @property {string} [excerpt]
 * @property {Readonly<Record<string, unknown>>} [details]
 * @property {ServerError} [server]
 * @property {number} [step]
 * @property {number} [completed]
 */

/**
 * @typedef {object} ErrorClasses the classes of one side
 * @property {typeof OperationError} OperationError
 * @property {typeof DatabaseError} DatabaseError
 */

/**
 * Turns whatever was thrown into data.
 *
 * @param {unknown} thrown
 * @param {ErrorClasses} classes
 * @returns {ErrorData}
 */
export function packError(thrown, classes) {
  try {
    const name = thrown instanceof Error ? String(thrown.name) : "Error";
    const message = thrown instanceof Error ? String(thrown.message) : String(thrown);
    if (!(thrown instanceof classes.OperationError)) return { class: "other", name, message };
    const { kind, code, hint, excerpt } = thrown;
    const details = cloneable(thrown.details);
    const database = thrown instanceof classes.DatabaseError;
    return {
      class: database ? "database" : "operation",
      name,
      message,
      kind,
      code,
      ...(hint === undefined ? {} : { hint }),
      ...(excerpt === undefined ? {} : { excerpt }),
      ...(details === undefined ? {} : { details }),
      ...(database
        ? { server: { ...thrown.server }, step: thrown.step, completed: thrown.completed }
        : {}),
    };
  } catch {
    // Its own properties throw, or it has no text.
    return { class: "other", name: "Error", message: "What was thrown cannot be told" };
  }
}

/**
 * Makes an error of this side from data.
 *
 * @param {ErrorData} data
 * @param {ErrorClasses} classes
 * @returns {Error}
 */
export function unpackError(data, classes) {
  const { kind, code, hint, excerpt, details } = data;
  const options = {
    ...(kind === undefined ? {} : { kind }),
    ...(code === undefined ? {} : { code }),
    ...(hint === undefined ? {} : { hint }),
    ...(excerpt === undefined ? {} : { excerpt }),
    ...(details === undefined ? {} : { details }),
  };
  if (data.class === "operation") return new classes.OperationError(data.message, options);
  if (data.class === "database" && data.server !== undefined) {
    const error = new classes.DatabaseError(data.server, data.step, {
      ...options,
      ...(data.completed === undefined ? {} : { completed: data.completed }),
    });
    // It may have been worded anew.
    error.message = data.message;
    return error;
  }
  const error = new Error(data.message);
  error.name = data.name;
  return error;
}

/**
 * @param {Readonly<Record<string, unknown>>} details
 * @returns {Readonly<Record<string, unknown>> | undefined} undefined when they cannot cross
 */
function cloneable(details) {
  try {
    return structuredClone(details);
  } catch {
    return undefined;
  }
}
