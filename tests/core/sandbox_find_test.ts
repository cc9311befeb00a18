import assert from "assert";
import { join } from "node:path";
import {
  findPlugins,
  type FoundPlugin,
  type PluginDirectories,
  systemPlugins,
} from "../../core/sandbox/find.ts";
import { PROJECT } from "../../tasks/build.ts";
import { configMap, withFolder } from "./plugin_folder.ts";

/** What was found, by name and path relative to a directory. */
async function found(directories: PluginDirectories, root: string): Promise<string[]> {
  const plugins = await findPlugins(directories);
  return plugins.map(({ name, path }) => `${name}: ${path.slice(root.length + 1)}`);
}

Deno.test("findPlugins: plugin files and folders, by name, and nothing else", async () => {
  await withFolder({
    "vacuum.ts": "",
    "archive.js": "",
    "b-last.mjs": "",
    "zeta/mod.ts": "",
    "yota/mod.js": "",
    "xi/mod.mjs": "",
    "both/mod.js": "",
    "both/mod.ts": "",
    "_shared.ts": "",
    ".hidden.ts": "",
    "_lib/mod.ts": "",
    ".git/mod.ts": "",
    "vacuum_test.ts": "",
    "archive_test.js": "",
    "b_test.mjs": "",
    "types.d.ts": "",
    "view.tsx": "",
    "script.sh": "",
    "README.md": "",
    "SHA256SUMS": "",
    "lib/greet.ts": "",
    "deep/er/mod.ts": "",
    "lost+found/mod.ts": "",
    ".ts": "",
  }, async ({ path }) => {
    assert.deepEqual(await found({ project: path }, path), [
      "archive: archive.js",
      "b-last: b-last.mjs",
      "both: both/mod.ts",
      "vacuum: vacuum.ts",
      "xi: xi/mod.mjs",
      "yota: yota/mod.js",
      "zeta: zeta/mod.ts",
    ]);
  });
});

Deno.test("findPlugins: the system's directory, the project's, then those given, each in its turn", async () => {
  await withFolder({
    "system/z.ts": "",
    "project/y.ts": "",
    "one/x.ts": "",
    "two/a.ts": "",
    "two/y.ts": "",
  }, async ({ path }) => {
    const plugins = await findPlugins({
      system: join(path, "system"),
      project: join(path, "project"),
      given: [join(path, "one"), join(path, "two")],
    });
    const expected: FoundPlugin[] = [
      ["z", "system", "system"] as const,
      ["y", "project", "project"] as const,
      ["x", "one", "flag"] as const,
      ["a", "two", "flag"] as const,
      ["y", "two", "flag"] as const,
    ].map(([name, folder, origin]) => {
      const directory = join(path, folder);
      return { name, path: join(directory, `${name}.ts`), directory, origin };
    });
    assert.deepEqual(plugins, expected);
  });
});

Deno.test("findPlugins: a file that several names lead to is found once, by the first", async () => {
  await withFolder({
    "plugins/vacuum.ts": "",
    "plugins/wipe.ts": { link: "vacuum.ts" },
    "other": { link: "plugins" },
    "again/clean.ts": { link: "../plugins/vacuum.ts" },
  }, async ({ path }) => {
    const given = ["plugins", "plugins/../plugins", "other", "again"].map((each) =>
      join(path, each)
    );
    assert.deepEqual(await found({ project: join(path, "other"), given }, path), [
      "vacuum: plugins/vacuum.ts",
    ]);
  });
});

Deno.test("findPlugins: a ConfigMap's files are found by their own names", async () => {
  await withFolder(configMap({ "guard.ts": "", "_shared.ts": "" }), async ({ path }) => {
    assert.deepEqual(await found({ project: path }, path), ["guard: guard.ts"]);
  });
});

Deno.test("findPlugins: links that lead nowhere or in a circle are found, since they may have been a guard", async () => {
  await withFolder({
    "guard.ts": { link: "gone.ts" },
    "circle.ts": { link: "circle.ts" },
    "notes.md": { link: "gone.md" },
    "folder/mod.ts": { link: "../gone.ts" },
  }, async ({ path }) => {
    assert.deepEqual(await found({ project: path }, path), [
      "circle: circle.ts",
      "folder: folder/mod.ts",
      "guard: guard.ts",
    ]);
  });
});

Deno.test("findPlugins: without the system's directory nothing is said; without another that was named, it is", async () => {
  await withFolder({ "file.ts": "" }, async ({ path }) => {
    const missing = join(path, "missing");
    assert.deepEqual(await findPlugins({ system: missing }), []);
    assert.deepEqual(await findPlugins({ system: undefined, project: "", given: [] }), []);
    for (
      const [directories, named] of [
        [{ project: missing }, "PLUGINS_DIR"],
        [{ given: [missing] }, "--plugin-dir"],
      ] as const
    ) {
      await assert.rejects(findPlugins(directories), {
        name: "OperationError",
        kind: "usage",
        code: "plugin_directory_missing",
        message:
          `Cannot read the plugin directory "${missing}" (${named}): there is no such directory`,
      });
    }
    await Deno.symlink("gone", join(path, "link"));
    for (const directories of [{ system: join(path, "link") }, { given: [join(path, "link")] }]) {
      await assert.rejects(findPlugins(directories), {
        kind: "usage",
        message: /link" \(.*\): permission is denied, or it is a link that leads nowhere$/,
      });
    }
    const file = join(path, "file.ts");
    for (const directories of [{ system: file }, { project: file }]) {
      await assert.rejects(findPlugins(directories), {
        kind: "usage",
        message: /file\.ts" \(.*\): it is not a directory$/,
      });
    }
  });
});

Deno.test({
  name: "findPlugins: what permission is denied to is found, and refused when it is loaded",
  // Root is denied nothing, but can become somebody else.
  ignore: Deno.uid() !== 0,
  async fn() {
    const script = `
      import { findPlugins } from "${join(PROJECT, "core/sandbox/find.ts")}";
      import { trustDirectory } from "${join(PROJECT, "core/sandbox/trust.ts")}";
      for (const project of Deno.args) {
        try {
          for (const { name, path, directory } of await findPlugins({ project })) {
            try {
              console.log(name, trustDirectory(directory).read(path)?.path);
            } catch (error) {
              console.log(name, error.code, error.message.replace(/^.*": /, ""));
            }
          }
        } catch (error) {
          console.log(error.name, error.message.replace(/^.*\\W{2} /, ""));
        }
      }
    `;
    await withFolder({
      "script.js": script,
      "mixed/free.ts": "",
      "mixed/denied.ts": "",
      "mixed/closed/mod.ts": "",
      "unlisted/a.ts": "",
      "unreached/plugins/a.ts": "",
    }, async ({ path }) => {
      await Deno.chmod(path, 0o755);
      await Deno.mkdir(join(path, "cache"));
      await Deno.chmod(join(path, "cache"), 0o777);
      await Deno.chmod(join(path, "mixed/denied.ts"), 0o600);
      await Deno.chmod(join(path, "mixed/closed"), 0o700);
      await Deno.chmod(join(path, "unlisted"), 0o711);
      await Deno.chmod(join(path, "unreached"), 0o700);
      const bundle = join(path, "bundle.js");
      const bundled = await new Deno.Command(Deno.execPath(), {
        args: ["bundle", "--quiet", "--output", bundle, join(path, "script.js")],
      }).output();
      assert.ok(bundled.success, new TextDecoder().decode(bundled.stderr));
      // Deno may lie where that user cannot go, such as below /root.
      const deno = join(path, "deno");
      await Deno.copyFile(Deno.execPath(), deno);
      await Deno.chmod(deno, 0o755);
      const { stdout, stderr } = await new Deno.Command(deno, {
        args: ["run", "-A", "--no-config", bundle]
          .concat(["mixed", "unlisted", "unreached/plugins"].map((name) => join(path, name))),
        cwd: path,
        uid: 65534,
        env: { DENO_DIR: join(path, "cache") },
      }).output();
      assert.deepEqual(new TextDecoder().decode(stdout).trim().split("\n"), [
        "closed plugin_refused permission is denied",
        "denied plugin_refused permission is denied",
        `free ${join(path, "mixed/free.ts")}`,
        "OperationError permission is denied",
        "OperationError permission is denied, or it is a link that leads nowhere",
      ], new TextDecoder().decode(stderr));
    });
  },
});

Deno.test("systemPlugins: the administrator's directory, unless the environment names another", () => {
  assert.equal(systemPlugins({}), "/etc/observatory/plugins");
  assert.equal(systemPlugins({ OBSERVATORY_SYSTEM_PLUGINS: "" }), "/etc/observatory/plugins");
  assert.equal(systemPlugins({ OBSERVATORY_SYSTEM_PLUGINS: "/opt/p" }), "/opt/p");
});
