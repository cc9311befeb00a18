/** Root certificates, client certificates and keys: which files hold them, and whether they may be used. */
import { readFile, stat } from "node:fs/promises";
import { OperationError } from "../plugin.ts";
import type { ConnectionParameters } from "./connection_parameters.ts";

/** What a handshake is made with, as PEM text, and what of the server's certificate is checked. */
export interface TlsMaterial {
  /** Who may have issued the server's certificate; undefined when it is not checked. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Whether the certificate must be for the host's name. */
  readonly checkName: boolean;
}

/** Where systems keep the certificates they trust. */
const SYSTEM_ROOTS = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * Reads what the parameters name, by libpq's rules: `require` with root certificates checks as
 * `verify-ca` does, `sslrootcert=system` as `verify-full`.
 *
 * @throws OperationError of kind `connection` and code `tls_file` when a file cannot be used
 */
export async function readMaterial(parameters: ConnectionParameters): Promise<TlsMaterial> {
  const { sslmode, sslrootcert, sslcert, sslkey } = parameters;
  const system = sslrootcert === "system";
  const verified = sslmode === "verify-ca" || sslmode === "verify-full" || system ||
    sslmode === "require" && sslrootcert !== undefined;
  if (verified && sslrootcert === undefined) {
    throw unusable(`sslmode "${sslmode}" needs root certificates to check the server's with`, {
      hint: "Set sslrootcert to a file, or to system for the certificates this machine trusts",
    });
  }
  if (sslcert !== undefined && sslkey === undefined) {
    throw unusable(`the client certificate "${sslcert}" has no key`, { hint: "Set sslkey" });
  }
  // One after the other, so that of several that cannot be used the same one is always told.
  const ca = !verified || sslrootcert === undefined
    ? undefined
    : system
    ? await systemRoots()
    : await read("root certificate", sslrootcert);
  const cert = sslcert === undefined ? undefined : await read("client certificate", sslcert);
  const key = sslcert === undefined || sslkey === undefined ? undefined : await readKey(sslkey);
  return { ca, cert, key, checkName: sslmode === "verify-full" || system };
}

async function systemRoots(): Promise<string> {
  for (const path of SYSTEM_ROOTS) {
    try {
      return await readFile(path, "utf8");
    } catch {
      // Each system has one of them.
    }
  }
  throw unusable("this machine's root certificates are not found", {
    hint: "Install the package ca-certificates, or set sslrootcert to a file",
  });
}

async function read(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    throw unusable(
      `the ${what} "${path}" ${missing ? "does not exist" : "cannot be read"}`,
      { cause },
    );
  }
}

/** A key that others may read is refused, as libpq does. */
async function readKey(path: string): Promise<string> {
  const key = await read("client key", path);
  if (!/^-----BEGIN [A-Z ]*PRIVATE KEY-----/m.test(key)) {
    throw unusable(`the client key "${path}" is not a private key in PEM`);
  }
  const { mode, uid } = await stat(path);
  // A key of root's may be readable by its group: services get theirs that way.
  const forbidden = uid === 0 ? 0o037 : 0o077;
  if ((mode & forbidden) !== 0) {
    throw unusable(`the client key "${path}" is open to others`, {
      hint: "Close it with chmod 600, or 640 when it belongs to root",
    });
  }
  if (/^-----BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(key)) {
    throw unusable(`the client key "${path}" is protected by a passphrase`, {
      hint: "Use a key without one, closed to others",
    });
  }
  return key;
}

function unusable(
  reason: string,
  options: { readonly hint?: string; readonly cause?: unknown } = {},
): OperationError {
  return new OperationError(`Cannot set up TLS: ${reason}`, {
    kind: "connection",
    code: "tls_file",
    details: { reason, retryable: false },
    ...options,
  });
}
