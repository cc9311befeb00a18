/** Sessions of the product's own client, for the tests of it. */

import { connect, type ConnectOptions } from "../../core/postgres/connect.ts";
import type { Connection } from "../../core/postgres/connection.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import type { Dialer, Duplex } from "../../core/postgres/transport.ts";

/** The machine's sockets. */
export const dialer: Dialer = {
  tcp: (hostname, port) => Deno.connect({ hostname, port }),
  unix: (path) => Deno.connect({ transport: "unix", path }),
};

/** A server, or a database of one. */
export interface Place {
  readonly host: string;
  readonly port: number;
  /** The database; by default `postgres`. */
  readonly name?: string;
}

/** Parameters for a server or a database of one, with changes. */
export function parametersFor(
  place: Place,
  changes: Partial<ConnectionParameters> = {},
): ConnectionParameters {
  return {
    hosts: [{ host: place.host, port: place.port }],
    database: place.name ?? "postgres",
    user: "postgres",
    sslmode: "disable",
    applicationName: "observatory-tests",
    ...changes,
  };
}

/** Opens a session. */
export function open(
  place: Place,
  changes: Partial<ConnectionParameters> = {},
  options: Partial<ConnectOptions> = {},
): Promise<Connection> {
  return connect(parametersFor(place, changes), { dialer, ...options });
}

/** What a faulty transport does. */
export interface Faults {
  /** The most bytes that one read gives. */
  readonly readBytes?: number;
  /** The most bytes that one write takes. */
  readonly writeBytes?: number;
  /** Sees every piece that is written. */
  onWrite?(bytes: Uint8Array): void;
}

/** Real connections that pass bytes on in small pieces. */
export function faultyDialer(faults: Faults): Dialer {
  return {
    tcp: async (hostname, port) => faulty(await dialer.tcp(hostname, port), faults),
    unix: async (path) => faulty(await dialer.unix(path), faults),
  };
}

function faulty(below: Duplex, faults: Faults): Duplex {
  const { readBytes = Infinity, writeBytes = Infinity } = faults;
  return {
    read: (into) => below.read(into.subarray(0, Math.min(into.length, readBytes))),
    write(bytes) {
      faults.onWrite?.(bytes);
      return below.write(bytes.subarray(0, Math.min(bytes.length, writeBytes)));
    },
    closeWrite: () => below.closeWrite?.() ?? Promise.resolve(),
    close: () => below.close(),
  };
}
