import assert from "assert";
import { join } from "node:path";
import { createClientTools } from "../../core/client_tools.ts";
import { type Host, systemHost } from "../../core/host.ts";
import { fakeHost, type FakeMachine } from "../../core/testing.ts";
import type { FakeProgram } from "../../core/testing_programs.ts";
import { clientTools } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

/** A machine with programs of these versions by path; what was asked for its version is noted. */
function machine(
  versions: Readonly<Record<string, string>>,
  options: FakeMachine & { readonly links?: Readonly<Record<string, string>> } = {},
): { host: Host; asked: string[] } {
  const asked: string[] = [];
  const program = (path: string, version: string): FakeProgram => ({ args }) => {
    assert.deepEqual(args, ["--version"]);
    asked.push(path);
    return version === ""
      ? { code: 127, stderr: "error while loading shared libraries: libpq.so.5" }
      : { stdout: `${path.split("/").at(-1)} (PostgreSQL) ${version}\n` };
  };
  const host = fakeHost({
    env: { PATH: "/usr/local/bin:/usr/bin" },
    ...options,
    programs: Object.fromEntries(
      Object.entries(versions).map(([path, version]) => [path, program(path, version)]),
    ),
    // The directories are seen by what is in them.
    files: Object.fromEntries(Object.keys(versions).map((path) => [path, ""])),
  });
  const { links = {} } = options;
  const find: Host["programs"]["find"] = async (path) =>
    path in links
      ? { realPath: links[path] ?? "", executable: true }
      : await host.programs.find(path);
  return { host: { ...host, programs: { ...host.programs, find } }, asked };
}

const debian = (...majors: number[]) =>
  Object.fromEntries(
    majors.map((major) => [`/usr/lib/postgresql/${major}/bin/pg_dump`, `${major}.4 (Debian)`]),
  );

Deno.test("clientTool: the major asked for comes first, then the lowest newer one, else the newest", async () => {
  for (
    const [wanted, expected] of [[15, 15], [16, 17], [17, 17], [13, 15], [undefined, 18]] as const
  ) {
    const { host, asked } = machine(debian(18, 15, 17));
    const tools = createClientTools({ host });
    const options = wanted === undefined ? {} : { major: wanted };
    const path = `/usr/lib/postgresql/${expected}/bin/pg_dump`;
    const found = { path, version: `${expected}.4`, major: expected };
    assert.deepEqual(await tools.find("pg_dump", options), found);
    assert.deepEqual(await tools.find("pg_dump", options), found);
    // Nobody else is asked, and that one only once.
    assert.deepEqual(asked, [path]);
  }
});

Deno.test("clientTool: the one on PATH comes first among those of a major, by its real path", async () => {
  const path = "/usr/lib/postgresql/16/bin/psql";
  const links = { "/usr/local/bin/psql": "/opt/postgres/bin/psql" };
  const versions = { "/opt/postgres/bin/psql": "16.1", [path]: "16.4" };
  const { host } = machine(versions, { links });
  assert.deepEqual(await createClientTools({ host }).find("psql", { major: 16 }), {
    path: "/opt/postgres/bin/psql",
    version: "16.1",
    major: 16,
  });
  const older = machine({ ...versions, "/opt/postgres/bin/psql": "15.1" }, { links });
  const { path: found } = await createClientTools({ host: older.host }).find("psql", { major: 16 });
  assert.equal(found, path);
});

Deno.test("clientTool: Debian's script on PATH is passed over; another name for a program is kept", async () => {
  const wrapper = "/usr/share/postgresql-common/pg_wrapper";
  const links = { "/usr/bin/pg_dump": wrapper };
  const { host } = machine({ ...debian(15), [wrapper]: "99.1" }, { links });
  assert.equal((await createClientTools({ host }).find("pg_dump")).major, 15);
  const alone = machine({ [wrapper]: "99.1" }, { links });
  await assert.rejects(createClientTools({ host: alone.host }).find("pg_dump"), {
    code: "client_tool_missing",
  });
  const multi = machine({ "/usr/bin/pg_dump": "16.2" }, {
    links: { "/usr/bin/pg_dump": "/usr/libexec/pg_tools" },
  });
  assert.equal(
    (await createClientTools({ host: multi.host }).find("pg_dump")).path,
    "/usr/bin/pg_dump",
  );
});

Deno.test("clientTool: programs are found where systems put them", async () => {
  for (
    const path of [
      "/usr/lib/postgresql/16/bin/pg_restore",
      "/usr/pgsql-16/bin/pg_restore",
      "/usr/local/pgsql/bin/pg_restore",
      "/opt/homebrew/opt/postgresql@16/bin/pg_restore",
      "/opt/homebrew/opt/libpq/bin/pg_restore",
      "/usr/libexec/postgresql16/pg_restore",
      "/usr/libexec/postgresql/pg_restore",
      "/usr/lib/postgresql16/bin/pg_restore",
      "/Applications/Postgres.app/Contents/Versions/16/bin/pg_restore",
      "/usr/bin/pg_restore",
    ]
  ) {
    const { host, asked } = machine({ [path]: "16.4" });
    const tool = await createClientTools({ host }).find("pg_restore", { major: 16 });
    assert.deepEqual(tool, { path, version: "16.4", major: 16 });
    assert.deepEqual(asked, [path]);
  }
});

Deno.test("clientTool: what a program says counts, not its directory's name, and not one that does not run", async () => {
  const named = (major: number) => `/usr/lib/postgresql/${major}/bin/pg_dump`;
  const { host } = machine({ [named(15)]: "14.2", [named(16)]: "", [named(17)]: "17beta1" });
  const tools = createClientTools({ host });
  assert.deepEqual(await tools.find("pg_dump", { major: 15 }), {
    path: named(17),
    version: "17beta1",
    major: 17,
  });
  assert.equal((await tools.find("pg_dump", { major: 14 })).path, named(15));
});

Deno.test("clientTool: one that is missing or too old is told with what was found and the package", async () => {
  const none = machine({});
  await assert.rejects(createClientTools({ host: none.host }).find("pg_dump", { major: 17 }), {
    name: "OperationError",
    kind: "failed",
    code: "client_tool_missing",
    message: "Cannot find pg_dump on PATH or where packages put it",
    hint: "Install the package postgresql-client-17 or newer on Debian and Ubuntu " +
      "(apt.postgresql.org has all), postgresql17-client on Alpine, postgresql17 from yum.postgresql.org; " +
      "or name its directory by PG_BIN_DIR",
    details: { name: "pg_dump", major: 17, found: [] },
  });
  await assert.rejects(createClientTools({ host: none.host }).find("psql"), {
    code: "client_tool_missing",
    hint: /postgresql-client on Debian/,
  });
  const old = machine(debian(15, 16));
  await assert.rejects(createClientTools({ host: old.host }).find("pg_dump", { major: 17 }), {
    kind: "failed",
    code: "client_tool_outdated",
    message: "Cannot find pg_dump of version 17 or newer: " +
      "/usr/lib/postgresql/15/bin/pg_dump is 15, /usr/lib/postgresql/16/bin/pg_dump is 16",
    hint: /postgresql-client-17/,
    details: {
      name: "pg_dump",
      major: 17,
      found: [
        { path: "/usr/lib/postgresql/15/bin/pg_dump", version: "15" },
        { path: "/usr/lib/postgresql/16/bin/pg_dump", version: "16" },
      ],
    },
  });
  const broken = machine({ "/usr/bin/psql": "" });
  await assert.rejects(createClientTools({ host: broken.host }).find("psql"), {
    code: "client_tool_missing",
    message: "Cannot find psql on PATH or where packages put it: /usr/bin/psql does not run",
  });
});

Deno.test("clientTool: with PG_BIN_DIR nothing else is looked at", async () => {
  const { host } = machine({ ...debian(17), "/opt/pg/bin/pg_dump": "15.2" });
  const tools = createClientTools({ host, directory: "/opt/pg/bin/" });
  assert.equal((await tools.find("pg_dump", { major: 15 })).path, "/opt/pg/bin/pg_dump");
  await assert.rejects(tools.find("pg_dump", { major: 17 }), {
    code: "client_tool_outdated",
    hint: /change PG_BIN_DIR$/,
  });
  await assert.rejects(tools.find("psql"), {
    code: "client_tool_missing",
    message: 'Cannot find psql in "/opt/pg/bin/", which PG_BIN_DIR names',
  });
});

Deno.test("clientTool: the server is looked for everywhere, in PG_BIN_DIR first", async () => {
  const server = (major: number) => `/usr/lib/postgresql/${major}/bin/postgres`;
  const { host } = machine({
    "/clients/psql": "18.4",
    [server(15)]: "15.4",
    [server(17)]: "17.4",
    "/named/postgres": "17.2",
  });
  const find = (directory: string, major: number) =>
    createClientTools({ host, directory }).find("postgres", { major });
  assert.equal((await find("/clients", 15)).path, server(15));
  assert.equal((await find("/clients", 16)).path, server(17));
  assert.equal((await find("/named", 16)).path, "/named/postgres");
  await assert.rejects(find("/named", 18), { code: "client_tool_outdated" });
  // Clients are looked for in that directory alone.
  await assert.rejects(createClientTools({ host, directory: "/named" }).find("psql"), {
    code: "client_tool_missing",
  });
});

const installed = await clientTools();

Deno.test({
  name: "clientTool: this machine's own are found, by their real paths",
  ignore: skipWhenMissing(
    "clientTool on this machine",
    installed === undefined ? "PostgreSQL's client programs are not installed" : undefined,
  ),
  async fn() {
    const tools = createClientTools({ host: systemHost() });
    for (const name of ["psql", "pg_dump", "pg_dumpall", "pg_restore"] as const) {
      const { path, version, major } = await tools.find(name);
      assert.equal(await Deno.realPath(path), path);
      assert.match(path, new RegExp(`/${name}$`));
      assert.match(version, new RegExp(`^${major}\\b`));
      const { stdout } = await new Deno.Command(path, { args: ["--version"] }).output();
      assert(new TextDecoder().decode(stdout).includes(` ${version}`));
    }
    await assert.rejects(tools.find("pg_dump", { major: 99 }), { code: "client_tool_outdated" });
  },
});

Deno.test("clientTool: a program that the system cannot start counts as one that does not run", async () => {
  const directory = await Deno.makeTempDir({ prefix: "observatory-tools-" });
  try {
    await Deno.writeTextFile(join(directory, "psql"), "#!/no/such/shell\n", { mode: 0o755 });
    await Deno.writeTextFile(
      join(directory, "pg_dump"),
      "#!/bin/sh\necho 'pg_dump (PostgreSQL) 16.1'\n",
      {
        mode: 0o755,
      },
    );
    const tools = createClientTools({ host: systemHost(), directory });
    await assert.rejects(tools.find("psql"), { message: /psql does not run$/ });
    assert.equal((await tools.find("pg_dump")).version, "16.1");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
