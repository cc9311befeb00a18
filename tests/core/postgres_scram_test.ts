import assert from "assert";
import { scramClient, ScramFailure } from "../../core/postgres/scram.ts";

const NONCE = "rOprNGfwEbeRWgbNEkqO";
const CHALLENGE =
  "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

Deno.test("scramClient: proves and checks by the rules of RFC 7677", async () => {
  // The RFC's example names the user within SCRAM; PostgreSQL leaves that name empty, so the
  // proofs here were computed from the RFC's salt and nonces with the empty name.
  const client = scramClient("pencil", { binding: "none", nonce: NONCE });
  assert.equal(client.first, `n,,n=,r=${NONCE}`);
  const final = await client.respond(CHALLENGE);
  const expected = await reference("pencil", { header: "n,,", challenge: CHALLENGE });
  assert.equal(final, expected.final);
  client.verify(`v=${expected.signature}`);
});

Deno.test("scramClient: a wrong or missing signature, and a refusal, are failures", async () => {
  const client = scramClient("pencil", { binding: "not-offered", nonce: NONCE });
  assert.ok(client.first.startsWith("y,,"));
  await client.respond(CHALLENGE);
  for (const words of ["", "v=", "v=AAAA", `v=${btoa("x".repeat(32))}`, "v=%%%"]) {
    assert.throws(() => client.verify(words), ScramFailure, words);
  }
  assert.throws(() => client.verify("e=invalid-proof"), /the server ends the login: invalid-proof/);
});

Deno.test("scramClient: the binding is part of what is signed", async () => {
  const data = Uint8Array.of(1, 2, 3);
  const client = scramClient("pencil", { binding: { data }, nonce: NONCE });
  assert.equal(client.first, `p=tls-server-end-point,,n=,r=${NONCE}`);
  const final = await client.respond(CHALLENGE);
  assert.ok(final.startsWith(`c=${btoa("p=tls-server-end-point,,\x01\x02\x03")},r=`));
});

Deno.test("scramClient: passwords are prepared as libpq does", async () => {
  const proof = async (password: string) => {
    const client = scramClient(password, { binding: "none", nonce: NONCE });
    return await client.respond(CHALLENGE);
  };
  const same: [string, string][] = [
    ["I\u00adX", "IX"], // a soft hyphen becomes nothing
    ["\u2168", "IX"], // a Roman numeral becomes letters
    ["a\u00a0b", "a b"], // a space of another kind becomes a space
    ["e\u0301", "\u00e9"], // composed
  ];
  for (const [one, other] of same) {
    assert.equal(await proof(one), await proof(other), JSON.stringify(one));
  }
  const different: [string, string][] = [
    ["user", "USER"],
    ["\u2168\u0007", "IX\u0007"], // forbidden: stays as it is
    ["\u2168\ue000", "IX\ue000"],
  ];
  for (const [one, other] of different) {
    assert.notEqual(await proof(one), await proof(other), JSON.stringify(one));
  }
});

/** The exchange computed another way: by node's own functions, straight from the RFC's formulas. */
async function reference(
  password: string,
  { header, challenge }: { readonly header: string; readonly challenge: string },
): Promise<{ readonly final: string; readonly signature: string }> {
  const { createHash, createHmac, pbkdf2Sync } = await import("node:crypto");
  const { Buffer } = await import("node:buffer");
  const [, nonce = "", salt = "", iterations = ""] = /^r=(.*),s=(.*),i=(.*)$/.exec(challenge) ?? [];
  const salted = pbkdf2Sync(
    password,
    Buffer.from(salt, "base64"),
    Number(iterations),
    32,
    "sha256",
  );
  const hmac = (key: Uint8Array, data: string) => createHmac("sha256", key).update(data).digest();
  const withoutProof = `c=${Buffer.from(header).toString("base64")},r=${nonce}`;
  const signed = `n=,r=${NONCE},${challenge},${withoutProof}`;
  const clientKey = hmac(salted, "Client Key");
  const storedKey = createHash("sha256").update(clientKey).digest();
  const clientSignature = hmac(storedKey, signed);
  const proof = clientKey.map((byte, index) => byte ^ (clientSignature[index] ?? 0));
  return {
    final: `${withoutProof},p=${Buffer.from(proof).toString("base64")}`,
    signature: hmac(hmac(salted, "Server Key"), signed).toString("base64"),
  };
}
