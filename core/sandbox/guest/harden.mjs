// @ts-check
/**
 * Takes from a plugin's worker what reaches beyond it, before anything of the plugin runs. What is
 * kept is listed, so that what a later runtime adds is not there.
 */

/** The language, and what the web's standards have of data, streams, time and network. */
const KEPT = new Set(
  `Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol
  Date Promise RegExp Error AggregateError EvalError RangeError ReferenceError SyntaxError
  TypeError URIError SuppressedError globalThis self JSON Math Intl ArrayBuffer SharedArrayBuffer
  Atomics Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array BigUint64Array
  BigInt64Array Uint8ClampedArray Float16Array Float32Array Float64Array DataView Map BigInt Set
  Iterator WeakMap WeakSet Proxy Reflect FinalizationRegistry WeakRef DisposableStack
  AsyncDisposableStack Temporal decodeURI decodeURIComponent encodeURI encodeURIComponent escape
  unescape eval isFinite isNaN queueMicrotask AbortController AbortSignal Blob File FormData Headers
  Request Response fetch EventSource WebSocket CloseEvent CustomEvent ErrorEvent Event EventTarget
  MessageEvent ProgressEvent PromiseRejectionEvent DOMException QuotaExceededError
  ByteLengthQueuingStrategy CountQueuingStrategy CompressionStream DecompressionStream
  ReadableStream ReadableStreamDefaultReader ReadableStreamBYOBReader ReadableStreamBYOBRequest
  ReadableByteStreamController ReadableStreamDefaultController TransformStream
  TransformStreamDefaultController WritableStream WritableStreamDefaultWriter
  WritableStreamDefaultController TextDecoder TextEncoder TextDecoderStream TextEncoderStream URL
  URLPattern URLSearchParams atob btoa clearInterval clearTimeout setInterval setTimeout crypto
  Crypto CryptoKey SubtleCrypto performance Performance PerformanceEntry PerformanceMark
  PerformanceMeasure reportError structuredClone`.split(/\s+/),
);

/** What is missed by who copies a script of Deno's or Node's, and what there is instead. */
const ABSENT = {
  Deno: "what a plugin may do, it does by its context, such as ctx.files, ctx.exec and ctx.config",
  process: "what a plugin may do, it does by its context, such as ctx.config, ctx.exec and ctx.log",
};

/** The methods of the console, with the level of the log that each is written to. */
const CONSOLE = {
  log: "info",
  info: "info",
  dir: "info",
  table: "info",
  debug: "debug",
  trace: "debug",
  warn: "warn",
  error: "warn",
};
const SILENT = "assert clear count countReset group groupCollapsed groupEnd time timeEnd timeLog";

/**
 * Hardens the worker.
 *
 * @param {(level: string, text: string) => void} write what is written to the console
 * @throws {Error} when something cannot be taken away
 */
export function harden(write) {
  // Its streams have symbols by which they read what the runtime knows by a number: these are 0 to 2.
  for (const stream of [Deno.stdin, Deno.stdout, Deno.stderr]) stream.close();
  const internals = Reflect.get(Deno, Reflect.get(Deno, "internal"));
  /** @type {(values: unknown[]) => string} */
  const inspect = Reflect.get(internals, "inspectArgs");
  // Whoever still has the object must not reach the runtime's own functions by it.
  take(Deno, Reflect.get(Deno, "internal"));
  for (const key of Reflect.ownKeys(globalThis)) {
    if (typeof key === "string" && !KEPT.has(key)) take(globalThis, key);
  }
  put("console", consoleOf(inspect, write));
  for (const [name, instead] of Object.entries(ABSENT)) put(name, absent(name, instead));
}

/**
 * @param {object} object
 * @param {PropertyKey} key
 */
function take(object, key) {
  if (!Reflect.deleteProperty(object, key)) {
    throw new Error(`Cannot take ${String(key)} from the plugin`);
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function put(name, value) {
  Object.defineProperty(globalThis, name, { value, writable: false, configurable: false });
}

/**
 * @param {(values: unknown[]) => string} inspect
 * @param {(level: string, text: string) => void} write
 */
function consoleOf(inspect, write) {
  /** @type {Record<string, (...values: unknown[]) => void>} */
  const made = {};
  for (const name of SILENT.split(" ")) made[name] = () => {};
  for (const [name, level] of Object.entries(CONSOLE)) {
    made[name] = (...values) => write(level, inspected(values, inspect));
  }
  return Object.freeze(made);
}

/**
 * @param {unknown[]} values
 * @param {(values: unknown[]) => string} inspect
 */
function inspected(values, inspect) {
  try {
    return inspect(values);
  } catch (error) {
    return `(what cannot be shown: ${error instanceof Error ? error.message : "it throws"})`;
  }
}

/**
 * A stand-in that tells what there is instead.
 *
 * @param {string} name
 * @param {string} instead
 */
function absent(name, instead) {
  return new Proxy(Object.freeze(Object.create(null)), {
    get(_, key) {
      if (typeof key === "symbol") return undefined;
      throw new Error(`A plugin has no ${name}.${key}: ${instead}`);
    },
  });
}
