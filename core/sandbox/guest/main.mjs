// @ts-check
/**
 * The guest: what runs in a plugin's worker before the plugin does. It hardens the worker, imports
 * the plugin, tells what it declares and calls its functions as the host asks.
 *
 * @import { Arguments, Flags, HookEvent, Input, Plugin } from "../../plugin.ts"
 * @import { Facts, Given, Link } from "./context.mjs"
 * @import { ErrorClasses, ErrorData } from "./errors.mjs"
 * @import { StreamMessage } from "./streams.mjs"
 */
import { createContext } from "./context.mjs";
import { packError, unpackError } from "./errors.mjs";
import { harden } from "./harden.mjs";
import { Streams } from "./streams.mjs";

/**
 * @typedef {(
 *   | { type: "start", entry: string, contract: string }
 *   | { type: "run", id: number, does: "run" | "plan" | "hook", name: string, input: unknown,
 *       facts: Facts }
 *   | { type: "work", id: number, work: number, given: Given }
 *   | { type: "reply", id: number, value?: unknown, error?: ErrorData, own?: boolean,
 *       ended?: boolean }
 *   | { type: "abort", signal: number, error: ErrorData }
 *   | { type: "ping" }
 *   | StreamMessage
 * )} HostMessage what the host says
 */

const scope = globalThis;
/** @type {(message: unknown) => void} */
const post = Reflect.get(scope, "postMessage").bind(scope);
const listen = scope.addEventListener.bind(scope);

/** @type {Plugin} */
let plugin;
let started = false;
/** @type {ErrorClasses} */
let classes;
let last = 0;
/**
 * @typedef {object} Call
 * @property {Error} at where the plugin called, for an error that comes from the host
 * @property {number} signal the run's
 * @property {(value: unknown) => void} resolve
 * @property {(error: unknown) => void} reject
 */

/** @type {Map<number, Call>} */
const calls = new Map();
/** @type {Map<number, (given: Given) => Promise<void>>} */
const works = new Map();
/** @type {Map<number, AbortController>} */
const controllers = new Map();
/** What signals were aborted with. */
const reasons = new WeakSet();
/** What calls of the plugin failed with. */
const called = new WeakSet();
/** The failures that the host was told of and gives back. */
const own = new WeakSet();
const streams = new Streams({ post, pack, unpack: (data) => unpackError(data, classes) });

/**
 * @param {unknown} thrown
 * @returns {ErrorData}
 */
function pack(thrown) {
  const data = { ...packError(thrown, classes), stack: stackOf(thrown) };
  if (typeof thrown !== "object" || thrown === null) return data;
  return {
    ...data,
    ...(reasons.has(thrown) ? { reason: true } : {}),
    ...(called.has(thrown) ? { called: true } : {}),
  };
}

/**
 * An error of the host at the place where the plugin called.
 *
 * @param {Error} error
 * @param {Error} at
 */
function placed(error, at) {
  error.stack = `${error.name}: ${error.message}\n${at.stack?.replace(/^.*\n/, "")}`;
  called.add(error);
  return error;
}

/** @param {unknown} thrown */
function stackOf(thrown) {
  try {
    return thrown instanceof Error ? String(thrown.stack).slice(0, 20_000) : "";
  } catch {
    return "";
  }
}

/** @param {number} id */
function controllerOf(id) {
  let controller = controllers.get(id);
  if (controller === undefined) controllers.set(id, controller = new AbortController());
  return controller;
}

/**
 * @param {number} run
 * @param {number} signal
 * @returns {Link}
 */
function linkOf(run, signal) {
  return {
    call(method, args) {
      const id = ++last;
      const at = new Error();
      return new Promise((resolve, reject) => {
        calls.set(id, { at, signal, resolve, reject });
        try {
          post({ type: "call", id, run, method, args });
        } catch (error) {
          calls.delete(id);
          reject(error);
        }
      });
    },
    tell: (message) => post({ ...message, run }),
    offer(work) {
      const id = ++last;
      works.set(id, work);
      return { id, forget: () => void works.delete(id) };
    },
    signal: (id) => controllerOf(id).signal,
    unpack: (data) => placed(unpackError(data, classes), new Error()),
    place() {
      const at = new Error();
      return (error) => placed(error, at);
    },
    ownFailure: (error) => typeof error === "object" && error !== null && own.has(error),
    streams,
  };
}

/** @param {Extract<HostMessage, { type: "reply" }>} message */
function settle({ id, value, error: data, own: isOwn, ended }) {
  const call = calls.get(id);
  calls.delete(id);
  if (ended && call !== undefined) return call.reject(controllerOf(call.signal).signal.reason);
  if (data === undefined) return call?.resolve(value);
  if (call === undefined) return;
  const error = placed(unpackError(data, classes), call.at);
  if (isOwn) own.add(error);
  call.reject(error);
}

/**
 * Does what the host asks, and tells how it ended.
 *
 * @param {number} id
 * @param {() => Promise<unknown>} work
 */
async function answer(id, work) {
  try {
    post({ type: "result", id, value: await work() });
  } catch (error) {
    post({ type: "error", id, error: pack(error) });
  }
}

/** @param {Extract<HostMessage, { type: "run" }>} message */
async function perform({ id, does, name, input, facts }) {
  const context = createContext(facts, linkOf(id, facts.signal));
  try {
    if (does === "hook") {
      const hook = Reflect.get(plugin.hooks ?? {}, name);
      await hook(context, /** @type {HookEvent} */ (input));
      return undefined;
    }
    const command = Reflect.get(plugin.commands ?? {}, name);
    /** @type {Input<Flags, Arguments>} */
    const given = /** @type {Input<Flags, Arguments>} */ (input);
    if (does === "plan") return await command.plan?.(context, given);
    return told(await command.run(context, given));
  } finally {
    controllers.delete(facts.signal);
  }
}

/**
 * A command's result as it crosses.
 *
 * @param {unknown} result
 */
function told(result) {
  if (typeof result !== "object" || result === null || !("data" in result)) {
    throw new TypeError("run returns no result: it has to be an object with data");
  }
  const { data, text, rows, format, problems, changed } =
    /** @type {Record<string, unknown>} */ (result);
  const id = rows === undefined
    ? undefined
    : streams.send(/** @type {ReadableStream<unknown>} */ (rows));
  return { data, text, rows: id, format, problems, changed };
}

/** @param {Extract<HostMessage, { type: "start" }>} message */
async function start({ entry, contract }) {
  // The runtime's mark of its own events can be forged, and it checks nothing that is imported here.
  if (started) throw new Error("A plugin is loaded once, and by the host alone");
  started = true;
  try {
    harden((level, text) => post({ type: "log", level, text }));
    classes = await import(contract);
    plugin = (await import(entry)).default;
    post({ type: "loaded", declaration: JSON.stringify(declared(plugin)) ?? "null" });
  } catch (error) {
    const data = classes === undefined
      ? { class: "other", name: "Error", message: String(error) }
      : pack(error);
    post({ type: "failed", error: data });
  }
}

/**
 * The plugin without its functions.
 *
 * @param {unknown} given
 */
function declared(given) {
  if (typeof given !== "object" || given === null) return null;
  const { commands, hooks, ...rest } = /** @type {Partial<Plugin>} */ (given);
  return {
    ...rest,
    commands: mapped(
      commands,
      (command) =>
        typeof command !== "object" || command === null ? null : {
          ...command,
          run: typeof command.run,
          plan: typeof command.plan,
        },
    ),
    hooks: mapped(hooks, (hook) => typeof hook),
  };
}

/**
 * @template T, U
 * @param {Readonly<Record<string, T>> | undefined} record
 * @param {(value: T) => U} map
 */
function mapped(record, map) {
  if (record === undefined) return {};
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

/** @param {Extract<HostMessage, { type: "abort" }>} message */
function abort({ signal, error }) {
  const reason = unpackError(error, classes);
  reasons.add(reason);
  controllerOf(signal).abort(reason);
}

/** @param {HostMessage} message */
function receive(message) {
  switch (message.type) {
    case "start":
      return void start(message);
    case "run":
      return void answer(message.id, () => perform(message));
    case "work": {
      const work = works.get(message.work);
      return void answer(message.id, async () => await work?.(message.given));
    }
    case "reply":
      return settle(message);
    case "abort":
      return abort(message);
    case "ping":
      return post({ type: "pong" });
    default:
      return streams.handle(message);
  }
}

// First in line, so that the plugin can neither hear nor stop what is meant for the guest.
listen("message", (event) => {
  event.stopImmediatePropagation();
  if (event.isTrusted && event instanceof MessageEvent) receive(event.data);
});
listen("error", (event) => {
  event.preventDefault();
  event.stopImmediatePropagation();
  const thrown = event instanceof ErrorEvent ? event.error ?? event.message : undefined;
  post({ type: "crashed", error: pack(thrown) });
});
listen("unhandledrejection", (event) => {
  event.preventDefault();
  event.stopImmediatePropagation();
  const thrown = event instanceof PromiseRejectionEvent ? event.reason : undefined;
  post({ type: "crashed", error: pack(thrown) });
});
