/**
 * What a plugin reaches by the symbols under which the runtime keeps its own, by forged messages of
 * the host, and by values that only look like data: all in the real program.
 */

import assert from "assert";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { withFolder } from "../core/plugin_folder.ts";
import { forEachKind, type Kind, startProgram } from "../program.ts";
import { pluginOf, withPlugin } from "./sandbox_tries.ts";

/** Finds a symbol of the runtime by its name, on an object or what it is made of. */
const SYMBOL = `
function symbolOf(object, name) {
  for (let each = object; each !== null; each = Object.getPrototypeOf(each)) {
    const found = Object.getOwnPropertySymbols(each).find((symbol) => symbol.description === name);
    if (found !== undefined) return found;
  }
  throw new Error("The runtime has no symbol " + name);
}
function forge(data) {
  const event = new MessageEvent("message", { data });
  event[symbolOf(event, "[[isTrusted]]")] = true;
  EventTarget.prototype.dispatchEvent.call(globalThis, event);
}
`;

/** Runs the plugin with a terminal or a pipe as its input, in which something stands. */
async function withInput(
  kind: Kind,
  { source, terminal }: { readonly source: string; readonly terminal: boolean },
): Promise<string> {
  let written = "";
  await withFolder({ "plugins/tries.js": source }, async ({ path }) => {
    const run = await startProgram(["--json", "--plugin-dir", join(path, "plugins"), "try"], {
      kind,
      cwd: path,
      terminal,
    });
    await run.until(/begun/);
    await run.write("typed by somebody\n");
    if (!terminal) await run.endInput();
    const { code, stdout, stderr } = await run.result();
    assert.equal(code, 0, stdout + stderr);
    written = stdout;
  });
  return written;
}

forEachKind(
  "sandbox: no number of the runtime's leads to the input or the terminal",
  async (kind) => {
    const source = pluginOf({
      try: `async (ctx) => {
      ctx.log.info("begun");
      await ctx.sleep(300);
      const data = [];
      for (let rid = 0; rid < 20; rid++) {
        const stream = new ReadableStream({ pull() {} });
        stream[symbolOf(stream, "[[resourceBacking]]")] = { rid, autoClose: false };
        const read = new Response(stream).text().catch((error) => error.name);
        data.push(await Promise.race([read, ctx.sleep(200).then(() => "nothing")]));
      }
      return { data };
    }`,
    }, { more: SYMBOL });
    for (const terminal of [false, true]) {
      const written = await withInput(kind, { source, terminal });
      const data: string[] = JSON.parse(/^\{.*\}/m.exec(written)?.[0] ?? "").data;
      assert.deepEqual(data, Array(20).fill("BadResource"), written);
    }
  },
);

forEachKind("sandbox: a forged message of the host imports nothing", async (kind) => {
  await withFolder({
    "outside.mjs": 'globalThis.outside = "has run";\nexport default 1;\n',
    "secret.json": '{ "key": "s3cr3t-outside" }',
  }, async ({ path }) => {
    const { href: url } = pathToFileURL(path);
    const outside = {
      "script": `${url}/outside.mjs`,
      "data":
        `data:text/javascript,imp" + "ort x from '${url}/secret.json' with { type: 'json' };` +
        "throw new Error(JSON.stringify(x));",
      "secret": "file:///etc/passwd",
    };
    for (const [name, entry] of Object.entries(outside)) {
      // What the guest may use to prepare itself does nothing any longer.
      const source = pluginOf({
        try: `async (ctx) => {
          Reflect.get = () => ({});
          Reflect.ownKeys = () => [];
          Reflect.deleteProperty = () => true;
          Object.defineProperty = (object) => object;
          forge({ type: "start", entry: "${entry}", contract: "data:text/javascript," +
            "export class OperationError extends Error {} export class DatabaseError extends Error {}" });
          await ctx.sleep(500);
          return { data: globalThis.outside ?? "nothing" };
        }`,
      }, { more: SYMBOL });
      const { code, json, stderr } = await withPlugin(kind, { source, args: ["try"] });
      const told = JSON.stringify(json) + stderr;
      assert.doesNotMatch(told, /has run|s3cr3t-outside|root:/, name);
      assert.deepEqual([code, json.error?.code], [1, "plugin_failed"], told);
      assert.match(json.error.message, /^Plugin tries failed .*A plugin is loaded once/, told);
    }
  });
});

/**
 * Values that claim to be something of the runtime's, which the host would make of them. A claim to
 * what no runtime knows makes Deno 2.8 panic, from sources, before anything of ours could see it.
 */
const CLAIMS: Readonly<Record<string, string>> = {
  "a port": '"MessagePort"',
  "a stream": '"ReadableStream"',
  "a blob": '() => ({ type: "Blob", parts: [{ uuid: "x", size: 1 }], mimeType: "x", size: 3 })',
  "a key": '() => ({ type: "CryptoKey", keyData: null })',
  "a certificate": '() => ({ type: "X509Certificate", data: 1 })',
};

forEachKind("sandbox: what claims to be the runtime's own breaks nothing", async (kind) => {
  const source = pluginOf(
    Object.fromEntries(
      Object.values(CLAIMS).flatMap((claim, index) => {
        const value = `{ [Symbol.for("Deno.core.hostObject")]: ${claim} }`;
        return [
          [`result-${index}`, `async () => ({ data: ${value} })`],
          [`call-${index}`, `async (ctx) => ({ data: await ctx.run("config", ${value}) })`],
        ];
      }),
    ),
  );
  for (const [index, name] of Object.keys(CLAIMS).entries()) {
    for (const way of ["result", "call"]) {
      const { code, json, stderr } = await withPlugin(kind, {
        source,
        args: [`${way}-${index}`],
      });
      const told = `${name} as ${way}: ${JSON.stringify(json)} ${stderr}`;
      // Some of it this runtime does not know: then it is data.
      if (code === 0) continue;
      assert.equal(code, 1, told);
      assert.match(json.error.code, /^plugin_(failed|protocol)$/, told);
      assert.match(json.error.message, /^Plugin tries (failed|sent what cannot be read)/, told);
    }
  }
});
