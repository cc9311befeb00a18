import assert from "assert";
import { join } from "node:path";
import { systemHost, writeAllSync } from "../../core/host.ts";
import { skipWhenMissing } from "../skip.ts";

const { files, dialer, programs } = systemHost();

/** An empty directory that is removed after the test. */
async function inDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-host-" });
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("files.list: names are sorted by code unit, links are followed, and what is neither file nor directory is told", () =>
  inDirectory(async (directory) => {
    const inside = (name: string) => join(directory, name);
    await Deno.writeTextFile(inside("b"), "12345");
    await Deno.writeTextFile(inside("B"), "");
    await Deno.mkdir(inside("a"));
    await Deno.symlink("b", inside("link"));
    await Deno.symlink("a", inside("dirlink"));
    await Deno.symlink("nowhere", inside("lost"));
    const { success } = await new Deno.Command("mkfifo", { args: [inside("pipe")] }).output();
    assert(success);
    const modified = 1_700_000_000_250;
    for (const name of ["a", "b", "B"]) {
      await Deno.utime(inside(name), 1_700_000_000, modified / 1000);
    }
    // What is told of an entry may be found out when it is asked for.
    const told = (await files.list(directory))
      .map(({ name, kind, size, modified }) => ({ name, kind, size, modified }));
    assert.deepEqual(told, [
      { name: "B", kind: "file", size: 0, modified },
      { name: "a", kind: "directory", size: 0, modified },
      { name: "b", kind: "file", size: 5, modified },
      { name: "dirlink", kind: "directory", size: 0, modified },
      { name: "link", kind: "file", size: 5, modified },
      { name: "lost", kind: "dangling", size: 0, modified: 0 },
      { name: "pipe", kind: "other", size: 0, modified: 0 },
    ]);
  }));

Deno.test("files: what is not there is named with the action and the reason", () =>
  inDirectory(async (directory) => {
    const missing = join(directory, "missing");
    const expected = (action: string) => ({
      name: "OperationError",
      kind: "failed",
      code: "not_found",
      message: `Cannot ${action} "${missing}": there is no such file or directory`,
      details: { path: missing },
    });
    await assert.rejects(files.list(missing), expected("list directory"));
    await assert.rejects(files.readAll([missing]), expected("read"));
    await assert.rejects(files.stream(missing), expected("read"));
    assert.equal(await files.readText(missing), undefined);
    assert.equal(await files.mode(missing), undefined);
    assert.equal(await files.readText(join(missing, "below")), undefined);
  }));

Deno.test("files: a file in the place of a directory, and the other way round, is told as such", () =>
  inDirectory(async (directory) => {
    const file = join(directory, "file");
    await Deno.writeTextFile(file, "");
    await assert.rejects(files.list(file), { code: "not_a_directory" });
    await assert.rejects(files.create(join(file, "below"), ""), { code: "not_a_directory" });
    await assert.rejects(files.readAll([directory]), { code: "is_a_directory" });
    await assert.rejects(files.readText(directory), { code: "is_a_directory" });
    await assert.rejects(
      async () => await Array.fromAsync(await files.stream(directory)),
      { name: "OperationError", code: "is_a_directory" },
    );
  }));

// Nothing is forbidden to root but by the runtime itself.
Deno.test({
  name: "files: what is forbidden is told as such",
  permissions: Deno.uid() === 0 ? { read: false } : "inherit",
  fn: Deno.uid() === 0
    ? () => assert.rejects(files.readAll(["/etc/hostname"]), { code: "permission_denied" })
    : () =>
      inDirectory(async (directory) => {
        const file = join(directory, "file");
        await Deno.writeTextFile(file, "", { mode: 0o000 });
        await assert.rejects(files.readAll([file]), { code: "permission_denied" });
      }),
});

Deno.test("files.readAll: contents come in the order asked for", () =>
  inDirectory(async (directory) => {
    const paths = ["a", "b", "c"].map((name) => join(directory, name));
    for (const path of paths) await Deno.writeTextFile(path, path);
    const wanted = [paths[2] ?? "", paths[0] ?? "", paths[1] ?? ""];
    const contents = await files.readAll(wanted);
    assert.deepEqual(contents.map((bytes) => new TextDecoder().decode(bytes)), wanted);
    assert.deepEqual(await files.readAll([]), []);
  }));

Deno.test("files.stream: gives the file in chunks of at most 256 KiB", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "large");
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    await Deno.writeFile(path, new Blob(Array(10).fill(bytes)).stream());
    const chunks = await Array.fromAsync(await files.stream(path));
    assert(chunks.every((chunk) => chunk.length > 0 && chunk.length <= 256 * 1024));
    assert.deepEqual(
      new Uint8Array(await new Blob(chunks.map((chunk) => chunk.slice())).arrayBuffer()),
      await Deno.readFile(path),
    );
  }));

Deno.test("files.stream: an abandoned stream closes its file", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "large");
    await Deno.writeFile(path, new Uint8Array(1_000_000));
    const open = async () =>
      (await Array.fromAsync(Deno.readDir("/proc/self/fd"), ({ name }) => linkOf(name)))
        .filter((target) => target === path).length;
    const reader = (await files.stream(path)).getReader();
    await reader.read();
    assert.equal(await open(), 1);
    await reader.cancel();
    assert.equal(await open(), 0);
  }));

function linkOf(descriptor: string): string | undefined {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${descriptor}`);
  } catch (error) {
    // The descriptor of the listing itself is closed by now.
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

Deno.test("files.create: makes the directory, and never overwrites", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "new", "deep", "file.sql");
    await files.create(path, "first é");
    assert.equal(await Deno.readTextFile(path), "first é");
    await assert.rejects(files.create(path, "second"), {
      code: "already_exists",
      message: `Cannot create "${path}": it exists already`,
    });
    assert.equal(await Deno.readTextFile(path), "first é");
    await files.create(join(directory, "bytes"), Uint8Array.of(0, 255));
    assert.deepEqual(await Deno.readFile(join(directory, "bytes")), Uint8Array.of(0, 255));
    await Deno.symlink("nowhere", join(directory, "lost"));
    await assert.rejects(files.create(join(directory, "lost"), ""), { code: "already_exists" });
  }));

Deno.test("files.mode: gives the permission bits", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "secret");
    await Deno.writeTextFile(path, "", { mode: 0o640 });
    await Deno.chmod(path, 0o640);
    assert.equal((await files.mode(path) ?? 0) & 0o777, 0o640);
  }));

Deno.test("files.inspect: gives what is known of files, directories and what is neither", () =>
  inDirectory(async (directory) => {
    const inside = (name: string) => join(directory, name);
    const self = { uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 };
    await Deno.writeTextFile(inside("file"), "12345");
    await Deno.chmod(inside("file"), 0o640);
    await Deno.utime(inside("file"), 1_700_000_000, 1_700_000_000.25);
    await Deno.symlink("file", inside("link"));
    const real = await Deno.realPath(directory);
    const facts = await files.inspect(inside("link"));
    assert(facts !== undefined);
    const { disk, ...rest } = facts;
    assert.deepEqual(rest, {
      realPath: join(real, "file"),
      kind: "file",
      size: 5,
      modified: 1_700_000_000_250,
      mode: 0o640,
      owner: self,
      self,
      access: { read: true, write: true, execute: false },
    });
    // As `df` tells, but for what others write meanwhile.
    const { stdout } = await new Deno.Command("df", { args: ["-B1", "--output=size,avail", real] })
      .output();
    const [total, free] = new TextDecoder().decode(stdout).split("\n")[1]?.trim().split(/\s+/) ??
      [];
    assert.equal(disk.total, Number(total));
    assert(Math.abs(disk.free - Number(free)) < 1e9 && disk.free <= disk.total);
    await Deno.chmod(inside("file"), 0o4755);
    const executable = await files.inspect(inside("file"));
    assert.equal(executable?.mode, 0o4755);
    assert.equal(executable?.access.execute, true);
    const folder = await files.inspect(directory);
    assert.equal(folder?.kind, "directory");
    assert.equal(folder?.realPath, real);
    assert.deepEqual(folder?.access, { read: true, write: true, execute: true });
    const { success } = await new Deno.Command("mkfifo", { args: [inside("pipe")] }).output();
    assert(success);
    const pipe = await files.inspect(inside("pipe"));
    assert.equal(pipe?.kind, "other");
    assert.equal(pipe?.access.write, true);
    assert.equal((await files.inspect("."))?.realPath, await Deno.realPath("."));
  }));

Deno.test("files.inspect: nothing is there at a path that is missing, lost, or below a file", () =>
  inDirectory(async (directory) => {
    await Deno.symlink("nowhere", join(directory, "lost"));
    await Deno.writeTextFile(join(directory, "file"), "");
    for (const name of ["missing", "lost", "file/below", ""]) {
      assert.equal(await files.inspect(name && join(directory, name)), undefined, name);
    }
    const before = (await Deno.stat(directory)).mtime;
    await files.inspect(directory);
    assert.deepEqual((await Deno.stat(directory)).mtime, before, "it left a trace");
  }));

Deno.test("files.inspect: access is what the system grants, not what the permission bits say", async () => {
  // The kernel takes no writes here, from root either, whose bits allow it.
  assert.equal((await files.inspect("/proc/sys/kernel/ostype"))?.access.write, false);
  assert.equal((await files.inspect("/proc/sys/kernel/ostype"))?.access.read, true);
  assert.equal((await files.inspect("/proc/sys"))?.access.write, false);
  assert.equal((await files.inspect("/dev/null"))?.access.write, true);
});

/** Whether a program can be run as somebody else, who is a member of one more group. */
const CAN_BE_OTHERS = Deno.uid() === 0 &&
  await new Deno.Command("setpriv", { args: ["--version"], stdout: "null" }).output()
    .then(({ success }) => success, () => false);

Deno.test({
  name: "files.inspect: the rights of every group count, and no right of others does",
  ignore: skipWhenMissing(
    "files.inspect as somebody else",
    CAN_BE_OTHERS ? undefined : "setpriv cannot be used, or not by this user",
  ),
  fn: () =>
    inDirectory(async (directory) => {
      const inside = (name: string) => join(directory, name);
      await Deno.chmod(directory, 0o755);
      await Deno.mkdir(inside("shared"));
      await Deno.chown(inside("shared"), 0, 4322);
      await Deno.chmod(inside("shared"), 0o770);
      await Deno.writeTextFile(inside("tool"), "#!/bin/sh\n");
      await Deno.chown(inside("tool"), 0, 4322);
      await Deno.chmod(inside("tool"), 0o750);
      await Deno.mkdir(inside("closed"), { mode: 0o700 });
      await Deno.copyFile(Deno.execPath(), inside("deno"));
      await Deno.chmod(inside("deno"), 0o755);
      const host = new URL("../../core/host.ts", import.meta.url).href;
      const script = `import { systemHost } from "${host}";
        const { files } = systemHost();
        const facts = await Promise.all(["shared", "tool", "closed"].map((each) => files.inspect(each)));
        console.log(JSON.stringify(facts.map(({ access, self }) => ({ ...access, ...self }))));`;
      const { stdout, stderr } = await new Deno.Command("setpriv", {
        args: [
          ...["--reuid=4321", "--regid=4321", "--groups=4322", inside("deno")],
          ...["eval", "--no-config", "--no-lock", "--no-check", script],
        ],
        cwd: directory,
        env: { DENO_DIR: inside("shared") },
      }).output();
      const self = { uid: 4321, gid: 4321 };
      const text = new TextDecoder();
      assert.equal(text.decode(stderr), "");
      assert.deepEqual(JSON.parse(text.decode(stdout)), [
        { read: true, write: true, execute: true, ...self },
        { read: true, write: false, execute: true, ...self },
        { read: false, write: false, execute: false, ...self },
      ]);
    }),
});

Deno.test("programs.find: gives files only, with their real path", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "tool");
    await Deno.writeTextFile(path, "");
    await Deno.symlink("tool", join(directory, "link"));
    const realPath = await Deno.realPath(path);
    assert.deepEqual(await programs.find(join(directory, "link")), { realPath, executable: false });
    await Deno.chmod(path, 0o711);
    assert.deepEqual(await programs.find(path), { realPath, executable: true });
    await Deno.symlink("loop", join(directory, "loop"));
    for (const name of ["", "missing", "tool/below", "loop"]) {
      assert.equal(await programs.find(join(directory, name)), undefined, name);
    }
  }));

Deno.test("dialer: reaches TCP and Unix sockets, in both directions", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "socket");
    const listeners = [
      Deno.listen({ hostname: "127.0.0.1", port: 0 }),
      Deno.listen({ transport: "unix", path }),
    ] as const;
    const [tcp] = listeners;
    const connections = [await dialer.tcp("127.0.0.1", tcp.addr.port), await dialer.unix(path)];
    for (const [index, listener] of listeners.entries()) {
      const [theirs, ours] = [await listener.accept(), connections[index]];
      assert(ours !== undefined);
      await ours.write(Uint8Array.of(1, 2));
      const bytes = new Uint8Array(4);
      assert.equal(await theirs.read(bytes), 2);
      await theirs.write(bytes.subarray(0, 1));
      assert.equal(await ours.read(bytes), 1);
      theirs.close();
      assert.equal(await ours.read(bytes), null);
      ours.close();
      listener.close();
    }
  }));

Deno.test("writeAllSync: writes every byte once, however few are taken and however often it must wait", () => {
  const written: number[] = [];
  let calls = 0;
  const text = "é".repeat(100);
  writeAllSync({
    writeSync(bytes) {
      if (calls++ % 3 === 0) throw new Deno.errors.WouldBlock("try again");
      const taken = bytes.subarray(0, 7);
      written.push(...taken);
      return taken.length;
    },
  }, new TextEncoder().encode(text));
  assert.equal(new TextDecoder().decode(Uint8Array.from(written)), text);
});

Deno.test("writeAllSync: any other failure is the caller's", () => {
  const failing = {
    writeSync(): number {
      throw new Deno.errors.BrokenPipe("gone");
    },
  };
  assert.throws(() => writeAllSync(failing, Uint8Array.of(1)), Deno.errors.BrokenPipe);
});
