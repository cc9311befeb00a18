/** Certificates for the tests, made by the `openssl` program when they run. */

import { join } from "node:path";
import { skipWhenMissing } from "../skip.ts";

/** A certificate with its key, as PEM text and as files. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** What a certificate is for. */
export interface CertificateOptions {
  readonly commonName?: string;
  /** As openssl writes them, such as `DNS:localhost`. */
  readonly alternativeNames?: readonly string[];
  /** Days from now; by default 2. */
  readonly days?: number;
  /** The hash of the signature; by default `sha256`. */
  readonly hash?: string;
}

/** A certificate authority of one test. */
export interface Authority extends AsyncDisposable {
  /** The directory of its files, which everybody may read. */
  readonly directory: string;
  readonly certFile: string;
  issue(options: CertificateOptions): Promise<TestCertificate>;
}

/** The `ignore` of a test that makes certificates. */
export async function skipWithoutOpenssl(what: string): Promise<boolean> {
  const found = await new Deno.Command("openssl", { args: ["version"], stdout: "null" }).output()
    .then(({ success }) => success, () => false);
  return skipWhenMissing(what, found ? undefined : "the program openssl is not installed");
}

/** Makes an authority; its files go when it is disposed of. */
export async function makeAuthority(): Promise<Authority> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-certificates-" });
  await Deno.chmod(directory, 0o755);
  const path = (name: string) => join(directory, name);
  await openssl(
    ["req", "-x509", ...newKey(path("ca.key")), "-out", path("ca.crt"), "-days", "2"],
    ["-subj", "/CN=Observatory test authority", "-addext", "basicConstraints=critical,CA:TRUE"],
  );
  let issued = 0;
  return {
    directory,
    certFile: path("ca.crt"),
    async issue({ commonName = "test", alternativeNames = [], days = 2, hash = "sha256" }) {
      const serial = ++issued;
      const name = `issued${serial}`;
      const [request, certFile, keyFile, extensions] = ["csr", "crt", "key", "ext"]
        .map((extension) => path(`${name}.${extension}`)) as [string, string, string, string];
      await Deno.writeTextFile(
        extensions,
        [
          "basicConstraints=CA:FALSE",
          ...(alternativeNames.length === 0
            ? []
            : [`subjectAltName=${alternativeNames.join(",")}`]),
        ].join("\n"),
      );
      await openssl(["req", ...newKey(keyFile), "-out", request, "-subj", `/CN=${commonName}`]);
      await openssl(
        ["x509", "-req", "-in", request, "-CA", path("ca.crt"), "-CAkey", path("ca.key")],
        ["-set_serial", `${serial}`, "-out", certFile, "-days", `${days}`, `-${hash}`],
        ["-extfile", extensions],
      );
      await Deno.chmod(keyFile, 0o600);
      return {
        cert: await Deno.readTextFile(certFile),
        key: await Deno.readTextFile(keyFile),
        certFile,
        keyFile,
      };
    },
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

function newKey(path: string): string[] {
  return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path];
}

async function openssl(...args: string[][]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args: args.flat() }).output();
  if (!success) throw new Error(`openssl failed: ${new TextDecoder().decode(stderr)}`);
}
