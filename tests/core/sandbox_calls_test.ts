/** What a plugin has other commands do. */
import assert from "assert";
import { builtIns } from "../../core/command_line.ts";
import type { Flag, Permissions } from "../../core/plugin.ts";
import { type CalledCommand, limitCall } from "../../core/sandbox/calls.ts";
import { withFolder } from "./plugin_folder.ts";

const COMMANDS: Readonly<Record<string, CalledCommand["command"]>> = {
  "load": {
    flags: {
      "dir": { type: "string", help: "D", path: "read" },
      "to": { type: "string", repeatable: true, help: "T", path: "write" },
      "name": { type: "string", help: "N" },
      "ping": { type: "string", help: "P", url: true },
    },
    args: { "file": { help: "F", repeatable: true, path: "read" } },
  },
  "show": { args: { "backup": { help: "B", path: "read", named: true } } },
  "shell": { program: "psql", flags: { "file": { type: "string", help: "F", path: "read" } } },
  "plain": {},
  "plugin list": {},
  "plugin new": {},
};

/** Why a call is refused; undefined when it is not. */
async function refusal(
  name: string,
  call: Parameters<typeof limitCall>[1],
  permissions: Permissions = {},
): Promise<string | undefined> {
  const commandOf = (wanted: string): CalledCommand | undefined => {
    const path = wanted === "sh" ? "shell" : wanted;
    const command = COMMANDS[path];
    return command === undefined ? undefined : { path, command };
  };
  try {
    await limitCall(name, call, { name: "caller", permissions, commandOf });
    return undefined;
  } catch (error) {
    assert.ok(error instanceof Error && "kind" in error && "code" in error);
    assert.equal(error.kind, "refused");
    return `${error.code}: ${error.message}`;
  }
}

Deno.test("sandbox calls: a path that is given is one that the plugin has declared", async () => {
  await withFolder(
    { "in/a": "", "out/b": "", "in/link": { link: "../out/b" } },
    async ({ path }) => {
      const permissions = { read: [`${path}/in`], write: [`${path}/new`] };
      const given = (call: Parameters<typeof limitCall>[1]) => refusal("load", call, permissions);
      assert.equal(await given({}), undefined);
      assert.equal(await given({ flags: { dir: `${path}/in`, name: "/etc" } }), undefined);
      assert.equal(await given({ flags: { to: [`${path}/new/x`] } }), undefined);
      assert.equal(await given({ args: { file: [`${path}/in/a`, `${path}/new`] } }), undefined);
      assert.match(
        await given({ flags: { dir: `${path}/out` } }) ?? "",
        /^not_declared: Cannot run load with --dir ".*\/out": plugin caller does not declare that it reads/,
      );
      assert.match(
        await given({ flags: { to: `${path}/in` } }) ?? "",
        /^not_declared: .*--to .*writes/,
      );
      assert.match(
        await given({ flags: { to: [`${path}/new`, `${path}/in`] } }) ?? "",
        /^not_declared: .*--to /,
      );
      for (
        const file of [`${path}/out/b`, `${path}/in/link`, `${path}/in/../out/b`, "/proc/1", ""]
      ) {
        assert.match(await given({ args: { file } }) ?? "", /^not_declared: .* with file /, file);
      }
    },
  );
});

Deno.test("sandbox calls: an address that is given is one that the plugin has declared", async () => {
  const permissions = { net: ["hooks.example.com", "127.0.0.1:8080", "[::1]:443"] };
  const ping = (url: string) => refusal("load", { flags: { ping: url } }, permissions);
  for (
    const url of [
      "https://hooks.example.com/x",
      "http://hooks.example.com:99",
      "http://127.0.0.1:8080/",
      "https://[::1]/",
    ]
  ) assert.equal(await ping(url), undefined, url);
  for (
    const url of [
      "https://example.com/",
      "https://hooks.example.com.evil.org/",
      "https://hooks.example.com@evil.org/",
      "http://127.0.0.1/",
      "http://[::1]/",
      "hooks.example.com",
      "file:///etc/passwd",
      "",
    ]
  ) {
    assert.match(
      await ping(url) ?? "",
      /^not_declared: Cannot run load with --ping ".*": plugin caller does not declare that it reaches/,
      url,
    );
  }
});

Deno.test("sandbox calls: a name that the command looks for itself is no path", async () => {
  const show = (backup: string) => refusal("show", { args: { backup } });
  assert.equal(await show("latest"), undefined);
  for (const path of ["./latest", "/etc/passwd", "s3://bucket/x"]) {
    assert.match(await show(path) ?? "", /^not_declared: Cannot run show with backup/, path);
  }
});

Deno.test("sandbox calls: what does whatever it is given needs its program to be declared", async () => {
  for (const name of ["shell", "sh"]) {
    assert.equal(
      await refusal(name, {}),
      "not_declared: Cannot run shell: plugin caller does not declare that it runs psql",
    );
    assert.equal(
      await refusal(name, { flags: { file: "/etc/hostname" } }, { run: ["psql"] }),
      undefined,
    );
  }
  assert.equal(await refusal("plain", {}), undefined);
  assert.equal(await refusal("there is none", {}), undefined);
  assert.equal(await refusal("plugin list", {}), undefined);
  assert.match(await refusal("plugin new", {}, { run: ["psql"] }) ?? "", /^forbidden: /);
});

Deno.test("sandbox calls: the built-in commands declare which of their values are paths", () => {
  const looksLikePath = /^(dir|file|path)|-(dir|file|path)$|^(DIR|FILE|PATH)|\|PATH/;
  // Those are names or paths, as a slash tells.
  const named = new Set(["backup show: name", "backup verify: name", "restore: backup"]);
  for (const { commands = {} } of builtIns) {
    for (const [path, { flags = {}, args = {}, program }] of Object.entries(commands)) {
      // Nothing is looked at where the program may do anything.
      if (program !== undefined) continue;
      const values: Readonly<Record<string, Pick<Flag, "path" | "url" | "placeholder">>> = {
        ...flags,
        ...args,
      };
      for (const [name, { path: use, url, placeholder = "" }] of Object.entries(values)) {
        assert.equal(url === true, /url/i.test(`${name} ${placeholder}`), `${path}: ${name}`);
        const wanted = looksLikePath.test(name) || looksLikePath.test(placeholder) ||
          named.has(`${path}: ${name}`);
        assert.equal(use !== undefined, wanted, `${path}: ${name}`);
      }
    }
  }
});
