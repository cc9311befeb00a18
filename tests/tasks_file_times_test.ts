import assert from "assert";
import { join } from "node:path";
import { setFileTimes } from "../tasks/file_times.ts";

const TIME = Date.parse("2026-01-31");

/** An ELF file without sections, and what `deno compile` appends to it. */
function program(appended: string): Uint8Array {
  const header = new DataView(new ArrayBuffer(64));
  header.setUint32(0, 0x7f454c46);
  header.setUint16(4, 0x0201);
  header.setBigUint64(40, 64n, true);
  return new Uint8Array([
    ...new Uint8Array(header.buffer),
    ...new TextEncoder().encode(`d3n0l4nd${appended}`),
  ]);
}

async function withTimes(bytes: Uint8Array, time = TIME): Promise<string> {
  const directory = await Deno.makeTempDir();
  try {
    const path = join(directory, "program");
    await Deno.writeFile(path, bytes);
    await setFileTimes(path, time);
    return new TextDecoder().decode((await Deno.readFile(path)).subarray(72));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const OLD = '"t":1795756946299';
const NEW = `"t":${TIME}`;

Deno.test("setFileTimes: every embedded file gets the time, whatever else is told of it", async () => {
  const listed = (time: string) =>
    `[{"n":"a","o":[1,2],${time}},{"n":"b","o":[3,40],"u":true,${time}},` +
    `{"n":"c","o":[5,6],"u":true,"c":[7,8],${time},"x":true},{"n":"é","o":[1,1],${time}}]`;
  assert.equal(await withTimes(program(listed(OLD))), listed(NEW));
});

Deno.test("setFileTimes: what is in the files stays, and so do programs of another form", async () => {
  const text = `const a = {${OLD}}; const b = {"o":[1],${OLD}};`;
  assert.equal(await withTimes(program(text)), text);
  const other = new TextEncoder().encode(`${"x".repeat(72)}[{"o":[1,2],${OLD}}]`);
  assert.equal(await withTimes(other), `[{"o":[1,2],${OLD}}]`);
});

Deno.test("setFileTimes: a time of another length is refused", async () => {
  await assert.rejects(withTimes(program(`{"o":[1,2],${OLD}}`), 0), /The time 0 has not 13 digits/);
});
