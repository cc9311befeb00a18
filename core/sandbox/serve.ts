/** Serves a run's context to a plugin in its worker: each call is checked, then done by the host. */

import { type Context, OperationError, type Permissions, type Session } from "../plugin.ts";
import { rowBytesOf } from "../database.ts";
import type { Given } from "./guest/context.mjs";
import type { Streams } from "./guest/streams.mjs";
import {
  bytes,
  type Check,
  either,
  integer,
  listOf,
  LONG,
  object,
  oneOf,
  optional,
  ProtocolError,
  text,
} from "./shapes.ts";
import {
  commandCall,
  createOptions,
  data,
  directoryOptions,
  fileRange,
  id,
  lockOptions,
  maintenanceOptions,
  programOptions,
  saveOptions,
  sessionOptions,
  sql,
  sqlParameters,
  stateTable,
  step,
} from "./values.ts";

/** What a guest has opened. */
export interface Handles {
  /** Keeps what is closed when the guest ends; its number. */
  add(value: Handle): number;
  /** @throws ProtocolError when there is none of this number and kind */
  get<K extends Handle["kind"]>(kind: K, id: number): Extract<Handle, { readonly kind: K }>;
  /** Closes everything; what cannot be closed has been lost. */
  close(): Promise<void>;
}

/** Something that a guest has opened. */
export type Handle =
  | { readonly kind: "session"; readonly value: Session }
  | { readonly kind: "program"; readonly value: Awaited<ReturnType<Context["exec"]>> };

/** One run of a plugin, as it is served. */
export interface Service {
  /** The plugin's name. */
  readonly name: string;
  /** The run's context, its files limited to what is declared. */
  readonly context: Context;
  readonly permissions: Permissions;
  readonly streams: Streams;
  readonly handles: Handles;
  /** Paths of programs that the host itself has found for the plugin. */
  readonly found: Set<string>;
  /** Calls the plugin back. */
  back(work: number, given: Given): Promise<void>;
  /** Hands a signal over while something is done. */
  during<T>(signal: AbortSignal, work: (id: number) => Promise<T>): Promise<T>;
}

/** @throws TypeError when an argument is none of what the contract says */
type Method = (service: Service, call: Call) => Promise<unknown>;

interface Call {
  readonly method: string;
  readonly args: readonly unknown[];
}

function method<A extends readonly unknown[]>(
  checks: { readonly [K in keyof A]: Check<A[K]> },
  work: (service: Service, ...args: A) => Promise<unknown>,
): Method {
  return (service, { method: name, args }) => {
    if (args.length > checks.length) throw new ProtocolError(`${name}: too much was given`);
    const checked = checks.map((check, index) => {
      try {
        return check(args[index]);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        throw new TypeError(`Cannot call ${name}: ${error.message}`);
      }
    });
    // Each argument has just passed the check that its type comes from.
    return work(service, ...checked as unknown as A);
  };
}

const path = text();
const paths = listOf(path);
const parameters = optional(sqlParameters);
const clientTool = oneOf("psql", "pg_dump", "pg_dumpall", "pg_restore");
const toolOptions = optional(object({}, { major: integer(1) }));
const query = text(LONG);

const METHODS: Readonly<Record<string, Method>> = {
  "db.query": method(
    [query, parameters],
    ({ context }, sql, params) => context.db.query(sql, params),
  ),
  "db.stream": method(
    [query, parameters],
    async ({ context: { db }, streams }, sql, params) =>
      streams.send(await rowBytesOf(db, { sql, params })),
  ),
  "db.copyIn": method(
    [query, id],
    ({ context, streams }, sql, data) => context.db.copyIn(sql, streams.receive(data, bytes)),
  ),
  "db.copyOut": method(
    [query],
    async ({ context, streams }, sql) => streams.send(await context.db.copyOut(sql)),
  ),
  "db.session": method(
    [sessionOptions],
    async (service, options) => sessionData(service, await service.context.db.session(options)),
  ),
  "db.maintenance": method(
    [maintenanceOptions],
    async (service, options) => sessionData(service, await service.context.db.maintenance(options)),
  ),
  "db.transaction": method(
    [id, sessionOptions],
    (service, work, options) =>
      service.context.db.transaction(
        (session) => service.back(work, { session: sessionData(service, session) }),
        options,
      ),
  ),
  "db.withLock": method(
    [id, lockOptions],
    (service, work, options) =>
      service.context.db.withLock(
        options,
        (lost) => service.during(lost, (signal) => service.back(work, { signal })),
      ),
  ),
  "db.stateTable": method([stateTable], ({ context }, table) => context.db.stateTable(table)),

  "session.query": method(
    [id, query, parameters],
    ({ handles }, session, sql, params) => handles.get("session", session).value.query(sql, params),
  ),
  "session.pipeline": method(
    [id, listOf(step)],
    ({ handles }, session, steps) => handles.get("session", session).value.pipeline(steps),
  ),
  "session.pipelineStream": method(
    [id, id],
    ({ handles, streams }, session, steps) =>
      handles.get("session", session).value.pipeline(streams.receive(steps, step)),
  ),
  "session.execute": method(
    [id, sql, parameters],
    async (service, session, sql, params) =>
      service.streams.send(
        await service.handles.get("session", session).value.execute(sql, params),
      ),
  ),
  "session.copyIn": method(
    [id, query, id],
    ({ handles, streams }, session, sql, data) =>
      handles.get("session", session).value.copyIn(sql, streams.receive(data, bytes)),
  ),
  "session.copyOut": method(
    [id, query],
    async ({ handles, streams }, session, sql) =>
      streams.send(await handles.get("session", session).value.copyOut(sql)),
  ),
  "session.close": method(
    [id],
    ({ handles }, session) => handles.get("session", session).value.close(),
  ),

  "files.list": method(
    [path],
    async ({ context }, directory) =>
      // An entry gives its facts when they are asked for, which a message cannot.
      (await context.files.list(directory)).map(({ name, kind, size, modified }) => ({
        name,
        kind,
        size,
        modified,
      })),
  ),
  "files.readAll": method([paths], ({ context }, all) => context.files.readAll(all)),
  "files.readSmall": method(
    [paths, integer(0)],
    ({ context }, all, limit) => context.files.readSmall(all, limit),
  ),
  "files.stream": method(
    [path, fileRange],
    async ({ context, streams }, path, range) =>
      streams.send(await context.files.stream(path, range)),
  ),
  "files.create": method(
    [path, either(text(LONG), bytes), createOptions],
    ({ context }, path, contents, options) => context.files.create(path, contents, options),
  ),
  "files.save": method(
    [path, id, saveOptions],
    ({ context, streams }, path, data, options) =>
      context.files.save(path, streams.receive(data, bytes), options),
  ),
  "files.rename": method([path, path], ({ context }, from, to) => context.files.rename(from, to)),
  "files.remove": method([path], ({ context }, path) => context.files.remove(path)),
  "files.makeDirectory": method(
    [path, directoryOptions],
    ({ context }, path, options) => context.files.makeDirectory(path, options),
  ),
  "files.inspect": method([path], ({ context }, path) => context.files.inspect(path)),

  "config.entries": method([], ({ context }) => context.config.entries()),
  "config.problems": method([], ({ context }) => context.config.problems()),

  "plugins.list": method([], ({ context }) => context.plugins.list()),
  "plugins.contract": method([], ({ context }) => context.plugins.contract()),
  "plugins.testing": method([], ({ context }) => context.plugins.testing()),
  "plugins.check": method([path], (_service, _path) =>
    Promise.reject(
      new OperationError("Cannot check a plugin from a plugin: it would load any file", {
        kind: "refused",
        code: "forbidden",
      }),
    )),

  "state.get": method([text()], ({ context }, key) => context.state.get(key)),
  "state.set": method([text(), data], ({ context }, key, value) => context.state.set(key, value)),
  "state.keys": method([], ({ context }) => context.state.keys()),

  "run": method([text(), commandCall], async ({ context, streams }, path, call) => {
    const { rows, ...result } = await context.run(path, call);
    return rows === undefined ? result : { ...result, rows: streams.send(rows) };
  }),
  "exec": method([path, programOptions], exec),
  "program.exit": method(
    [id],
    ({ handles }, program) => handles.get("program", program).value.exit,
  ),
  "program.stop": method(
    [id],
    ({ handles }, program) => handles.get("program", program).value.stop(),
  ),
  "clientTool": method([clientTool, toolOptions], async (service, name, options) => {
    const tool = await service.context.clientTool(name, options);
    if (service.permissions.run?.includes(name)) service.found.add(tool.path);
    return tool;
  }),
  "prompt": method([text(1 << 16)], ({ context }, question) => context.prompt(question)),
};

/**
 * Does what a plugin asks for.
 *
 * @throws ProtocolError when the guest itself never asks so
 * @throws TypeError when the plugin has given something else than the contract says
 */
export async function serve(service: Service, call: Call): Promise<unknown> {
  const found = Object.hasOwn(METHODS, call.method) ? METHODS[call.method] : undefined;
  if (found === undefined) throw new ProtocolError(`no call of "${call.method}" was expected`);
  return await found(service, call);
}

function sessionData({ handles }: Service, session: Session): { id: number; pid: number } {
  return { id: handles.add({ kind: "session", value: session }), pid: session.pid };
}

/** Variables by which the system's loader puts other code into a program. */
const LOADER = /^(LD|DYLD)_/;

async function exec(
  service: Service,
  program: string,
  { stdin, ...options }: NonNullable<ReturnType<typeof programOptions>> = {},
): Promise<unknown> {
  const { name, permissions, found, context, streams, handles } = service;
  const refuse = (code: string, reason: string, hint: string): never => {
    throw new OperationError(`Cannot start "${program}": ${reason}`, {
      kind: "refused",
      code,
      hint,
      details: { program, plugin: name },
    });
  };
  if (!permissions.run?.includes(program) && !found.has(program)) {
    return refuse(
      "not_declared",
      `plugin ${name} does not declare that it runs it`,
      "Name it in permissions.run, just as it is started",
    );
  }
  const { terminal, stdout, stderr } = options;
  if (stdin === "inherit" || terminal || stdout === "inherit" || stderr === "inherit") {
    return refuse(
      "forbidden",
      "a plugin's program gets neither the terminal nor this process's streams",
      "Read its output from the streams, and give it a stream as its input",
    );
  }
  const loader = Object.keys(options.env ?? {}).find((name) => LOADER.test(name));
  if (loader !== undefined) {
    return refuse(
      "forbidden",
      `with ${loader} other code than the program's own would run`,
      "Leave the variable out",
    );
  }
  const started = await context.exec(program, {
    ...options,
    ...(stdin === undefined ? {} : { stdin: streams.receive(stdin, bytes) }),
  });
  // That it fails with the run's end is told to whoever asks.
  started.exit.catch(() => {});
  return {
    id: handles.add({ kind: "program", value: started }),
    stdout: streams.send(started.stdout),
    stderr: streams.send(started.stderr),
  };
}

/** What a guest has opened, and what it has not closed is closed with it. */
export function createHandles(): Handles {
  const handles: Handle[] = [];
  return {
    add: (handle) => handles.push(handle),
    get(kind, id) {
      const handle = handles[id - 1];
      if (handle?.kind === kind) {
        return handle as Extract<Handle, { readonly kind: typeof kind }>;
      }
      throw new ProtocolError(`there is no ${kind} ${id}`);
    },
    async close() {
      await Promise.allSettled(
        handles.splice(0).map((handle) =>
          handle.kind === "session" ? handle.value.close() : handle.value.stop()
        ),
      );
    },
  };
}
