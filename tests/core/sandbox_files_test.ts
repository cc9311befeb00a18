/** Files that a plugin may reach: what it has declared, followed to where it leads. */

import assert from "assert";
import { join } from "node:path";
import { systemHost } from "../../core/host.ts";
import { type Files, OperationError } from "../../core/plugin.ts";
import { type FileLimits, limitFiles } from "../../core/sandbox/files.ts";
import { type Entry, withFolder } from "./plugin_folder.ts";

const TREE: Readonly<Record<string, Entry>> = {
  "data/a.txt": "a",
  "data/deep/b.txt": "b",
  "secret/key.txt": "key",
  "data/out": { link: "../secret" },
  "data/out.txt": { link: "../secret/key.txt" },
  "data/in.txt": { link: "deep/b.txt" },
  "data/dangling": { link: "nowhere" },
  "data-beside/c.txt": "c",
  "plugins/p.ts": "",
  ".env": "DB_PASSWORD=x",
};

/** Runs `work` with the limited files of a directory; declared paths are relative to it. */
async function withFiles(
  { read = [], write = [], ...limits }: {
    readonly read?: readonly string[];
    readonly write?: readonly string[];
    readonly locked?: readonly string[];
    readonly hidden?: readonly string[];
  },
  work: (files: Files, at: (path: string) => string) => Promise<void>,
): Promise<void> {
  await withFolder(TREE, async ({ path }) => {
    const at = (name: string) => name.startsWith("/") ? name : join(path, name);
    const given: FileLimits = {
      name: "reader",
      permissions: { read: read.map(at), write: write.map(at) },
      locked: (limits.locked ?? []).map(at),
      hidden: (limits.hidden ?? []).map(at),
    };
    await work(limitFiles(systemHost().files, given), at);
  });
}

async function refusal(work: Promise<unknown>): Promise<OperationError> {
  const error = await work.then(() => undefined, (reason: unknown) => reason);
  assert.ok(error instanceof OperationError, `it was not refused: ${error}`);
  return error;
}

const text = async (files: Files, path: string) =>
  new TextDecoder().decode((await files.readAll([path]))[0]);

Deno.test("sandbox files: nothing is reached when nothing is declared, by any way", async () => {
  await withFiles({}, async (files, at) => {
    const path = at("data/a.txt");
    for (
      const work of [
        () => files.list(at("data")),
        () => files.readAll([path]),
        () => files.readSmall([path], 10),
        () => files.stream(path),
        () => files.create(at("data/new"), "x"),
        () => files.inspect(path),
        () => files.inspect("/etc/passwd"),
      ]
    ) {
      const error = await refusal(work());
      assert.deepEqual([error.kind, error.code], ["refused", "not_declared"]);
      assert.match(error.message, /plugin reader does not declare that it (reads|writes) it/);
      assert.match(error.hint ?? "", /permissions\.(read|write)/);
    }
    assert.equal(await systemHost().files.readText(at("data/new")), undefined);
  });
});

Deno.test("sandbox files: what is declared is read, links inside it included", async () => {
  await withFiles({ read: ["data"] }, async (files, at) => {
    assert.equal(await text(files, at("data/a.txt")), "a");
    assert.equal(await text(files, at("data/in.txt")), "b");
    assert.equal(await text(files, at("data/deep/../a.txt")), "a");
    assert.equal((await files.inspect(at("data/in.txt")))?.realPath, at("data/deep/b.txt"));
    assert.equal(await files.inspect(at("data/none.txt")), undefined);
    assert.equal((await refusal(files.readAll([at("data/none.txt")]))).code, "not_found");
    assert.equal(await new Response(await files.stream(at("data/a.txt"))).text(), "a");
    assert.deepEqual((await files.list(at("data/deep"))).map(({ name }) => name), ["b.txt"]);
    assert.deepEqual(await files.readSmall([at("data/a.txt")], 0), [null]);
  });
});

Deno.test("sandbox files: a link that leads outside is refused, and where it leads is told", async () => {
  await withFiles({ read: ["data"], write: ["data"] }, async (files, at) => {
    for (const path of ["data/out.txt", "data/out/key.txt"]) {
      const error = await refusal(files.readAll([at(path)]));
      assert.equal(error.code, "not_declared");
      assert.ok(error.message.includes(`it leads to "${at("secret/key.txt")}"`), error.message);
    }
    assert.equal((await refusal(files.list(at("data/out")))).code, "not_declared");
    assert.equal((await refusal(files.inspect(at("data/out")))).code, "not_declared");
    assert.equal((await refusal(files.create(at("data/out/new"), "x"))).code, "not_declared");
    assert.equal((await refusal(files.create(at("data/dangling"), "x"))).code, "forbidden");
    assert.equal((await refusal(files.create(at("data/dangling/x"), "x"))).code, "forbidden");
    assert.deepEqual((await systemHost().files.list(at("secret"))).length, 1);
  });
});

Deno.test("sandbox files: no other spelling of a path leads outside", async () => {
  await withFiles({ read: ["data"] }, async (files, at) => {
    for (
      const path of [
        at("data/../secret/key.txt"),
        at("data//..//secret/key.txt"),
        at("data-beside/c.txt"),
        at("dat"),
        at("."),
        `${at("data")}/./../.env`,
        "secret/key.txt",
      ]
    ) assert.equal((await refusal(files.readAll([path]))).code, "not_declared", path);
    assert.equal((await refusal(files.readAll([`${at("data/a.txt")}\0`]))).code, "forbidden");
    // A name is no address: nothing in it is decoded.
    assert.equal(
      (await refusal(files.readAll([at("data/%2e%2e/secret/key.txt")]))).code,
      "not_found",
    );
  });
});

Deno.test("sandbox files: reading is not writing, and one bad path spoils the rest", async () => {
  await withFiles({ read: ["data"] }, async (files, at) => {
    assert.equal((await refusal(files.create(at("data/new"), "x"))).code, "not_declared");
    const both = files.readAll([at("data/a.txt"), at("secret/key.txt")]);
    assert.equal((await refusal(both)).code, "not_declared");
  });
  await withFiles({ write: ["data/new", "made"] }, async (files, at) => {
    await files.create(at("data/new/deep/x.txt"), "x");
    await files.create(at("made"), "y");
    assert.equal(await text(files, at("data/new/deep/x.txt")), "x");
    assert.equal((await refusal(files.create(at("made"), "z"))).code, "already_exists");
    assert.equal((await refusal(files.readAll([at("data/a.txt")]))).code, "not_declared");
  });
});

Deno.test("sandbox files: a grant of everything leaves out what is locked, hidden or the system's", async () => {
  const limits = { read: ["/"], write: ["/"], locked: ["plugins"], hidden: [".env", "secret"] };
  await withFiles(limits, async (files, at) => {
    assert.equal(await text(files, at("data/a.txt")), "a");
    for (const path of [".env", "secret/key.txt", "data/out.txt", "data/out/key.txt"]) {
      const error = await refusal(files.readAll([at(path)]));
      assert.equal(error.code, "forbidden");
      assert.match(error.message, /it holds secrets, which no plugin reads$/);
    }
    for (const path of ["plugins/evil.ts", "plugins", "plugins/SHA256SUMS", ".env", "secret/x"]) {
      const error = await refusal(files.create(at(path), "x"));
      assert.equal(error.code, "forbidden");
      assert.match(error.message, /no plugin writes where plugins, their cache, the program/);
    }
    for (
      const path of [
        "/proc/self/environ",
        "/proc/self/mem",
        `/proc/${Deno.pid}/cmdline`,
        "/proc/self/task",
        "/dev/null",
        "/sys/kernel",
      ]
    ) {
      const error = await refusal(files.readAll([path]));
      assert.equal(error.code, "forbidden", path);
      assert.match(error.message, /no plugin reaches what the system keeps there$/);
    }
  });
});
