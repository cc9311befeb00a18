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

function bytesOf(text: string): ReadableStream<Uint8Array> {
  return new Blob([text]).stream();
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
        () => files.stream(path, { offset: 0, length: 1 }),
        () => files.create(at("data/new"), "x"),
        () => files.create(path, "x", { replace: true }),
        () => files.save(at("data/new"), bytesOf("x")),
        () => files.rename(path, at("data/new")),
        () => files.remove(path),
        () => files.makeDirectory(at("data/new")),
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

Deno.test("sandbox files: saves, renames, removes and makes directories below what is declared", async () => {
  await withFiles({ write: ["data", "made"] }, async (files, at) => {
    await files.save(at("data/deep/new"), bytesOf("new"), { private: true });
    await files.save(at("data/in.txt"), bytesOf("through the link"), {
      replace: true,
      partial: at("data/coming"),
    });
    assert.equal(await text(files, at("data/deep/b.txt")), "through the link");
    assert.equal((await files.inspect(at("data/deep/new")))?.mode, 0o600);
    await files.create(at("data/a.txt"), "again", { replace: true, private: true });
    assert.equal((await files.inspect(at("data/a.txt")))?.mode, 0o600);
    await files.makeDirectory(at("data/more/deep"), { private: true });
    assert.equal((await files.inspect(at("data/more/deep")))?.mode, 0o700);
    await files.rename(at("data/deep/new"), at("data/more/deep/moved"));
    await files.rename(at("data/more"), at("data/renamed"));
    assert.equal(await text(files, at("data/renamed/deep/moved")), "new");
    const part = await files.stream(at("data/renamed/deep/moved"), { offset: 1, length: 1 });
    assert.equal(await new Response(part).text(), "e");
    assert.equal(await files.remove(at("data/renamed")), true);
    assert.equal(await files.remove(at("data/renamed")), false);
    assert.equal((await refusal(files.rename(at("data/none"), at("data/x")))).code, "not_found");
    const taken = files.rename(at("data/a.txt"), at("data/deep"));
    assert.equal((await refusal(taken)).code, "already_exists");
    // A file alone is declared: what has come of it so far is the host's own affair.
    await files.save(at("made"), bytesOf("made"));
    assert.equal(await text(files, at("made")), "made");
    assert.equal(await systemHost().files.readText(at("made.partial")), undefined);
  });
});

Deno.test("sandbox files: each end of a rename, the partial, and what a link leads to are looked at", async () => {
  await withFiles({ read: ["secret"], write: ["data"] }, async (files, at) => {
    for (
      const work of [
        () => files.rename(at("secret/key.txt"), at("data/mine")),
        () => files.rename(at("data/a.txt"), at("secret/mine")),
        () => files.rename(at("data/a.txt"), at("data/out/mine")),
        () => files.rename(at("data/out/key.txt"), at("data/mine")),
        () => files.rename(at("data/a.txt"), at("data-beside/mine")),
        () => files.save(at("data/new"), bytesOf("x"), { partial: at("secret/partial") }),
        () => files.save(at("data/new"), bytesOf("x"), { partial: at("data/out/partial") }),
        () => files.save(at("data/out/new"), bytesOf("x")),
        () => files.save(at("data/out.txt"), bytesOf("x"), { replace: true }),
        () => files.create(at("data/out.txt"), "x", { replace: true }),
        () => files.remove(at("data/out/key.txt")),
        () => files.remove(at("secret/key.txt")),
        () => files.remove(at("data/../secret")),
        () => files.makeDirectory(at("data/out/new")),
      ]
    ) assert.equal((await refusal(work())).code, "not_declared", `${work}`);
    assert.equal((await refusal(files.remove(at("data/dangling/x")))).code, "forbidden");
    assert.equal((await refusal(files.remove(`${at("data/a.txt")}\0`))).code, "forbidden");
    assert.deepEqual((await files.list(at("secret"))).map(({ name }) => name), ["key.txt"]);
    assert.equal(await text(files, at("secret/key.txt")), "key");
  });
});

Deno.test("sandbox files: a stream whose file is refused is given up", async () => {
  await withFiles({ write: ["data"] }, async (files, at) => {
    let cancelled: unknown;
    const data = new ReadableStream<Uint8Array>({ cancel: (reason) => void (cancelled = reason) });
    const error = await refusal(files.save(at("secret/new"), data));
    assert.equal(error.code, "not_declared");
    assert.equal(cancelled, error);
  });
});

Deno.test("sandbox files: of a link, the link is removed, and what is declared itself stays", async () => {
  await withFiles({ write: ["data", "plugins/p.ts", "data/out"] }, async (files, at) => {
    assert.equal(await files.remove(at("data/out.txt")), true);
    assert.equal(await files.remove(at("data/dangling")), true);
    assert.equal(await text(files, at("data/out/key.txt")), "key");
    for (const path of ["data", "data/", "data/deep/..", "plugins/p.ts", "data/out"]) {
      const error = await refusal(files.remove(at(path)));
      assert.equal(error.code, "forbidden", path);
      assert.match(error.message, /may be removed, but not what is declared itself$/);
    }
    assert.equal(await files.remove(at("data/out/key.txt")), true);
    assert.deepEqual((await systemHost().files.list(at("secret"))).length, 0);
  });
});

Deno.test("sandbox files: no link gets another place, by itself or in a directory", async () => {
  await withFiles({ write: ["data", "secret", "data/later"] }, async (files, at) => {
    await files.makeDirectory(at("data/around"));
    await systemHost().files.rename(at("data/out"), at("data/around/out"));
    for (const name of ["data/out.txt", "data/in.txt", "data/dangling", "data/around"]) {
      const error = await refusal(files.rename(at(name), at("data/later")));
      assert.equal(error.code, "forbidden", name);
      assert.match(error.message, /it is a link or holds one, and no plugin moves links$/);
    }
    await files.rename(at("data/a.txt"), at("data/later"));
    assert.equal(await text(files, at("data/later")), "a");
  });
});

Deno.test("sandbox files: what is locked or hidden goes with nothing, and comes with nothing", async () => {
  const limits = {
    read: ["."],
    write: ["."],
    locked: ["plugins", "later/plugins", "data/in.txt"],
    hidden: [".env", "data/out/key.txt"],
  };
  await withFiles(limits, async (files, at) => {
    await files.create(at("mine/plugins/evil.ts"), "x");
    for (
      const work of [
        // Itself, or in what is taken away.
        () => files.remove(at("plugins")),
        () => files.remove(at("plugins/p.ts")),
        () => files.remove(at(".env")),
        () => files.remove(at("secret")),
        () => files.remove(at("data")),
        () => files.rename(at("plugins"), at("old")),
        () => files.rename(at(".env"), at("env")),
        () => files.rename(at("secret"), at("public")),
        // What leads there.
        () => files.remove(at("data/out")),
        () => files.remove(at("data/in.txt")),
        () => files.remove(at("data/deep")),
        () => files.rename(at("data/deep"), at("deep")),
        // Put in its place.
        () => files.rename(at("mine/plugins"), at("later/plugins")),
        () => files.rename(at("mine"), at("later")),
        () => files.rename(at("mine/plugins/evil.ts"), at("plugins/evil.ts")),
        () => files.makeDirectory(at("later/plugins/mine")),
        () => files.save(at("plugins/evil.ts"), bytesOf("x")),
        () => files.save(at("mine/x"), bytesOf("x"), { partial: at("plugins/evil.ts") }),
        () => files.create(at(".env"), "x", { replace: true }),
      ]
    ) {
      const error = await refusal(work());
      assert.deepEqual([error.kind, error.code], ["refused", "forbidden"], `${work}`);
      assert.match(error.message, /plugins, their cache, the program or secrets are/);
    }
    assert.equal(await text(files, at("plugins/p.ts")), "");
    assert.equal(await systemHost().files.readText(at("secret/key.txt")), "key");
    assert.equal((await systemHost().files.list(at("data"))).length, 6);
    assert.equal(await files.remove(at("mine")), true);
    assert.equal((await refusal(files.remove("/proc/self"))).code, "not_declared");
  });
  await withFiles({ write: ["/"] }, async (files) => {
    assert.equal((await refusal(files.remove("/proc/self/attr"))).code, "forbidden");
  });
});
