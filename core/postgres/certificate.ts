/** What is read out of a server's certificate itself. */

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

/**
 * The channel binding `tls-server-end-point` (RFC 5929): the certificate's hash by the hash function
 * of its own signature.
 *
 * @param certificate in DER
 * @returns undefined where the signature algorithm does not name a hash function
 */
export async function certificateHash(certificate: Uint8Array): Promise<Uint8Array | undefined> {
  const algorithm = signatureAlgorithm(certificate);
  const hash = algorithm === undefined ? undefined : HASH_BY_ALGORITHM[algorithm];
  if (hash === undefined) return undefined;
  return new Uint8Array(await crypto.subtle.digest(hash, new Uint8Array(certificate)));
}

/** The object identifier of the signature's algorithm, in hexadecimal digits. */
function signatureAlgorithm(certificate: Uint8Array): string | undefined {
  // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, … }, … }
  const outer = element(certificate, 0);
  const signed = outer && element(certificate, outer.start);
  const algorithm = signed && element(certificate, signed.end);
  const identifier = algorithm && element(certificate, algorithm.start);
  if (identifier === undefined || certificate[algorithm?.start ?? 0] !== 0x06) return undefined;
  return [...certificate.subarray(identifier.start, identifier.end)]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Where the contents of the DER element at `at` lie. */
function element(
  bytes: Uint8Array,
  at: number,
): { readonly start: number; readonly end: number } | undefined {
  const first = bytes[at + 1];
  if (first === undefined) return undefined;
  let start = at + 2;
  let length = first;
  if (first > 0x7f) {
    length = 0;
    for (let left = first & 0x7f; left > 0; left--) length = length * 256 + (bytes[start++] ?? 0);
  }
  const end = start + length;
  return end <= bytes.length ? { start, end } : undefined;
}
