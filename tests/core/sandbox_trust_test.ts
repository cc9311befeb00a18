import assert from "assert";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { parseSums } from "../../core/sandbox/sums.ts";
import {
  FILE_LIMIT,
  isMountedReadOnly,
  parseOwner,
  trustDirectory,
  type TrustOptions,
} from "../../core/sandbox/trust.ts";
import { configMap, withFolder } from "./plugin_folder.ts";

/** Files can be given away by root alone. */
const asRoot = { ignore: Deno.uid() !== 0 };
const STRANGER = 12345;

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The text that is read of a file in the directory. */
function read(directory: string, name: string, options: TrustOptions = {}): string | undefined {
  const file = trustDirectory(directory, options).read(join(directory, name));
  return file === undefined ? undefined : new TextDecoder().decode(file.bytes);
}

/** Asserts that a file is refused, for this reason. */
function assertRefused(
  directory: string,
  name: string,
  { reason, owner }: { readonly reason: RegExp; readonly owner?: number },
): void {
  assert.throws(() => read(directory, name, { owner }), {
    name: "OperationError",
    kind: "refused",
    code: "plugin_refused",
    message: reason,
  });
}

Deno.test("trust: a file of the current user is read, with its real path and hash", async () => {
  await withFolder({ "a.ts": "text", "sub/b.ts": "more" }, ({ path }) => {
    const file = trustDirectory(path).read(join(path, "a.ts"));
    assert.deepEqual(file, {
      path: join(path, "a.ts"),
      bytes: new TextEncoder().encode("text"),
      sha256: sha256("text"),
    });
    assert.equal(read(path, "sub/../sub/./b.ts"), "more");
    assert.equal(read(path, "missing.ts"), undefined);
    assert.equal(read(path, "a.ts/b.ts"), undefined);
    assert.equal(trustDirectory(join(path, "gone")).read(join(path, "gone", "a.ts")), undefined);
  });
});

Deno.test("trust: what its group or everybody may write to is refused, and so is what is below", async () => {
  await withFolder({ "a.ts": "", "sub/deep/b.ts": "" }, async ({ path }) => {
    for (
      const [target, name] of [
        ["a.ts", "a.ts"],
        [".", "a.ts"],
        ["sub/deep/b.ts", "sub/deep/b.ts"],
        ["sub/deep", "sub/deep/b.ts"],
        ["sub", "sub/deep/b.ts"],
        [".", "sub/deep/b.ts"],
      ] as const
    ) {
      const changed = join(path, target);
      const { mode } = await Deno.stat(changed);
      const before = (mode ?? 0) & 0o777;
      for (
        const [added, who] of [[0o020, "its group"], [0o002, "everybody"], [
          0o022,
          "everybody",
        ]] as const
      ) {
        await Deno.chmod(changed, before | added);
        assertRefused(path, name, {
          reason: new RegExp(`^Cannot trust plugin file "${changed}": ${who} may write to it \\(`),
        });
      }
      // A sticky directory takes new files from everybody all the same.
      await Deno.chmod(changed, 0o1777);
      assertRefused(path, name, { reason: /everybody may write to it \(mode 1777\)$/ });
      await Deno.chmod(changed, before);
      assert.equal(read(path, name), "");
    }
  });
});

Deno.test({
  name: "trust: what belongs to a stranger is refused, unless that one is admitted",
  ...asRoot,
  async fn() {
    for (const target of ["sub/a.ts", "sub", "."]) {
      await withFolder({ "sub/a.ts": "text" }, async ({ path }) => {
        await Deno.chown(join(path, target), STRANGER, null);
        const reason = new RegExp(
          `^Cannot trust plugin file "${join(path, target)}": it belongs to user ${STRANGER}, ` +
            "who is neither root nor the current user$",
        );
        assertRefused(path, "sub/a.ts", { reason });
        assertRefused(path, "sub/a.ts", { reason, owner: STRANGER + 1 });
        assert.equal(read(path, "sub/a.ts", { owner: STRANGER }), "text");
      });
    }
  },
});

Deno.test({
  name: "trust: a stranger's link is refused; a stranger who is admitted may not let others write",
  ...asRoot,
  async fn() {
    await withFolder({ "a.ts": "text", "b.ts": { link: "a.ts" } }, async ({ path }) => {
      await new Deno.Command("chown", { args: ["-h", `${STRANGER}`, join(path, "b.ts")] }).output();
      assertRefused(path, "b.ts", { reason: /b\.ts": it belongs to user 12345/ });
      assert.equal(read(path, "b.ts", { owner: STRANGER }), "text");
      assert.equal(read(path, "a.ts"), "text");
      await Deno.chown(join(path, "a.ts"), STRANGER, null);
      await Deno.chmod(join(path, "a.ts"), 0o664);
      assertRefused(path, "a.ts", { reason: /its group may write to it/, owner: STRANGER });
    });
  },
});

Deno.test("trust: links inside the directory are followed, those that leave it are refused", async () => {
  await withFolder({
    "outside.ts": "secret",
    "plugins/a.ts": "text",
    "plugins/sub/b.ts": { link: "../a.ts" },
    "plugins/inner": { link: "sub" },
    "plugins/out.ts": { link: "../outside.ts" },
    "plugins/out": { link: ".." },
    "plugins/far.ts": { link: "/etc/hostname" },
    "plugins/root": { link: "/" },
    "plugins/back.ts": { link: "../plugins/a.ts" },
    "plugins/circle.ts": { link: "circle.ts" },
    "plugins/chain.ts": { link: "out.ts" },
    "plugins/proc.ts": { link: "/proc/self/environ" },
  }, ({ path, write }) => {
    const plugins = join(path, "plugins");
    write({ "plugins/absolute.ts": { link: join(plugins, "a.ts") } });
    for (const name of ["a.ts", "sub/b.ts", "inner/b.ts", "absolute.ts"]) {
      const file = trustDirectory(plugins).read(join(plugins, name));
      assert.equal(file?.path, join(plugins, "a.ts"), name);
    }
    for (
      const name of [
        "out.ts",
        "out/outside.ts",
        "out/plugins/a.ts",
        "far.ts",
        "root/etc/hostname",
        "back.ts",
        "chain.ts",
        "proc.ts",
        "../outside.ts",
        "sub/../../outside.ts",
      ]
    ) {
      assertRefused(plugins, name, { reason: /it leads out of the plugin directory/ });
    }
    assertRefused(plugins, "circle.ts", { reason: /its links lead in a circle$/ });
  });
});

Deno.test("trust: a ConfigMap's links are followed, and what is behind them is checked", async () => {
  await withFolder(configMap({ "guard.ts": "text" }), async ({ path }) => {
    const file = trustDirectory(path).read(join(path, "guard.ts"));
    assert.equal(file?.path, await Deno.realPath(join(path, "guard.ts")));
    await Deno.chmod(await Deno.realPath(join(path, "..data")), 0o777);
    assertRefused(path, "guard.ts", { reason: /\.\.2026_[^"]*": everybody may write to it/ });
  });
});

Deno.test("trust: a mount point is known to be read-only by the system's table", () => {
  const table = [
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "36 21 8:1 /vol /plugins ro,relatime shared:2 - ext4 /dev/sda1 rw",
    "37 21 8:1 /vol /writable rw,relatime - ext4 /dev/sda1 ro",
    "38 21 8:1 /vol /with\\040blank ro - ext4 /dev/sda1 rw",
    "39 21 8:1 /vol /twice ro - ext4 /dev/sda1 rw",
    "40 21 8:1 /vol /twice rw - ext4 /dev/sda1 rw",
    "",
  ].join("\n");
  for (
    const [directory, expected] of [
      ["/plugins", true],
      ["/with blank", true],
      ["/plugins/sub", false],
      ["/writable", false],
      ["/twice", false],
      ["/", false],
      ["/missing", false],
    ] as const
  ) assert.equal(isMountedReadOnly(directory, table), expected, directory);
  assert.equal(isMountedReadOnly("/plugins", ""), false);
});

Deno.test("trust: only files are read, and none above the limit", async () => {
  await withFolder({
    "directory.ts/x": "",
    "large.ts": "x".repeat(FILE_LIMIT + 1),
    "largest.ts": "x".repeat(FILE_LIMIT),
    "device.ts": { link: "/dev/zero" },
  }, async ({ path }) => {
    const { success } = await new Deno.Command("mkfifo", { args: [join(path, "pipe.ts")] })
      .output();
    assert.ok(success);
    assertRefused(path, "directory.ts", { reason: /it is not a file$/ });
    assertRefused(path, "pipe.ts", { reason: /it is not a file$/ });
    assertRefused(path, "device.ts", { reason: /leads out of the plugin directory/ });
    assertRefused(path, "large.ts", { reason: /it has 1048577 bytes, and more than 1 MiB/ });
    assert.equal(read(path, "largest.ts")?.length, FILE_LIMIT);
  });
});

Deno.test("trust: where SHA256SUMS stands, a file is listed and unchanged, or refused", async () => {
  const line = (text: string, name: string) => `${sha256(text)}  ${name}\n`;
  await withFolder({
    "a.ts": "one",
    "sub/mod.ts": "two",
    "new.ts": "three",
    "SHA256SUMS": line("one", "a.ts") + line("two", "./sub/mod.ts"),
  }, ({ path, write }) => {
    assert.equal(read(path, "a.ts"), "one");
    assert.equal(read(path, "sub/mod.ts"), "two");
    assertRefused(path, "new.ts", { reason: /new\.ts": it is not listed in ".*\/SHA256SUMS"$/ });
    write({ "a.ts": "One" });
    assertRefused(path, "a.ts", { reason: /a\.ts": it is not what ".*\/SHA256SUMS" lists$/ });
    write({ "SHA256SUMS": "" });
    assertRefused(path, "a.ts", { reason: /it is not listed/ });
    write({ "SHA256SUMS": "nonsense" });
    assertRefused(path, "a.ts", {
      reason: /^Cannot read line 1 of ".*SHA256SUMS": it is not a line/,
    });
    write({ "SHA256SUMS": line("One", "a.ts") });
    assert.equal(read(path, "a.ts"), "One");
    Deno.chmodSync(join(path, "SHA256SUMS"), 0o666);
    assertRefused(path, "a.ts", { reason: /SHA256SUMS": everybody may write to it/ });
  });
});

Deno.test("trust: SHA256SUMS in a ConfigMap names the files beside it", async () => {
  const sums = `${sha256("text")}  guard.ts\n`;
  await withFolder(configMap({ "guard.ts": "text", SHA256SUMS: sums }), ({ path, write }) => {
    assert.equal(read(path, "guard.ts"), "text");
    write({ "..data/guard.ts": "other" });
    assertRefused(path, "guard.ts", { reason: /it is not what/ });
  });
});

Deno.test("trust: a list that leads out of the directory, or cannot be read, lets nothing through", async () => {
  await withFolder({
    "SHA256SUMS": `${sha256("text")}  a.ts\n`,
    "plugins/a.ts": "text",
    "plugins/SHA256SUMS": { link: "../SHA256SUMS" },
    "other/a.ts": "text",
    "other/SHA256SUMS/x": "",
    "third/a.ts": "text",
    "third/SHA256SUMS": { link: "gone" },
  }, ({ path }) => {
    assertRefused(join(path, "plugins"), "a.ts", { reason: /SHA256SUMS": it leads out/ });
    assertRefused(join(path, "other"), "a.ts", { reason: /SHA256SUMS": it is not a file/ });
    assertRefused(join(path, "third"), "a.ts", { reason: /SHA256SUMS": it is a link that leads/ });
  });
});

Deno.test("parseSums: what sha256sum writes is read", async () => {
  const names = ["a.ts", "with blank.ts", "back\\slash.ts", "new\nline.ts", "sub/b.ts", "(c).ts"];
  await withFolder(Object.fromEntries(names.map((name) => [name, name])), async ({ path }) => {
    for (const flags of [[], ["--binary"], ["--tag"]]) {
      const { success, stdout } = await new Deno.Command("sha256sum", {
        args: [...flags, "--", ...names],
        cwd: path,
      }).output();
      assert.ok(success);
      const sums = parseSums(new TextDecoder().decode(stdout), "SHA256SUMS");
      assert.deepEqual([...sums], names.map((name) => [name, sha256(name)]), flags.join(" "));
    }
  });
});

Deno.test("parseSums: a line that is not understood, or contradicts another, is refused", () => {
  const sum = sha256("");
  const other = sha256("other");
  assert.deepEqual([...parseSums(`# sums\r\n\r\n${sum.toUpperCase()}  a\r\n`, "S")], [["a", sum]]);
  assert.deepEqual([...parseSums(`${sum}  a\n${sum} *./a\n`, "S")], [["a", sum]]);
  for (
    const [text, line] of [
      [`${sum} a`, 1],
      [`${sum.slice(1)}  a`, 1],
      [`${sum}  `, 1],
      [`\n\nMD5 (a) = ${sum}`, 3],
      [`${sum}  a\n${other}  a`, 2],
      [`${sum}  a\n${other}  ./b/../a`, 2],
    ] as const
  ) {
    assert.throws(() => parseSums(text, "S"), {
      code: "plugin_refused",
      message: new RegExp(`^Cannot read line ${line} of "S": `),
    }, text);
  }
});

Deno.test("parseOwner: the number of a user, or nothing", () => {
  assert.equal(parseOwner(undefined), undefined);
  assert.equal(parseOwner(""), undefined);
  assert.equal(parseOwner("0"), 0);
  assert.equal(parseOwner("1000"), 1000);
  for (const text of ["postgres", "-1", "1.5", " 1", "0x10", "12345678901"]) {
    assert.throws(() => parseOwner(text), {
      kind: "usage",
      message: `Cannot read PLUGINS_OWNER "${text}": it is not the number of a user`,
    });
  }
});
