/** When and how strictly a connection is protected by TLS, with the meanings libpq gives them. */
export type SslMode = "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full";

/** One server address to try. */
export interface HostAddress {
  /** A name, an address, or a socket directory that begins with "/" or "@". */
  readonly host: string;
  /** The numeric address to connect to, so that `host` is only used for certificate checks. */
  readonly hostaddr?: string;
  readonly port: number;
  /** The password a password file holds for this host. */
  readonly password?: string;
}

/** Everything needed to reach and enter a database, already resolved from flags, URL and environment. */
export interface ConnectionParameters {
  /** Tried in order. */
  readonly hosts: readonly HostAddress[];
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly sslmode: SslMode;
  readonly sslrootcert?: string;
  readonly sslcert?: string;
  readonly sslkey?: string;
  readonly sslnegotiation?: "postgres" | "direct";
  readonly channelBinding?: "disable" | "prefer" | "require";
  readonly requireAuth?: string;
  readonly applicationName: string;
  /** Command-line options for the server process, as PGOPTIONS. */
  readonly options?: string;
  /** Seconds per host; 0 or absent leaves the choice to the client, which then waits 10 seconds. */
  readonly connectTimeout?: number;
  readonly targetSessionAttrs?:
    | "any"
    | "read-write"
    | "read-only"
    | "primary"
    | "standby"
    | "prefer-standby";
}
