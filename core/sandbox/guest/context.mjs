// @ts-check
/**
 * A plugin's context in its worker: the same as a built-in's, its calls sent to the host.
 *
 * @import {
 *   Context, Database, Files, Log, Program, ProgramExit, Progress, ProgramOptions, Result, Session
 * } from "../../plugin.ts"
 * @import { ErrorData } from "./errors.mjs"
 * @import { Streams } from "./streams.mjs"
 */
import { namedRows } from "../../postgres/row_bytes.mjs";

/**
 * @typedef {object} Facts what is known of a run from its start
 * @property {number} signal
 * @property {boolean} dryRun
 * @property {boolean} json
 * @property {Context["tool"]} tool
 * @property {Readonly<Record<string, string>>} config
 * @property {Database["target"]} [target]
 * @property {ErrorData} [noDatabase] why there is no target
 */

/**
 * @typedef {object} Link the way to the host, for one run
 * @property {(method: string, args: readonly unknown[]) => Promise<unknown>} call
 * @property {(message: Readonly<Record<string, unknown>>) => void} tell
 * @property {(work: (given: Given) => Promise<void>) => { id: number, forget: () => void }} offer
 *   lets the host call a function back
 * @property {(id: number) => AbortSignal} signal
 * @property {(data: ErrorData) => Error} unpack
 * @property {() => (error: Error) => Error} place gives errors the place where the plugin calls now
 * @property {(error: unknown) => boolean} ownFailure whether the host was only told of it
 * @property {Streams} streams
 */

/**
 * @typedef {object} Given what the host calls back with
 * @property {SessionData} [session]
 * @property {number} [signal]
 */

/**
 * @typedef {object} SessionData
 * @property {number} id
 * @property {number} pid
 */

/**
 * Makes the context of one run.
 *
 * @param {Facts} facts
 * @param {Link} link
 * @returns {Context}
 */
export function createContext(facts, link) {
  const signal = link.signal(facts.signal);
  const db = databaseOf(facts, link);
  /** @type {Context} */
  const context = {
    get db() {
      if (facts.noDatabase !== undefined) throw link.unpack(facts.noDatabase);
      return db;
    },
    files: filesOf(link),
    log: logOf(link),
    config: Object.freeze({
      get: (/** @type {string} */ name) =>
        Object.hasOwn(facts.config, name) ? facts.config[name] : undefined,
      entries: () => asked(link.call("config.entries", [])),
      problems: () => asked(link.call("config.problems", [])),
    }),
    tool: Object.freeze(facts.tool),
    signal,
    dryRun: facts.dryRun,
    json: facts.json,
    async run(path, input) {
      const place = link.place();
      /** @type {Omit<Result, "rows"> & { rows?: number }} */
      const { rows, ...result } = await asked(link.call("run", [path, input]));
      return rows === undefined ? result : { ...result, rows: received(link, rows, place) };
    },
    exec: (program, options) => exec(link, program, options),
    clientTool: (name, options) => asked(link.call("clientTool", [name, options])),
    plugins: Object.freeze({
      list: () => asked(link.call("plugins.list", [])),
      check: (/** @type {string} */ path) => asked(link.call("plugins.check", [path])),
      contract: () => asked(link.call("plugins.contract", [])),
      testing: () => asked(link.call("plugins.testing", [])),
    }),
    state: Object.freeze({
      get: (/** @type {string} */ key) => asked(link.call("state.get", [key])),
      set: (/** @type {string} */ key, /** @type {unknown} */ value) =>
        asked(link.call("state.set", [key, value])),
      keys: () => asked(link.call("state.keys", [])),
    }),
    prompt: (question) => asked(link.call("prompt", [question])),
    sleep: (milliseconds) => sleep(milliseconds, signal),
    progress: (state) =>
      link.tell({ type: "progress", state: state === null ? null : shown(state) }),
    now: () => Date.now(),
  };
  return Object.freeze(context);
}

/**
 * What the host answers is of the type that the contract says.
 *
 * @template T
 * @param {Promise<unknown>} answer
 * @returns {Promise<T>}
 */
async function asked(answer) {
  return /** @type {T} */ (await answer);
}

/**
 * The stream that the host answers with.
 *
 * @template T
 * @param {Link} link
 * @param {string} method
 * @param {readonly unknown[]} args
 * @returns {Promise<ReadableStream<T>>}
 */
async function opened(link, method, args) {
  const place = link.place();
  return received(link, await asked(link.call(method, args)), place);
}

/**
 * @template T
 * @param {Link} link
 * @param {number} id
 * @param {ReturnType<Link["place"]>} place what it fails with tells where it was asked for
 * @returns {ReadableStream<T>}
 */
function received(link, id, place) {
  return link.streams.receive(id, (part) => /** @type {T} */ (part), undefined, place);
}

/**
 * @param {Link} link
 * @returns {Log}
 */
function logOf(link) {
  const at = (/** @type {string} */ level) => (/** @type {string} */ message) =>
    link.tell({ type: "log", level, text: String(message) });
  return Object.freeze({
    debug: at("debug"),
    info: at("info"),
    success: at("success"),
    warn: at("warn"),
  });
}

/**
 * @param {Link} link
 * @returns {Files}
 */
function filesOf(link) {
  /** @type {Files} */
  const files = {
    list: (directory) => asked(link.call("files.list", [directory])),
    readAll: (paths) => asked(link.call("files.readAll", [paths])),
    readSmall: (paths, limit) => asked(link.call("files.readSmall", [paths, limit])),
    stream: (path, range) => opened(link, "files.stream", [path, range]),
    create: (path, contents, options) =>
      asked(link.call("files.create", [path, contents, options])),
    save: async (path, data, options) =>
      await asked(link.call("files.save", [path, link.streams.send(data), options])),
    rename: (from, to) => asked(link.call("files.rename", [from, to])),
    remove: (path) => asked(link.call("files.remove", [path])),
    makeDirectory: (path, options) => asked(link.call("files.makeDirectory", [path, options])),
    inspect: (path) => asked(link.call("files.inspect", [path])),
  };
  return Object.freeze(files);
}

/**
 * @param {Facts} facts
 * @param {Link} link
 * @returns {Database}
 */
function databaseOf({ target = { host: "", port: 0, database: "", user: "" } }, link) {
  /** @type {Database} */
  const database = {
    target: Object.freeze(target),
    query: (sql, params) => asked(link.call("db.query", [sql, params])),
    // As with `query`: the type of the rows is what the caller says.
    stream:
      /** @type {Database["stream"]} */ (async (sql, params) =>
        namedRows(await opened(link, "db.stream", [sql, params]))),
    copyIn: (sql, data) => asked(link.call("db.copyIn", [sql, link.streams.send(data)])),
    copyOut: (sql) => opened(link, "db.copyOut", [sql]),
    session: async (options) => sessionOf(await asked(link.call("db.session", [options])), link),
    maintenance: async (options) =>
      sessionOf(await asked(link.call("db.maintenance", [options])), link),
    transaction: (work, options) =>
      within(link, {
        method: "db.transaction",
        options,
        work: ({ session }) => {
          if (session === undefined) throw new TypeError("A transaction came without its session");
          return work(sessionOf(session, link));
        },
      }),
    stateTable: (table) => asked(link.call("db.stateTable", [table])),
    withLock: (options, work) =>
      within(link, {
        method: "db.withLock",
        options,
        work: ({ signal }) => {
          if (signal === undefined) throw new TypeError("A lock came without its signal");
          return work(link.signal(signal));
        },
      }),
  };
  return Object.freeze(database);
}

/**
 * Lets the host call `work` back; its result and its failure stay here.
 *
 * @template T
 * @param {Link} link
 * @param {{ method: string, options: unknown, work: (given: Given) => Promise<T> }} options
 * @returns {Promise<T>}
 */
async function within(link, { method, options, work }) {
  /** @type {{ value: T } | undefined} */
  let done;
  /** @type {{ error: unknown } | undefined} */
  let failed;
  const { id, forget } = link.offer(async (given) => {
    try {
      done = { value: await work(given) };
    } catch (error) {
      failed = { error };
      throw error;
    }
  });
  try {
    await link.call(method, [id, options]);
  } catch (error) {
    throw failed !== undefined && link.ownFailure(error) ? failed.error : error;
  } finally {
    forget();
  }
  if (done === undefined) throw new TypeError(`${method} ended without having begun`);
  return done.value;
}

/**
 * @param {SessionData} data
 * @param {Link} link
 * @returns {Session}
 */
function sessionOf({ id, pid }, link) {
  /** @type {Session} */
  const session = {
    pid,
    query: (sql, params) => asked(link.call("session.query", [id, sql, params])),
    pipeline: (steps) =>
      asked(
        steps instanceof ReadableStream
          ? link.call("session.pipelineStream", [id, link.streams.send(steps)])
          : link.call("session.pipeline", [id, steps]),
      ),
    execute: (sql, params) => opened(link, "session.execute", [id, sql, params]),
    copyIn: (sql, data) => asked(link.call("session.copyIn", [id, sql, link.streams.send(data)])),
    copyOut: (sql) => opened(link, "session.copyOut", [id, sql]),
    close: () => asked(link.call("session.close", [id])),
  };
  return Object.freeze(session);
}

/**
 * @param {Link} link
 * @param {string} program
 * @param {ProgramOptions} [options]
 * @returns {Promise<Program>}
 */
async function exec(link, program, { stdin, ...options } = {}) {
  const place = link.place();
  const input = stdin === undefined || stdin === "inherit" ? stdin : link.streams.send(stdin);
  /** @type {{ id: number, stdout: number, stderr: number }} */
  const { id, stdout, stderr } = await asked(
    link.call("exec", [program, { ...options, ...(input === undefined ? {} : { stdin: input }) }]),
  );
  /** @type {Promise<ProgramExit>} */
  const exit = asked(link.call("program.exit", [id]));
  // Whoever does not ask how it ended is not told of it.
  exit.catch(() => {});
  return Object.freeze({
    stdout: received(link, stdout, place),
    stderr: received(link, stderr, place),
    exit,
    stop: () => asked(link.call("program.stop", [id])),
  });
}

/**
 * How far an operation is, as the host takes it: counts from the database are bigints, and what
 * cannot be counted is not shown.
 *
 * @param {Progress} state
 */
function shown({ label, done, total, unit }) {
  /** @type {Record<string, unknown>} */
  const state = { label: String(label) };
  for (const [name, value] of Object.entries({ done, total })) {
    const count = Number(value ?? NaN);
    if (Number.isFinite(count)) state[name] = count;
  }
  return UNITS.includes(String(unit)) ? { ...state, unit } : state;
}

const UNITS = ["bytes", "rows", "items"];

/** What a timer can wait at most. */
const LONGEST = 2 ** 31 - 1;

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, Math.min(milliseconds, LONGEST));
    function end() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal.addEventListener("abort", end, { once: true });
  });
}
