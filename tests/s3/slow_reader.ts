/**
 * Reads from a server through the web client, slowly and unevenly, several times at once; a program
 * of its own, so that it can run on the runtime of the compiled program. It prints the digests.
 */
import { createHash } from "node:crypto";
import { webClient } from "../../plugins/repository/http_client.ts";

const [port = "", count = ""] = Deno.args;

async function readOnce(): Promise<string> {
  const client = webClient({ connectLimit: 5000, stallLimit: 20_000 });
  const { response } = await client.handle({
    method: "GET",
    protocol: "http:",
    hostname: "127.0.0.1",
    port: Number(port),
    path: "/",
    headers: { host: "127.0.0.1" },
  });
  const hash = createHash("sha256");
  for await (const piece of response.body) {
    hash.update(piece);
    const chance = Math.random();
    if (chance < 0.1) await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
    else if (chance < 0.5) await Promise.resolve();
  }
  client.destroy();
  return hash.digest("hex");
}

const digests = await Promise.all(Array.from({ length: Number(count) }, readOnce));
await Deno.stdout.write(new TextEncoder().encode(digests.join("\n")));
Deno.exit(0);
