/** From parameters to a session: the hosts in order, and one error that tells of all of them. */
import { OperationError } from "../plugin.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionParameters, HostAddress } from "./connection_parameters.ts";
import { allFailed, connectError, endsSearch, transportFailure } from "./connect_errors.ts";
import {
  addressOf,
  type ConnectOptions,
  isSocket,
  openSession,
  type Target,
  timeoutSeconds,
} from "./open.ts";

export type { ConnectOptions } from "./open.ts";

type SessionAttributes = NonNullable<ConnectionParameters["targetSessionAttrs"]>;

/** Failures that another address of the same name may not have. */
const OF_ONE_ADDRESS: ReadonlySet<string> = new Set([
  "connection_refused",
  "connect_timeout",
  "host_unreachable",
]);

/**
 * Opens a session with the first host that gives one of the kind asked for.
 *
 * @throws OperationError of kind `connection` that tells of every host tried; its
 *   `details.retryable` says whether waiting may help
 */
export async function connect(
  parameters: ConnectionParameters,
  options: ConnectOptions,
): Promise<Connection> {
  const { targetSessionAttrs = "any" } = parameters;
  const wanted: SessionAttributes[] = targetSessionAttrs === "prefer-standby"
    ? ["standby", "any"]
    : [targetSessionAttrs];
  let failures: OperationError[] = [];
  for (const attributes of wanted) {
    failures = [];
    for (const host of parameters.hosts) {
      try {
        return await suited(await reach({ host, parameters, options }), attributes);
      } catch (error) {
        options.signal?.throwIfAborted();
        const failure = failureOf(host, error);
        // A mistake in the settings is the same with every host.
        if (failure.kind !== "connection" || failure.code === "tls_file") throw failure;
        failures.push(failure);
        if (endsSearch(failure)) break;
      }
    }
  }
  throw allFailed(failures);
}

function failureOf(host: HostAddress, error: unknown): OperationError {
  return error instanceof OperationError ? error : transportFailure(addressOf(host), error);
}

/**
 * Opens a session with one host. The dialer tries one address of a name; when nobody answers there,
 * the others are tried, since `localhost` may be both `::1` and `127.0.0.1`.
 */
async function reach(target: Target): Promise<Connection> {
  const { host, options, parameters } = target;
  try {
    return await openSession(target);
  } catch (error) {
    options.signal?.throwIfAborted();
    const failure = failureOf(host, error);
    if (!isName(host) || !OF_ONE_ADDRESS.has(failure.code)) throw failure;
    // Only here, since it takes longer to load than a session to open.
    const { answeringAddress } = await import("./addresses.ts");
    const hostaddr = await answeringAddress(host, timeoutSeconds(parameters));
    options.signal?.throwIfAborted();
    if (hostaddr === undefined) throw failure;
    return await openSession({ ...target, host: { ...host, hostaddr } });
  }
}

function isName(host: HostAddress): boolean {
  return !isSocket(host) && host.hostaddr === undefined && !host.host.includes(":") &&
    !/^[\d.]+$/.test(host.host);
}

/** Returns the session when it is of the kind asked for, and closes it otherwise. */
async function suited(session: Connection, wanted: SessionAttributes): Promise<Connection> {
  let reason: string | undefined;
  try {
    reason = await unsuitable(session, wanted);
  } catch (error) {
    await session.close();
    throw error;
  }
  if (reason === undefined) return session;
  await session.close();
  throw connectError({
    address: session.address,
    code: "session_unsuitable",
    reason,
    // A standby may be promoted, and a primary come up, while somebody waits.
    retryable: true,
    hint: `target_session_attrs is ${wanted}: name a host that gives such sessions`,
  });
}

async function unsuitable(
  session: Connection,
  wanted: SessionAttributes,
): Promise<string | undefined> {
  if (wanted === "any" || wanted === "prefer-standby") return undefined;
  const standby = session.parameter("in_hot_standby") ??
    await ask(session, "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END");
  if (wanted === "primary") return standby === "on" ? "the server is a standby" : undefined;
  if (wanted === "standby") return standby === "on" ? undefined : "the server is no standby";
  const readOnly = standby === "on" ||
    (session.parameter("default_transaction_read_only") ??
        await ask(session, "SHOW transaction_read_only")) === "on";
  if (wanted === "read-only") return readOnly ? undefined : "its sessions can write";
  return readOnly ? "its sessions are read-only" : undefined;
}

async function ask(session: Connection, sql: string): Promise<string | null | undefined> {
  const [result] = await session.simple(sql);
  return result?.rows[0]?.[0];
}
