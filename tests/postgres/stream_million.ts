/** Streams a million rows, in a process whose memory a test limits: PORT, then `rows` or `copy`. */
import { open } from "./wire_connection.ts";

const [port, what] = Deno.args;
await using session = await open({ host: "127.0.0.1", port: Number(port) });
const sql = `SELECT i, 'user' || i || '@example.com', md5(i::text), i * 1.5, repeat('x', 200)
  FROM generate_series(1, 1000000) i`;
let [rows, bytes, parts] = [0, 0, 0];

/** Lets some time pass now and then, as a disk or terminal below does. */
async function linger(): Promise<void> {
  if (++parts % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
}

if (what === "rows") {
  for await (const part of (await session.execute(sql)).stream) {
    await linger();
    if (part.kind === "rows") rows += part.rows.length;
  }
} else {
  await session.simple("CREATE TEMP TABLE t (a int, b text, c text, d numeric, e text)");
  await using source = await open({ host: "127.0.0.1", port: Number(port) });
  const { stream } = await source.copyOut(`COPY (${sql}) TO STDOUT`);
  const data = stream.pipeThrough(
    new TransformStream({
      async transform(piece, controller) {
        await linger();
        bytes += piece.length;
        controller.enqueue(piece);
      },
    }),
  );
  rows = (await session.copyIn("COPY t FROM STDIN", { data })).count;
}
console.log(JSON.stringify({ rows, bytes }));
