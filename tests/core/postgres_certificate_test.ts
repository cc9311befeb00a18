import assert from "assert";
import {
  certificateHash,
  certificateHosts,
  certificateIsFor,
} from "../../core/postgres/certificate.ts";

/** An element of DER. */
function der(tag: number, ...parts: (Uint8Array | string)[]): Uint8Array {
  const body = parts.flatMap((part) =>
    typeof part === "string" ? [...new TextEncoder().encode(part)] : [...part]
  );
  const length = body.length < 128
    ? [body.length]
    : body.length < 256
    ? [0x81, body.length]
    : [0x82, body.length >> 8, body.length & 255];
  return Uint8Array.of(tag, ...length, ...body);
}

const SEQUENCE = 0x30;
const OID = {
  commonName: Uint8Array.of(0x55, 4, 3),
  organization: Uint8Array.of(0x55, 4, 10),
  alternativeNames: Uint8Array.of(0x55, 0x1d, 0x11),
  keyUsage: Uint8Array.of(0x55, 0x1d, 0x0f),
  sha384WithRsa: Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0c),
  ed25519: Uint8Array.of(0x2b, 0x65, 0x70),
};

interface Options {
  readonly commonName?: string;
  readonly names?: readonly string[];
  readonly addresses?: readonly (readonly number[])[];
  /** Whether the version is written down, as all but the oldest certificates do. */
  readonly versioned?: boolean;
  readonly algorithm?: Uint8Array;
}

/** The parts of a certificate that are looked at, in their places. */
function certificate(options: Options): Uint8Array {
  const { commonName, names, addresses = [], versioned = true } = options;
  const attribute = (type: Uint8Array, value: string) =>
    der(0x31, der(SEQUENCE, der(0x06, type), der(0x0c, value)));
  const alternatives = [
    ...(names ?? []).map((name) => der(0x82, name)),
    der(0x81, "mail@host.example"),
    ...addresses.map((address) => der(0x87, Uint8Array.from(address))),
  ];
  const algorithm = der(SEQUENCE, der(0x06, options.algorithm ?? OID.sha384WithRsa), der(0x05));
  const extensions = [
    der(SEQUENCE, der(0x06, OID.keyUsage), der(0x01, "\x7f"), der(0x04, der(0x03, "x"))),
    der(
      SEQUENCE,
      der(0x06, OID.alternativeNames),
      der(0x01, "\x7f"),
      der(0x04, der(SEQUENCE, ...alternatives)),
    ),
  ];
  const signed = der(
    SEQUENCE,
    ...(versioned ? [der(0xa0, der(0x02, "\x02"))] : []),
    der(0x02, "\x01"),
    algorithm,
    der(SEQUENCE, attribute(OID.commonName, "issuer.example")),
    der(SEQUENCE, der(0x17, "240101000000Z"), der(0x17, "340101000000Z")),
    der(
      SEQUENCE,
      attribute(OID.organization, "org.example"),
      ...(commonName === undefined ? [] : [attribute(OID.commonName, commonName)]),
    ),
    der(SEQUENCE, der(0x03, "k".repeat(200))),
    ...(names === undefined && addresses.length === 0
      ? []
      : [der(0xa3, der(SEQUENCE, ...extensions))]),
  );
  return der(SEQUENCE, signed, algorithm, der(0x03, "signature"));
}

Deno.test("certificateIsFor: a name must be one of the alternative names", () => {
  const given = certificate({ commonName: "cn.example", names: ["db.example", "*.wild.example"] });
  for (const host of ["db.example", "DB.Example", "a.wild.example", "b-1.WILD.example"]) {
    assert.equal(certificateIsFor(given, host), true, host);
  }
  for (
    const host of [
      "example",
      "xdb.example",
      "wild.example",
      ".wild.example",
      "a.b.wild.example",
      "cn.example",
      "org.example",
      "issuer.example",
      "mail@host.example",
      "*.wild.example.",
    ]
  ) {
    assert.equal(certificateIsFor(given, host), false, host);
  }
});

Deno.test("certificateIsFor: a star stands for a whole first part only", () => {
  const given = certificate({ names: ["*", "*.", "f*.example", "a.*.example"] });
  for (const host of ["localhost", "foo.example", "a.b.example", "x."]) {
    assert.equal(certificateIsFor(given, host), false, host);
  }
});

Deno.test("certificateIsFor: the common name counts where there are no names of the kind", () => {
  for (const versioned of [true, false]) {
    const plain = certificate({ commonName: "db.example", versioned });
    assert.equal(certificateIsFor(plain, "db.example"), true);
    assert.equal(certificateIsFor(plain, "org.example"), false);
    const addressed = certificate({
      commonName: "db.example",
      addresses: [[10, 0, 0, 1]],
      versioned,
    });
    assert.equal(certificateIsFor(addressed, "db.example"), true);
    assert.equal(certificateIsFor(addressed, "10.0.0.2"), false);
  }
  assert.equal(certificateIsFor(certificate({}), "db.example"), false);
});

Deno.test("certificateIsFor: addresses are compared as addresses, however they are written", () => {
  const six = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
  const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3];
  const loopback = [...Array<number>(15).fill(0), 1];
  const given = certificate({
    names: ["127.0.0.2"],
    addresses: [[127, 0, 0, 1], six, mapped, loopback],
  });
  for (
    const host of [
      "127.0.0.1",
      "2001:db8::1",
      "2001:DB8:0:0:0:0:0:1",
      "::ffff:10.1.2.3",
      "::ffff:a01:203",
      "::1",
    ]
  ) {
    assert.equal(certificateIsFor(given, host), true, host);
  }
  for (
    const host of ["127.0.0.2", "127.0.0.11", "2001:db8::2", "::", "::2", "383.0.0.1", "fe80::1%lo"]
  ) {
    assert.equal(certificateIsFor(given, host), false, host);
  }
});

Deno.test("certificateHosts: tells the hosts a certificate names", () => {
  const given = certificate({
    commonName: "cn.example",
    names: ["a.example"],
    addresses: [[10, 0, 0, 1]],
  });
  assert.equal(certificateHosts(given), '"a.example", "10.0.0.1"');
  assert.equal(certificateHosts(certificate({ commonName: "cn.example" })), '"cn.example"');
  assert.equal(certificateHosts(certificate({})), "no host");
});

Deno.test("certificateHash: follows the signature's hash, and is undefined where it has none", async () => {
  const given = certificate({});
  const expected = new Uint8Array(await crypto.subtle.digest("SHA-384", new Uint8Array(given)));
  assert.deepEqual(await certificateHash(given), expected);
  assert.equal(await certificateHash(certificate({ algorithm: OID.ed25519 })), undefined);
});

Deno.test("certificateIsFor: what is no certificate is for nobody", async () => {
  for (
    const bytes of [new Uint8Array(), Uint8Array.of(0x30), Uint8Array.of(0x30, 0x82, 0xff, 0xff, 1)]
  ) {
    assert.equal(certificateIsFor(bytes, "localhost"), false);
    assert.equal(await certificateHash(bytes), undefined);
  }
});
