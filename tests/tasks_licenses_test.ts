import assert from "assert";
import { dirname, join } from "node:path";
import { licensesText, packagesOf, sourcesOf } from "../tasks/licenses.ts";

async function withFiles(
  files: Readonly<Record<string, string>>,
  work: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-licenses-" });
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(dirname(join(directory, path)), { recursive: true });
      await Deno.writeTextFile(join(directory, path), text);
    }
    await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const FILES = {
  "package.json": '{"name":"ours","version":"1.0.0","license":"MIT"}',
  "main.ts": "",
  "npm/host/one/1.0.0/package.json": '{"name":"one","version":"1.0.0","license":"MIT"}',
  "npm/host/one/1.0.0/LICENSE.md": "MIT, by one",
  "npm/host/one/1.0.0/license.js": "no text of a licence",
  "npm/host/one/1.0.0/dist/package.json": '{"name":"in","version":"3.0.0","license":"MIT"}',
  "npm/host/one/1.0.0/dist/NOTICE": "Within it is another",
  "npm/host/one/1.0.0/dist/deep/package.json": '{"type":"module"}',
  "npm/host/one/1.0.0/node_modules/none/LICENSE": "Not within it",
  "npm/host/@two/two/2.0.0/package.json":
    '{"name":"@two/two","version":"2.0.0","license":"Apache-2.0"}',
  "node_modules/free/package.json": '{"name":"free","version":"1.0.0"}',
};

Deno.test("packagesOf: finds the packages of each file, with their texts, and no more", async () => {
  await withFiles(FILES, async (directory) => {
    const files = ["one/1.0.0/dist/deep/index.js", "@two/two/2.0.0/index.js"]
      .map((file) => join("npm/host", file));
    assert.deepEqual(
      await packagesOf(["main.ts", ...files].map((file) => join(directory, file))),
      [
        { name: "@two/two", version: "2.0.0", license: "Apache-2.0", texts: [] },
        { name: "in", version: "3.0.0", license: "MIT", texts: ["Within it is another"] },
        {
          name: "one",
          version: "1.0.0",
          license: "MIT",
          texts: ["MIT, by one", "Within it is another"],
        },
      ],
    );
  });
});

Deno.test("packagesOf: a package without any terms is refused", async () => {
  await withFiles(FILES, async (directory) => {
    const file = join(directory, "node_modules/free/index.js");
    await assert.rejects(packagesOf([file]), /free 1\.0\.0 names no licence/);
  });
});

Deno.test("licensesText: a text that is shared stands there once", () => {
  const facts = { version: "1.0.0", license: "MIT" };
  const text = licensesText([
    { ...facts, name: "a", texts: ["Shared\r\n"] },
    { ...facts, name: "b", texts: ["Shared\n", "Its own"] },
    { ...facts, name: "c", license: "Apache-2.0", texts: [] },
  ], "Apache");
  assert.equal(text.match(/^Shared$/gm)?.length, 1);
  assert.match(text, /^a 1\.0\.0, b 1\.0\.0\n\nShared$/m);
  assert.match(text, /^observatory, c 1\.0\.0\n\nApache$/m);
  assert.match(text, /^ {2}c 1\.0\.0: Apache-2\.0$/m);
  assert.match(text, /Deno's runtime[^]*V8: BSD/);
});

Deno.test("licensesText: only the Apache License stands for a text that is missing", () => {
  const odd = { name: "odd", version: "1.0.0", license: "MIT", texts: [] };
  assert.throws(
    () => licensesText([odd], "Apache"),
    /odd 1\.0\.0 holds no text of its licence, MIT/,
  );
});

Deno.test("sourcesOf: paths are those from the map on", async () => {
  await withFiles(
    { "a/b.js.map": '{"sources":["../c.ts","file:///d/e.ts"]}' },
    async (directory) => {
      assert.deepEqual(await sourcesOf(join(directory, "a/b.js.map")), [
        join(directory, "c.ts"),
        "/d/e.ts",
      ]);
    },
  );
});
