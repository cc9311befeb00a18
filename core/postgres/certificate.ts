/**
 * What is read out of a server's certificate itself, in DER (X.690, RFC 5280). The runtime's own
 * checks of names are not used: some of its versions do not know addresses.
 */

/** The hash that each signature algorithm stands for, by the bytes of its object identifier. */
const HASH_BY_ALGORITHM: Readonly<Record<string, string>> = {
  // MD5 and SHA-1 count as SHA-256 (RFC 5929, section 4.1).
  "2a864886f70d010104": "SHA-256", // md5WithRSAEncryption
  "2a864886f70d010105": "SHA-256", // sha1WithRSAEncryption
  "2a864886f70d01010b": "SHA-256", // sha256WithRSAEncryption
  "2a864886f70d01010c": "SHA-384", // sha384WithRSAEncryption
  "2a864886f70d01010d": "SHA-512", // sha512WithRSAEncryption
  "2a8648ce3d0401": "SHA-256", // ecdsa-with-SHA1
  "2a8648ce3d040302": "SHA-256", // ecdsa-with-SHA256
  "2a8648ce3d040303": "SHA-384", // ecdsa-with-SHA384
  "2a8648ce3d040304": "SHA-512", // ecdsa-with-SHA512
};
const COMMON_NAME = "550403";
const ALTERNATIVE_NAMES = "551d11";

/**
 * The channel binding `tls-server-end-point` (RFC 5929): the certificate's hash by the hash
 * function of its own signature.
 *
 * @returns undefined where the signature's algorithm does not name a hash function
 */
export async function certificateHash(certificate: Uint8Array): Promise<Uint8Array | undefined> {
  const [outer] = elements(certificate);
  const [, algorithm] = elements(outer?.body);
  const [identifier] = elements(algorithm?.body);
  const hash = HASH_BY_ALGORITHM[hex(identifier?.body)];
  if (hash === undefined) return undefined;
  return new Uint8Array(await crypto.subtle.digest(hash, new Uint8Array(certificate)));
}

/**
 * Whether a certificate is for a host, by libpq's rules: one of its alternative names of the host's
 * kind must be the host; where it has none of that kind, its common name must be. A `*` stands for
 * the whole first part of a name.
 */
export function certificateIsFor(certificate: Uint8Array, host: string): boolean {
  const { names, addresses, commonName } = namesOf(certificate);
  const address = addressBytes(host);
  if (address !== undefined && addresses.length > 0) return addresses.includes(hex(address));
  if (address === undefined && names.length > 0) return names.some((name) => covers(name, host));
  return commonName !== undefined && covers(commonName, host);
}

/** The hosts that a certificate names, for messages. */
export function certificateHosts(certificate: Uint8Array): string {
  const { names, addresses, commonName } = namesOf(certificate);
  const all = [...names, ...addresses.map(addressText)];
  if (all.length === 0 && commonName !== undefined) all.push(commonName);
  return all.map((name) => `"${name}"`).join(", ") || "no host";
}

interface Names {
  readonly names: string[];
  /** In hexadecimal digits. */
  readonly addresses: string[];
  readonly commonName: string | undefined;
}

function namesOf(certificate: Uint8Array): Names {
  const [outer] = elements(certificate);
  const [signed] = elements(outer?.body);
  const parts = elements(signed?.body);
  // The version, which has the tag [0], may be left out; the subject is the fifth after it.
  const subject = parts[parts[0]?.tag === 0xa0 ? 5 : 4];
  let commonName: string | undefined;
  for (const attribute of elements(subject?.body).flatMap((set) => elements(set.body))) {
    const [type, value] = elements(attribute.body);
    if (hex(type?.body) === COMMON_NAME) commonName ??= latin(value?.body);
  }
  const names: string[] = [];
  const addresses: string[] = [];
  const [extensions] = elements(parts.find((part) => part.tag === 0xa3)?.body);
  for (const extension of elements(extensions?.body)) {
    const fields = elements(extension.body);
    if (hex(fields[0]?.body) !== ALTERNATIVE_NAMES) continue;
    const [list] = elements(fields.at(-1)?.body);
    for (const { tag, body } of elements(list?.body)) {
      if (tag === 0x82) names.push(latin(body)); // dNSName
      if (tag === 0x87) addresses.push(hex(body)); // iPAddress
    }
  }
  return { names, addresses, commonName };
}

function covers(pattern: string, host: string): boolean {
  const wanted = host.toLowerCase();
  const given = pattern.toLowerCase();
  if (given === wanted) return true;
  const dot = wanted.indexOf(".");
  return given.startsWith("*.") && given.length > 2 && dot > 0 &&
    wanted.slice(dot) === given.slice(1);
}

/** An address in the form that certificates hold; undefined for a name. */
function addressBytes(host: string): Uint8Array | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host)?.slice(1).map(Number);
  if (four?.every((byte) => byte < 256)) return Uint8Array.from(four);
  if (!host.includes(":")) return undefined;
  // The last two groups may be written as an address of four bytes.
  const groups = host.replace(/%.*$/, "").replace(/[\d.]+$/, (tail) => {
    const last = tail.includes(".") ? addressBytes(tail) : undefined;
    return last === undefined ? tail : hex(last).replace(/^(....)/, "$1:");
  });
  const [head = "", tail] = groups.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(Math.max(0, 8 - front.length - back.length)).fill("0");
  const all = [...front, ...(tail === undefined ? [] : zeros), ...back];
  return Uint8Array.from(all.flatMap((group) => {
    const value = parseInt(group, 16);
    return [value >> 8, value & 0xff];
  }));
}

function addressText(digits: string): string {
  return digits.length === 8
    ? (digits.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).join(".")
    : (digits.match(/.{4}/g) ?? []).map((group) => parseInt(group, 16).toString(16)).join(":");
}

interface Element {
  readonly tag: number;
  readonly body: Uint8Array;
}

/** The elements that follow one another in a body; those that can be read, if it is cut off. */
function elements(bytes: Uint8Array = new Uint8Array()): Element[] {
  const found: Element[] = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1] ?? 0;
    let start = at + 2;
    let length = first;
    if (first > 0x7f) {
      length = 0;
      for (let left = first & 0x7f; left > 0; left--) length = length * 256 + (bytes[start++] ?? 0);
    }
    if (start + length > bytes.length) break;
    found.push({ tag, body: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return found;
}

function hex(bytes: Uint8Array = new Uint8Array()): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function latin(bytes: Uint8Array = new Uint8Array()): string {
  return String.fromCharCode(...bytes);
}
