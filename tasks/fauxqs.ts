/**
 * An S3 server for tests, run as a program of its own: npm's fauxqs, with all it holds in memory. It
 * prints its port, and ends when its standard input does. It checks no signature and knows no
 * conditional writes.
 */
import { buildApp } from "fauxqs";

const app = buildApp({ logger: false });
const address = await app.listen({ port: 0, host: "127.0.0.1" });
const { port } = new URL(address);
Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`));
for await (const _ of Deno.stdin.readable);
Deno.exit(0);
