/** The web client below the store, against servers that answer in every way that HTTP allows. */
import assert from "assert";
import { ConnectionLoss } from "../../plugins/repository/http_connection.ts";
import { webClient, type WebRequest } from "../../plugins/repository/http_client.ts";
import { makeAuthority, skipWithoutOpenssl } from "../postgres/tls_certificates.ts";

/** A server that answers each request with the next of the texts, and tells what it was sent. */
interface Player extends AsyncDisposable {
  readonly port: number;
  /** What each connection has sent so far. */
  readonly sent: string[];
}

/** Plays a server: each connection gets its answers, one for each request that has come. */
function play(connections: readonly (readonly string[])[], { close = true } = {}): Player {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const sent: string[] = [];
  const open = new Set<Deno.Conn>();
  const serving = (async () => {
    for (const [index, answers] of connections.entries()) {
      const connection = await listener.accept().catch(() => undefined);
      if (connection === undefined) return;
      open.add(connection);
      sent[index] = "";
      const buffer = new Uint8Array(65536);
      for (const answer of answers) {
        const count = await connection.read(buffer).catch(() => null);
        if (count === null) break;
        sent[index] += new TextDecoder("latin1").decode(buffer.subarray(0, count));
        await connection.write(Uint8Array.from(answer, (character) => character.charCodeAt(0)));
      }
      if (!close) continue;
      connection.close();
      open.delete(connection);
    }
  })();
  return {
    port: listener.addr.port,
    sent,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of open) connection.close();
      await serving;
    },
  };
}

const LIMITS = { connectLimit: 5000, stallLimit: 5000 };

function request(port: number, changes: Partial<WebRequest> = {}): WebRequest {
  return {
    method: "GET",
    protocol: "http:",
    hostname: "127.0.0.1",
    port,
    path: "/b/k",
    headers: { host: `127.0.0.1:${port}` },
    ...changes,
  };
}

async function textOf(body: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(body).text();
}

function isLoss(loss: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ConnectionLoss, String(error));
    assert.equal(error.loss, loss, error.message);
    return true;
  };
}

Deno.test("webClient: reads bodies by their length, in chunks, and to the end", async () => {
  const cases = [
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello", "hello"],
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n",
      "hello",
    ],
    ["HTTP/1.1 200 OK\r\n\r\nhello", "hello"],
    ["HTTP/1.0 200\r\nContent-Length: 0\r\n\r\n", ""],
    ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"],
    ["\r\nHTTP/1.1 204 No Content\r\n\r\n", ""],
  ] as const;
  for (const [answer, body] of cases) {
    await using player = play([[answer]]);
    const client = webClient(LIMITS);
    const { response } = await client.handle(request(player.port));
    assert.equal(await textOf(response.body), body, answer);
    client.destroy();
  }
  await using player = play([[
    "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\nX-A: 1\r\nx-a: 2\r\n\r\n",
  ]]);
  const { response } = await webClient(LIMITS).handle(request(player.port));
  assert.deepEqual([response.statusCode, response.reason, response.headers["x-a"]], [
    200,
    "Fine",
    "1, 2",
  ]);
});

Deno.test("webClient: an answer that is cut is no answer", async () => {
  const cut = [
    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Le",
    "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "",
  ];
  for (const answer of cut) {
    await using player = play([[answer]]);
    const client = webClient(LIMITS);
    await assert.rejects(async () => {
      const { response } = await client.handle(request(player.port));
      await textOf(response.body);
    }, isLoss("lost"));
    client.destroy();
  }
});

Deno.test("webClient: a connection serves one request after the other", async () => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  await using player = play([[answer, answer, answer]]);
  const client = webClient(LIMITS);
  for (let count = 0; count < 3; count++) {
    const { response } = await client.handle(request(player.port));
    assert.equal(await textOf(response.body), "ok");
  }
  assert.equal(player.sent.length, 1);
  client.destroy();
});

Deno.test("webClient: a connection that the server closes is not used again", async () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokunasked",
  ];
  await using player = play([...answers, ""].map((answer) => [answer]));
  const client = webClient(LIMITS);
  for (const _ of answers) {
    const { response } = await client.handle(request(player.port));
    assert.equal(await textOf(response.body), "ok");
    // The end of the connection comes a moment later.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(player.sent.length, answers.length);
  client.destroy();
});

Deno.test("webClient: what the server answers before it has read all is the answer", async () => {
  const refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
  await using player = play([[refusal]], { close: false });
  const client = webClient(LIMITS);
  const total = 50_000_000;
  let left = total;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      left -= 50_000;
      controller.enqueue(new Uint8Array(50_000));
      if (left === 0) controller.close();
    },
  });
  const headers = { host: "x", "content-length": String(total) };
  const { response } = await client.handle(request(player.port, { method: "PUT", headers, body }));
  assert.equal(response.statusCode, 403);
  assert.equal(await textOf(response.body), "no");
  assert.ok(left > 0, "all of it was sent");
  client.destroy();
});

Deno.test("webClient: sends texts, bytes and nothing as they are", async () => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  await using player = play([[answer], [answer], [answer]]);
  for (const body of ["grüße", new TextEncoder().encode("grüße"), undefined]) {
    const client = webClient(LIMITS);
    await client.handle(request(player.port, {
      method: "PUT",
      query: { "x-id": "PutObject", "uploads": "", "none": null, "a b": ["1*", "ü"] },
      body,
    }));
    client.destroy();
  }
  const head = `PUT /b/k?x-id=PutObject&uploads=&none&a%20b=1%2A&a%20b=%C3%BC HTTP/1.1\r\n` +
    `host: 127.0.0.1:${player.port}\r\n\r\n`;
  assert.ok(player.sent[0]?.startsWith(head), String(player.sent[0]));
  assert.equal(player.sent[2], head);
});

Deno.test("webClient: no header smuggles another one in", async () => {
  const client = webClient(LIMITS);
  await using player = play([]);
  for (
    const changes of [
      { headers: { host: "x", "x-amz-meta-a": "1\r\nx-evil: 1" } },
      { headers: { host: "x", "x-amz-meta-a": "1\nx" } },
      { headers: { host: "x", "x-amz-meta-a": "ü€" } },
      { path: "/b/k HTTP/1.1\r\nx-evil: 1" },
    ]
  ) {
    await assert.rejects(client.handle(request(player.port, changes)), /holds what no header may/);
  }
  client.destroy();
});

Deno.test("webClient: a server that keeps silent is given up", async () => {
  await using silent = play([[]], { close: false });
  await using stops = play([["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"]], { close: false });
  const client = webClient({ ...LIMITS, stallLimit: 100 });
  await assert.rejects(client.handle(request(silent.port)), isLoss("stalled"));
  const { response } = await client.handle(request(stops.port));
  await assert.rejects(textOf(response.body), isLoss("stalled"));
});

Deno.test("webClient: a slow reader is no silent server", async () => {
  await using player = play([["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]]);
  const client = webClient({ ...LIMITS, stallLimit: 50 });
  const { response } = await client.handle(request(player.port));
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal(await textOf(response.body), "hello");
  client.destroy();
});

Deno.test("webClient: tells what keeps it from a server", async () => {
  const client = webClient({ ...LIMITS, connectLimit: 300 });
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(client.handle(request(port)), isLoss("refused"));
  await assert.rejects(
    client.handle(request(port, { hostname: "no-such-host.invalid" })),
    isLoss("unknown_host"),
  );
});

Deno.test("webClient: an abort ends a request at any time, with its reason", async () => {
  await using player = play([[], ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"]], {
    close: false,
  });
  const client = webClient(LIMITS);
  const waiting = new AbortController();
  setTimeout(() => waiting.abort(new Error("enough")), 30);
  await assert.rejects(
    client.handle(request(player.port), { abortSignal: waiting.signal }),
    /enough/,
  );
  const reading = new AbortController();
  const { response } = await client.handle(request(player.port), { abortSignal: reading.signal });
  setTimeout(() => reading.abort(new Error("enough")), 30);
  await assert.rejects(textOf(response.body), /enough/);
  await assert.rejects(
    client.handle(request(player.port), { abortSignal: AbortSignal.abort(new Error("before")) }),
    /before/,
  );
});

Deno.test({
  name: "webClient: trusts the certificates that it is told to trust, for their hosts only",
  ignore: await skipWithoutOpenssl("webClient with TLS"),
  async fn() {
    await using authority = await makeAuthority();
    const { cert, key } = await authority.issue({ alternativeNames: ["DNS:localhost"] });
    const trusted = await Deno.readTextFile(authority.certFile);
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, cert, key, onListen: () => {} },
      () => new Response("no", { status: 403 }),
    );
    const { port } = server.addr;
    const ask = async (hostname: string, authorities?: string) => {
      const client = webClient({ ...LIMITS, authorities });
      try {
        const { response } = await client.handle(
          request(port, { protocol: "https:", hostname, headers: { host: hostname } }),
        );
        await textOf(response.body);
        return response.statusCode;
      } finally {
        client.destroy();
      }
    };
    assert.equal(await ask("localhost", trusted), 403);
    await assert.rejects(ask("localhost"), isLoss("untrusted"));
    await assert.rejects(ask("127.0.0.1", trusted), isLoss("untrusted"));
  },
});
