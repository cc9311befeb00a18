/** What the host writes: whole and on the disk, or not at all; and parts of what it reads. */
import assert from "assert";
import { join } from "node:path";
import { systemHost } from "../../core/host.ts";
import { OperationError } from "../../core/plugin.ts";

const { files } = systemHost();

/** An empty directory that is removed after the test. */
async function inDirectory(
  test: (given: { directory: string; at: (name: string) => string }) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-files-" });
  try {
    await test({ directory, at: (name) => join(directory, name) });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function bytesOf(...texts: readonly string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(texts.map((text) => new TextEncoder().encode(text)));
}

/** The names in a directory, sorted. */
async function namesIn(directory: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(directory), ({ name }) => name)).sort();
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(() => undefined, (reason: unknown) => reason);
  assert(error instanceof OperationError, `it did not fail as it should: ${error}`);
  return error.code;
}

/** A member of the runtime that fails while `work` goes on, as no real part here does. */
async function failing<T extends object, K extends keyof T>(
  owner: T,
  name: K,
  { error, work }: { readonly error: Error; readonly work: () => Promise<void> },
): Promise<void> {
  const real = Object.getOwnPropertyDescriptor(owner, name);
  assert(real !== undefined);
  Object.defineProperty(owner, name, { ...real, value: () => Promise.reject(error) });
  try {
    await work();
  } finally {
    Object.defineProperty(owner, name, real);
  }
}

// ---------------------------------------------------------------------------
// Parts of files
// ---------------------------------------------------------------------------

Deno.test("files.stream: gives a part of a file to the byte, and nothing beyond its end", () =>
  inDirectory(async ({ at }) => {
    const whole = crypto.getRandomValues(new Uint8Array(65_536));
    const bytes = new Uint8Array(600_000);
    for (let place = 0; place < bytes.length; place++) {
      bytes[place] = (whole[place % whole.length] ?? 0) ^ (place >> 16);
    }
    await Deno.writeFile(at("large"), bytes);
    const chunk = 256 * 1024;
    for (
      const [offset, length] of [
        [0, 0],
        [0, 1],
        [1, chunk - 1],
        [1, chunk],
        [chunk, chunk + 1],
        [599_999, 1],
        [599_999, 2],
        [599_999],
        [600_000, 5],
        [600_000],
        [9_000_000],
        [9_000_000, 9],
        [0, 600_000],
        [12_345],
      ] as const
    ) {
      const range = length === undefined ? { offset } : { offset, length };
      const chunks = await Array.fromAsync(await files.stream(at("large"), range));
      assert(chunks.every((each) => each.length > 0 && each.length <= chunk));
      const given = new Uint8Array(
        await new Blob(chunks.map((each) => each.slice())).arrayBuffer(),
      );
      const wanted = bytes.subarray(offset, length === undefined ? undefined : offset + length);
      assert.deepEqual(given, wanted, `${offset}, ${length}`);
    }
    await assert.rejects(files.stream(at("large"), { offset: -1 }), { code: "file_error" });
  }));

Deno.test("files.stream: is read into a buffer of the reader's own, again and again", () =>
  inDirectory(async ({ at }) => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, place) => place * 7 ^ place >> 8);
    await Deno.writeFile(at("file"), bytes);
    const given = new Uint8Array(90_000);
    const stream = await files.stream(at("file"), { offset: 10_000, length: 90_000 });
    const reader = stream.getReader({ mode: "byob" });
    let buffer = new ArrayBuffer(1000);
    let filled = 0;
    for (let { done, value } = await reader.read(new Uint8Array(buffer)); !done;) {
      assert(value !== undefined);
      given.set(value, filled);
      filled += value.length;
      buffer = value.buffer;
      assert.equal(buffer.byteLength, 1000);
      ({ done, value } = await reader.read(new Uint8Array(buffer)));
    }
    assert.equal(filled, 90_000);
    assert.deepEqual(given, bytes.subarray(10_000));
  }));

// ---------------------------------------------------------------------------
// Saving
// ---------------------------------------------------------------------------

Deno.test("files.save: each chunk is in the partial before the next one is asked for, and the name comes last", () =>
  inDirectory(async ({ directory, at }) => {
    const chunks = ["one ", "", "two ", "three"];
    const seen: [string[], string][] = [];
    const data = new ReadableStream<Uint8Array>({
      async pull(controller) {
        seen.push([await namesIn(directory), await Deno.readTextFile(at("dump.partial"))]);
        const next = chunks.shift();
        if (next === undefined) controller.close();
        else controller.enqueue(new TextEncoder().encode(next));
      },
    }, { highWaterMark: 0 });
    await files.save(at("dump"), data);
    const partial = ["dump.partial"];
    assert.deepEqual(seen, [
      [partial, ""],
      [partial, "one "],
      [partial, "one "],
      [partial, "one two "],
      [partial, "one two three"],
    ]);
    assert.deepEqual(await namesIn(directory), ["dump"]);
    assert.equal(await Deno.readTextFile(at("dump")), "one two three");
  }));

Deno.test("files.save: a large stream arrives to the byte, under a partial of another name", () =>
  inDirectory(async ({ directory, at }) => {
    const chunk = crypto.getRandomValues(new Uint8Array(65_536));
    const all = Array.from({ length: 100 }, (_, index) => chunk.subarray(index, 65_536 - index));
    await files.save(at("dump"), ReadableStream.from(all), { partial: at("still coming") });
    assert.deepEqual(
      await Deno.readFile(at("dump")),
      new Uint8Array(await new Blob(all.map((each) => each.slice())).arrayBuffer()),
    );
    assert.deepEqual(await namesIn(directory), ["dump"]);
  }));

Deno.test("files.save: what the stream fails with is thrown, and nothing is left or touched", () =>
  inDirectory(async ({ directory, at }) => {
    await Deno.writeTextFile(at("kept"), "old");
    const broken = new Error("the dump has broken off");
    for (const name of ["new", "kept"]) {
      let asked = 0;
      const data = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (asked++ < 3) controller.enqueue(new Uint8Array(1000));
          else controller.error(broken);
        },
      });
      const thrown = await files.save(at(name), data, { replace: true }).catch((error) => error);
      assert.equal(thrown, broken);
      assert.deepEqual(await namesIn(directory), ["kept"]);
      assert.equal(await Deno.readTextFile(at("kept")), "old");
    }
  }));

Deno.test("files.save: never overwrites, also what came while it was written, and says so before it reads", () =>
  inDirectory(async ({ directory, at }) => {
    await Deno.writeTextFile(at("file"), "old");
    await Deno.mkdir(at("directory"));
    await Deno.symlink("nowhere", at("lost"));
    for (const name of ["file", "directory", "lost"]) {
      let asked = 0;
      let cancelled: unknown;
      const data = new ReadableStream<Uint8Array>({
        pull: () => void asked++,
        cancel: (reason) => void (cancelled = reason),
      }, { highWaterMark: 0 });
      await assert.rejects(files.save(at(name), data), {
        code: "already_exists",
        message: `Cannot save "${at(name)}": it exists already`,
      });
      assert.equal(asked, 0);
      assert.equal((cancelled as OperationError).code, "already_exists", "its source goes on");
    }
    const late = ReadableStream.from((async function* () {
      yield new TextEncoder().encode("new");
      await Deno.writeTextFile(at("late"), "theirs");
    })());
    assert.equal(await codeOf(files.save(at("late"), late)), "already_exists");
    assert.equal(await Deno.readTextFile(at("late")), "theirs");
    assert.deepEqual(await namesIn(directory), ["directory", "file", "late", "lost"]);
  }));

Deno.test("files.save: a partial that is there belongs to somebody else", () =>
  inDirectory(async ({ directory, at }) => {
    await Deno.writeTextFile(at("dump.partial"), "theirs");
    await assert.rejects(files.save(at("dump"), bytesOf("mine"), { replace: true }), {
      code: "already_exists",
      message: `Cannot create "${at("dump.partial")}": it exists already`,
    });
    assert.deepEqual(await namesIn(directory), ["dump.partial"]);
    assert.equal(await Deno.readTextFile(at("dump.partial")), "theirs");
  }));

Deno.test("files.save: replaces a file when it is told to, not before the end, and nothing but files", () =>
  inDirectory(async ({ directory, at }) => {
    await Deno.writeTextFile(at("manifest"), "old");
    await Deno.mkdir(at("taken"));
    const data = ReadableStream.from((async function* () {
      yield new TextEncoder().encode("new");
      assert.equal(await Deno.readTextFile(at("manifest")), "old");
    })());
    await files.save(at("manifest"), data, { replace: true });
    assert.equal(await Deno.readTextFile(at("manifest")), "new");
    assert.equal(
      await codeOf(files.save(at("taken"), bytesOf("x"), { replace: true })),
      "is_a_directory",
    );
    await files.save(at("first"), bytesOf("x"), { replace: true });
    assert.deepEqual(await namesIn(directory), ["first", "manifest", "taken"]);
  }));

Deno.test("files.save: needs its directory, and names it", () =>
  inDirectory(async ({ at }) => {
    await Deno.writeTextFile(at("file"), "");
    assert.equal(await codeOf(files.save(at("none/dump"), bytesOf("x"))), "not_found");
    assert.equal(await codeOf(files.save(at("file/dump"), bytesOf("x"))), "not_a_directory");
    const elsewhere = { partial: at("none/partial") };
    assert.equal(await codeOf(files.save(at("dump"), bytesOf("x"), elsewhere)), "not_found");
  }));

/** Whether a small file system can be mounted; elsewhere what it says is said in its place. */
const CAN_MOUNT = Deno.uid() === 0 && await canMount();

async function canMount(): Promise<boolean> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-mount-" });
  const mounted = await mount(directory);
  if (mounted) await unmount(directory);
  await Deno.remove(directory);
  return mounted;
}

async function mount(directory: string): Promise<boolean> {
  const args = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory];
  const command = new Deno.Command("mount", { args, stdout: "null", stderr: "null" });
  return await command.output().then(({ success }) => success, () => false);
}

async function unmount(directory: string): Promise<void> {
  // What was written there may be held open for a moment.
  for (let tries = 1;; tries++) {
    const { success } = await new Deno.Command("umount", { args: [directory] }).output();
    if (success) return;
    assert(tries < 50, "the disk is busy");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A directory whose disk takes no megabyte. */
async function onFullDisk(
  test: (given: { directory: string; at: (name: string) => string }) => Promise<void>,
): Promise<void> {
  await inDirectory(async (given) => {
    if (!CAN_MOUNT) {
      const error = Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
      return await failing(Deno.FsFile.prototype, "write", { error, work: () => test(given) });
    }
    assert(await mount(given.directory));
    try {
      await test(given);
    } finally {
      await unmount(given.directory);
    }
  });
}

Deno.test("files: a full disk is told as such, nothing is left, and the stream's source is told", () =>
  onFullDisk(async ({ directory, at }) => {
    let cancelled: unknown;
    const data = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(300_000)),
      cancel: (reason) => void (cancelled = reason),
    });
    const failure = await files.save(at("dump"), data).catch((error: unknown) => error);
    assert(failure instanceof OperationError);
    assert.equal(failure.code, "no_space");
    assert.equal(
      failure.message,
      `Cannot write "${at("dump.partial")}": no space is left on the disk`,
    );
    assert.equal(cancelled, failure);
    assert.deepEqual(await namesIn(directory), []);
    await assert.rejects(files.create(at("file"), new Uint8Array(2_000_000)), {
      code: "no_space",
      message: `Cannot create "${at("file")}": no space is left on the disk`,
    });
    assert.deepEqual(await namesIn(directory), []);
  }));

Deno.test("files: a quota that is used up is no space, too", () =>
  inDirectory(async ({ directory, at }) => {
    const error = Object.assign(new Error("Disk quota exceeded"), { code: "EDQUOT" });
    await failing(Deno.FsFile.prototype, "sync", {
      error,
      work: async () =>
        assert.equal(await codeOf(files.save(at("dump"), bytesOf("x"))), "no_space"),
    });
    assert.deepEqual(await namesIn(directory), []);
  }));

Deno.test("files.save: a write that takes less than it was given is gone on with", () =>
  inDirectory(async ({ at }) => {
    const { write } = Deno.FsFile.prototype;
    Deno.FsFile.prototype.write = function (bytes) {
      return write.call(this, bytes.subarray(0, 7));
    };
    try {
      await files.save(at("dump"), bytesOf("a text of more than seven bytes"));
    } finally {
      Deno.FsFile.prototype.write = write;
    }
    assert.equal(await Deno.readTextFile(at("dump")), "a text of more than seven bytes");
  }));

// ---------------------------------------------------------------------------
// Names
// ---------------------------------------------------------------------------

Deno.test("files: on a file system without a second name for a file, nothing is overwritten either", () =>
  inDirectory(async ({ directory, at }) => {
    const error = new Deno.errors.PermissionDenied("Operation not permitted");
    await failing(Deno, "link", {
      error,
      work: async () => {
        await files.save(at("dump"), bytesOf("new"));
        await files.create(at("file"), "made");
        await files.rename(at("file"), at("renamed"));
        const late = ReadableStream.from((async function* () {
          yield new TextEncoder().encode("new");
          await Deno.writeTextFile(at("late"), "theirs");
        })());
        assert.equal(await codeOf(files.save(at("late"), late)), "already_exists");
      },
    });
    assert.deepEqual(await namesIn(directory), ["dump", "late", "renamed"]);
    const texts = await Promise.all(
      ["dump", "late", "renamed"].map((name) => Deno.readTextFile(at(name))),
    );
    assert.deepEqual(texts, ["new", "theirs", "made"]);
  }));

Deno.test("files: a directory is synced after each change, also where it cannot be", () =>
  inDirectory(async ({ directory, at }) => {
    const { sync } = Deno.FsFile.prototype;
    const synced: boolean[] = [];
    Deno.FsFile.prototype.sync = async function () {
      const { isDirectory } = await this.stat();
      synced.push(isDirectory);
      if (isDirectory) throw Object.assign(new TypeError("Invalid argument"), { code: "EINVAL" });
      await sync.call(this);
    };
    const syncs = async (work: Promise<unknown>) => {
      await work;
      return synced.splice(0).map((isDirectory) => isDirectory ? "directory" : "file");
    };
    try {
      assert.deepEqual(await syncs(files.save(at("a"), bytesOf("x"))), ["file", "directory"]);
      assert.deepEqual(await syncs(files.create(at("b"), "x")), ["file", "directory"]);
      const replaced = files.create(at("b"), "y", { replace: true });
      assert.deepEqual(await syncs(replaced), ["file", "directory"]);
      assert.deepEqual(await syncs(files.makeDirectory(at("c/d"))), ["directory", "directory"]);
      const inside = files.create(at("e/f"), "x");
      assert.deepEqual(await syncs(inside), ["directory", "file", "directory"]);
      assert.deepEqual(await syncs(files.rename(at("c/d"), at("g"))), ["directory", "directory"]);
      assert.deepEqual(await syncs(files.rename(at("a"), at("h"))), ["directory"]);
    } finally {
      Deno.FsFile.prototype.sync = sync;
    }
    const error = Object.assign(new Error("Input/output error"), { code: "EIO" });
    await failing(Deno.FsFile.prototype, "sync", {
      error,
      work: async () => assert.equal(await codeOf(files.makeDirectory(at("i"))), "file_error"),
    });
    assert.deepEqual(await namesIn(directory), ["b", "c", "e", "g", "h", "i"]);
  }));

Deno.test("files.create: is there whole or not at all, and replaces when it is told to", () =>
  inDirectory(async ({ directory, at }) => {
    await files.create(at("state"), "1", { replace: true });
    const reader = await Deno.open(at("state"));
    await files.create(at("state"), "two", { replace: true });
    assert.equal(await new Response(reader.readable).text(), "1", "the old one was written to");
    assert.equal(await Deno.readTextFile(at("state")), "two");
    await Deno.mkdir(at("taken"));
    assert.equal(await codeOf(files.create(at("taken"), "", { replace: true })), "is_a_directory");
    const error = new Error("the disk is gone");
    await failing(Deno.FsFile.prototype, "sync", {
      error,
      work: async () => assert.equal(await codeOf(files.create(at("new"), "x")), "file_error"),
    });
    assert.deepEqual(await namesIn(directory), ["state", "taken"]);
  }));

Deno.test("files.rename: moves files, directories and links, and never overwrites", () =>
  inDirectory(async ({ directory, at }) => {
    await Deno.writeTextFile(at("file"), "1");
    await Deno.mkdir(at("full"));
    await Deno.writeTextFile(at("full/inside"), "2");
    await Deno.mkdir(at("empty"));
    await Deno.symlink("nowhere", at("lost"));
    for (const from of ["file", "full", "lost"]) {
      for (const to of ["file", "full", "empty", "lost"]) {
        await assert.rejects(files.rename(at(from), at(to)), {
          code: "already_exists",
          message: `Cannot rename "${at(from)}" to "${at(to)}": it exists already`,
        });
      }
    }
    await assert.rejects(files.rename(at("none"), at("new")), {
      code: "not_found",
      message: `Cannot rename "${at("none")}": there is no such file or directory`,
    });
    assert.equal(await codeOf(files.rename(at("file"), at("none/file"))), "not_found");
    assert.equal(await codeOf(files.rename(at("full"), at("full/below"))), "file_error");
    await files.rename(at("file"), at("empty/moved"));
    await files.rename(at("full"), at("renamed"));
    await files.rename(at("lost"), at("still lost"));
    assert.deepEqual(await namesIn(directory), ["empty", "renamed", "still lost"]);
    assert.equal(await Deno.readTextFile(at("empty/moved")), "1");
    assert.equal(await Deno.readTextFile(at("renamed/inside")), "2");
    assert.equal(await Deno.readLink(at("still lost")), "nowhere");
  }));

Deno.test("files.remove: takes all that is in a directory, of a link the link, and tells of nothing", () =>
  inDirectory(async ({ directory, at }) => {
    await Deno.mkdir(at("full/deep"), { recursive: true });
    await Deno.writeTextFile(at("full/deep/file"), "");
    await Deno.mkdir(at("kept"));
    await Deno.writeTextFile(at("kept/file"), "");
    await Deno.symlink(at("kept"), at("full/link"));
    await Deno.symlink("kept", at("link"));
    await Deno.symlink("kept", at("slash"));
    await Deno.symlink("nowhere", at("lost"));
    for (const name of ["full", "link", "slash/", "lost"]) {
      assert.equal(await files.remove(at(name)), true, name);
      assert.equal(await files.remove(at(name)), false, name);
    }
    assert.equal(await files.remove(at("kept/file/below")), false);
    assert.equal(await files.remove(""), false);
    for (const end of ["/.", "/..", "/./", "/../."]) {
      assert.equal(await codeOf(files.remove(at("kept") + end)), "file_error", end);
    }
    assert.deepEqual(await namesIn(directory), ["kept"]);
    assert.deepEqual(await namesIn(at("kept")), ["file"]);
  }));

Deno.test("files.makeDirectory: makes those above it, and says when there is something", () =>
  inDirectory(async ({ at }) => {
    await files.makeDirectory(at("one/two/three/"));
    assert.deepEqual(await namesIn(at("one/two")), ["three"]);
    await Deno.writeTextFile(at("file"), "");
    await Deno.symlink("nowhere", at("lost"));
    for (const name of ["one", "file", "lost"]) {
      await assert.rejects(files.makeDirectory(at(name)), {
        code: "already_exists",
        message: `Cannot make directory "${at(name)}": it exists already`,
      });
    }
    assert.equal(await codeOf(files.makeDirectory(at("file/below"))), "not_a_directory");
    assert.equal(await codeOf(files.makeDirectory(at("lost/below"))), "not_a_directory");
  }));

Deno.test("files: what is private is this user's alone whatever the umask is, and the rest obeys it", () =>
  inDirectory(async ({ at }) => {
    const host = new URL("../../core/host.ts", import.meta.url).href;
    const modes = async (umask: string, work: string) => {
      const script = `import { systemHost } from "${host}";
        const { files } = systemHost();
        const data = () => new Blob(["x"]).stream();
        const own = { private: true };
        ${work}
        console.log(JSON.stringify(Object.fromEntries([...Deno.readDirSync(".")].map(({ name }) =>
          [name, (Deno.statSync(name).mode & 0o777).toString(8)]))));`;
      await Deno.mkdir(at(umask));
      const evaluate = ["eval", "--no-config", "--no-lock", "--no-check", script];
      const { stdout, stderr } = await new Deno.Command("sh", {
        args: ["-c", `umask ${umask} && exec "$@"`, "sh", Deno.execPath(), ...evaluate],
        cwd: at(umask),
      }).output();
      assert.equal(new TextDecoder().decode(stderr), "");
      return JSON.parse(new TextDecoder().decode(stdout));
    };
    const all = `await files.save("saved", data());
      await files.save("saved own", data(), own);
      await files.create("created", "x");
      await files.create("created own", "x", { ...own, replace: true });
      await files.create("owner writes", "x", { ownerWrites: true });
      await files.create("made own/file", "x", own);
      await files.makeDirectory("directory");
      await files.makeDirectory("own/deep", own);
      await files.rename("own/deep", "deep own");`;
    const own = {
      "saved own": "600",
      "created own": "600",
      "made own": "700",
      "own": "700",
      "deep own": "700",
    };
    assert.deepEqual(await modes("000", all), {
      ...own,
      "saved": "666",
      "created": "666",
      "owner writes": "644",
      "directory": "777",
    });
    assert.deepEqual(await modes("027", all), {
      ...own,
      "saved": "640",
      "created": "640",
      "owner writes": "640",
      "directory": "750",
    });
    // Not even this user could write to it.
    assert.deepEqual(await modes("277", `await files.save("saved own", data(), own);`), {
      "saved own": "600",
    });
  }));
