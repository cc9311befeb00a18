/** The database of another server than the run's own: what `Context.at` gives. */
import { passwordsOf } from "./config.ts";
import type { Findings, Source } from "./config_sources.ts";
import { readConnection } from "./connection_config.ts";
import { createDatabase } from "./database.ts";
import type { Host } from "./host.ts";
import { type Context, OperationError } from "./plugin.ts";
import { pluginState } from "./plugin_state.ts";
import type { ConnectionParameters } from "./postgres/connection_parameters.ts";
import { createPrograms } from "./programs.ts";
import type { Run } from "./run.ts";

/** What a context over another server is made from. */
export interface OtherServerOptions {
  readonly run: Run;
  /** A connection string, as `DATABASE_URL` holds one. */
  readonly url: string;
  /** What gave it, for messages: `--on`. */
  readonly named: string;
  readonly plugin: string;
  /** Seconds to wait for the server. */
  readonly wait: number;
}

/** What leads libpq, or us, to a database, by its name in the environment. */
const LEADING = /^(?:PG[A-Z]|DB_|DATABASE_URL)/;

/** Files that tell of many servers, each by its name: they lead to none. */
const FILES = ["PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR"];

/**
 * The same context with the database of another server; `close` ends what it has opened.
 *
 * @throws OperationError of kind `usage` that lists every problem of the connection string
 */
export async function contextAt(
  context: Context,
  options: OtherServerOptions,
): Promise<{ context: Context; close(): Promise<void> }> {
  const { run: { log, signal, state }, wait, named } = options;
  const host: Host = Object.create(options.run.host, {
    env: { value: unled(options.run.host.env) },
  });
  const parameters = await readOther(host, options);
  const { dryRun } = context;
  const database = createDatabase({
    parameters,
    dialer: host.dialer,
    log,
    signal,
    readOnly: dryRun,
    wait,
    now: host.now,
  });
  const programs = createPrograms({ host, log, signal, state, parameters: () => parameters });
  const other: Context = Object.create(context, {
    db: { value: database },
    exec: { value: programs.exec },
    state: { value: pluginState(options.plugin, () => database) },
    // What it ran would reach the run's own database.
    run: {
      value: (path: string) =>
        Promise.reject(
          new OperationError(`Cannot run "${path}" in the database of ${named}`, {
            code: "other_server",
          }),
        ),
    },
  });
  return {
    context: other,
    async close() {
      await programs.close();
      await database.close();
    },
  };
}

/** An environment in which nothing leads to a database. */
function unled(env: Host["env"]): Host["env"] {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => FILES.includes(name) || !LEADING.test(name)),
  );
}

async function readOther(
  host: Host,
  { run: { redactor, log }, url, named }: OtherServerOptions,
): Promise<ConnectionParameters> {
  for (const secret of passwordsOf(url)) redactor.add(secret);
  const findings: Findings = { problems: [], warnings: [] };
  const sources: Source[] = [
    {
      kind: "flags",
      get: (name) => name === "DATABASE_URL" ? { value: url, origin: named } : undefined,
    },
    {
      kind: "environment",
      get: (name) => {
        const value = FILES.includes(name) ? host.env[name] : undefined;
        return value ? { value, origin: "environment" } : undefined;
      },
    },
  ];
  const input = {
    flags: new Map(),
    env: host.env,
    readTextFile: (path: string) => host.files.readText(path),
    fileMode: (path: string) => host.files.mode(path),
    cwd: host.cwd,
    ...(host.env["HOME"] === undefined ? {} : { home: host.env["HOME"] }),
  };
  const { parameters, secrets } = await readConnection({ input, sources, findings });
  for (const secret of secrets) redactor.add(secret);
  const { hosts, database, user } = parameters;
  for (const name of [...hosts.map((each) => each.host), database, user]) {
    redactor.addPublicName(name);
  }
  for (const warning of findings.warnings) log.warn(warning);
  const { problems } = findings;
  if (problems.length === 0) return parameters;
  const hints = [...new Set(problems.flatMap(({ hint }) => hint ?? []))];
  throw new OperationError(
    `Cannot use ${named}: ${problems.map(({ message }) => message).join("; ")}`,
    {
      kind: "usage",
      code: "bad_connection_string",
      ...(hints.length === 0 ? {} : { hint: hints.join("; ") }),
      details: { problems: problems.map(({ message }) => message) },
    },
  );
}
