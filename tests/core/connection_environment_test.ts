import assert from "assert";
import {
  connectionEnvironment,
  withConnection,
  withoutSecrets,
} from "../../core/connection_environment.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import { connect } from "../../core/postgres/connect.ts";
import { parseConnectionString } from "../../core/postgres/connection_string.ts";
import { readParameters } from "../../core/postgres/parameters.ts";
import { systemHost } from "../../core/host.ts";
import { startServer } from "../../tasks/server.ts";
import { clientTools } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const PLAIN: ConnectionParameters = {
  hosts: [{ host: "db.example", port: 5433 }],
  database: "app",
  user: "me",
  password: "pw",
  sslmode: "prefer",
  applicationName: "observatory",
};

/** Every character that means something in a URL, a shell, a keyword string or a password file. */
const ODD = " a:b/c?d#e[f]g@h%i&j=k+l;m\\n'o\"p$q`r!s(t)u*v~w|x<y>z{}^,é☃𝄞%40\t.";

const FULL: ConnectionParameters = {
  hosts: [
    { host: "db1.example", hostaddr: "10.0.0.1", port: 5433 },
    { host: "::1", port: 5434 },
    { host: "db_3", hostaddr: "fe80::1%eth0", port: 5435 },
  ],
  database: `data${ODD}`,
  user: `me${ODD}`,
  password: `pw${ODD}`,
  sslmode: "verify-full",
  sslrootcert: "/a b/root&=.crt",
  sslcert: "/c/me.crt",
  sslkey: "/c/me.key",
  sslnegotiation: "direct",
  channelBinding: "require",
  requireAuth: "scram-sha-256,md5",
  applicationName: "obs é",
  options: "-c search_path=a\\ b,c -c work_mem=1MB",
  connectTimeout: 7,
  targetSessionAttrs: "read-write",
};

const DEFAULTS = { host: "?", database: "?", user: "?", applicationName: "observatory" };

/** What a URL means to this program itself. */
function read(url: string): ConnectionParameters {
  const { values, warnings } = parseConnectionString(url, "DATABASE_URL");
  assert.deepEqual(warnings, []);
  const given = [...values].map(([name, value]) =>
    [name, { value, from: "DATABASE_URL" }] as const
  );
  const { parameters, problems } = readParameters(new Map(given), DEFAULTS);
  assert.deepEqual(problems, []);
  return parameters;
}

Deno.test("connectionEnvironment: a plain connection is told without what libpq does anyhow", () => {
  assert.deepEqual(connectionEnvironment(PLAIN), {
    variables: {
      PGHOST: "db.example",
      PGPORT: "5433",
      PGDATABASE: "app",
      PGUSER: "me",
      PGPASSWORD: "pw",
      PGSSLMODE: "prefer",
      PGGSSENCMODE: "disable",
      PGAPPNAME: "observatory",
      PGCONNECT_TIMEOUT: "10",
      DB_HOST: "db.example",
      DB_PORT: "5433",
      DB_NAME: "app",
      DB_USER: "me",
      DB_PASSWORD: "pw",
      DATABASE_URL: "postgresql://me@db.example:5433/app",
    },
  });
  const { variables } = connectionEnvironment(PLAIN, "other/one");
  assert.deepEqual(
    [variables["PGDATABASE"], variables["DB_NAME"], variables["DATABASE_URL"]],
    ["other/one", "other/one", "postgresql://me@db.example:5433/other%2Fone"],
  );
});

Deno.test("connectionEnvironment: every part has its variable", () => {
  const { variables, passwordFile } = connectionEnvironment(FULL);
  assert.equal(passwordFile, undefined);
  const { DATABASE_URL, ...rest } = variables;
  assert.deepEqual(rest, {
    PGHOST: "db1.example,::1,db_3",
    PGHOSTADDR: "10.0.0.1,,fe80::1%eth0",
    PGPORT: "5433,5434,5435",
    PGDATABASE: FULL.database,
    PGUSER: FULL.user,
    PGPASSWORD: FULL.password,
    PGSSLMODE: "verify-full",
    PGSSLROOTCERT: "/a b/root&=.crt",
    PGSSLCERT: "/c/me.crt",
    PGSSLKEY: "/c/me.key",
    PGSSLNEGOTIATION: "direct",
    PGCHANNELBINDING: "require",
    PGREQUIREAUTH: "scram-sha-256,md5",
    PGGSSENCMODE: "disable",
    PGAPPNAME: "obs é",
    PGOPTIONS: FULL.options,
    PGCONNECT_TIMEOUT: "7",
    PGTARGETSESSIONATTRS: "read-write",
    DB_HOST: "db1.example,::1,db_3",
    DB_PORT: "5433,5434,5435",
    DB_NAME: FULL.database,
    DB_USER: FULL.user,
    DB_PASSWORD: FULL.password,
  });
  // What an older libpq takes for an error in a URL, it ignores in the environment.
  assert.doesNotMatch(DATABASE_URL ?? "", /sslnegotiation|require_auth|gssencmode/);
});

Deno.test("connectionEnvironment: the URL says what the parameters say", () => {
  const { sslnegotiation: _, requireAuth: __, password: ____, ...inUrl } = {
    ...FULL,
    applicationName: "observatory",
  };
  const url = (parameters: ConnectionParameters) =>
    connectionEnvironment(parameters).variables["DATABASE_URL"] ?? "";
  assert.deepEqual(read(url(FULL)), inUrl);
  const { password: ___, ...without } = PLAIN;
  for (
    const hosts of [
      [{ host: "/var/run/postgresql", port: 5432 }],
      [{ host: "/tmp/a b&c=d%", port: 6543 }],
      [{ host: "@abstract", port: 5432 }],
      [{ host: "/tmp", port: 1 }, { host: "db", port: 2 }, { host: "::1", port: 3 }],
      [{ host: "fe80::1%eth0", port: 5432 }],
      [{ host: "10.0.0.1", hostaddr: "10.0.0.1", port: 5432 }],
      [{ host: "/not/a/socket", hostaddr: "10.0.0.1", port: 5432 }],
      [{ host: "a", port: 1 }, { host: "b", port: 1 }],
    ]
  ) assert.deepEqual(read(url({ ...without, hosts })), { ...without, hosts });
  // Scripts put the URL into arguments, which every user of the machine can read.
  assert.deepEqual(read(url(PLAIN)), without);
});

Deno.test("connectionEnvironment: one password of all hosts is told as one, different ones by host", () => {
  const { password: _, ...rest } = PLAIN;
  const same = connectionEnvironment({
    ...rest,
    hosts: [{ host: "a", port: 1, password: "x" }, { host: "b", port: 2, password: "x" }],
  });
  assert.equal(same.variables["PGPASSWORD"], "x");
  assert.equal(same.passwordFile, undefined);
  const different = connectionEnvironment({
    ...rest,
    hosts: [{ host: "a", port: 1, password: "x" }, { host: "::1", port: 2 }],
  });
  assert.equal(different.variables["PGPASSWORD"], undefined);
  assert.equal(different.variables["DB_PASSWORD"], undefined);
  assert.equal(different.variables["DATABASE_URL"], "postgresql://me@a:1,[::1]:2/app");
  assert.equal(different.passwordFile, "a:1:app:me:x\n");
});

Deno.test("environments: secrets and what would mislead are left out, the rest stays", () => {
  const others = {
    PATH: "/bin",
    LC_ALL: "C",
    PGTZ: "UTC",
    PGSSLCRL: "/crl",
    AWS_SECRET_ACCESS_KEY: "cloud",
  };
  const secrets = { DATABASE_URL: "u", DB_PASSWORD: "p", PGPASSWORD: "p" };
  const env = {
    ...others,
    ...secrets,
    DB_HOST: "h",
    PGHOST: "h",
    PGPASSFILE: "/f",
    GONE: undefined,
  };
  assert.deepEqual(withoutSecrets(env), { ...others, DB_HOST: "h", PGHOST: "h", PGPASSFILE: "/f" });
  const misleading = {
    PGSERVICE: "s",
    PGSERVICEFILE: "/s",
    PGHOSTADDR: "10.0.0.9",
    PGOPTIONS: "-c a=b",
    PGSSLROOTCERT: "/r",
    PGREQUIREAUTH: "md5",
    PGTARGETSESSIONATTRS: "standby",
    PGLOADBALANCEHOSTS: "random",
    DB_PASSWORD_FILE: "/f",
    DATABASE_URL_FILE: "/f",
  };
  const known = connectionEnvironment(PLAIN);
  assert.deepEqual(withConnection({ ...env, ...misleading }, known), {
    ...others,
    ...known.variables,
  });
  const { password: _, ...rest } = PLAIN;
  const unknown = connectionEnvironment(rest);
  assert.deepEqual(withConnection({ ...env, ...misleading }, unknown), {
    ...others,
    ...unknown.variables,
    PGPASSFILE: "/f",
  });
});

const tools = await clientTools();
const psqlIsMissing = (what: string) =>
  skipWhenMissing(what, tools === undefined ? "psql is not installed" : undefined);

const FACTS = `SELECT concat_ws('|', current_database(), current_user, inet_server_addr(),
  inet_server_port(), current_setting('application_name'), current_setting('work_mem'))`;

async function psql(env: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const { stdout, stderr } = await new Deno.Command(tools?.psql ?? "psql", {
    args: ["-XAtwq", "-c", FACTS, ...args],
    clearEnv: true,
    env: { HOME: "/nonexistent", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return (decoder.decode(stdout) + decoder.decode(stderr)).trimEnd();
}

Deno.test({
  name:
    "connectionEnvironment: psql reaches what this program reaches, by the variables and by the URL",
  ignore: psqlIsMissing("psql by the environment"),
  async fn() {
    await using server = await startServer({
      hba: [
        "local all postgres trust",
        "local all all scram-sha-256",
        "host all all all scram-sha-256",
      ],
    });
    const admin: ConnectionParameters = {
      hosts: [{ host: server.socketDirectory, port: server.port }],
      database: "postgres",
      user: "postgres",
      sslmode: "prefer",
      applicationName: "observatory",
    };
    const { dialer } = systemHost();
    const session = await connect(admin, { dialer });
    const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const name = ODD.trim().slice(0, 40);
    try {
      const password = ODD.replaceAll("'", "''");
      await session.simple(`CREATE ROLE ${quoted(name)} LOGIN PASSWORD '${password}'`);
      for (const database of [name, "other=1", "postgres://x"]) {
        await session.simple(`CREATE DATABASE ${quoted(database)}`);
      }
    } finally {
      await session.close();
    }
    const role = {
      ...admin,
      user: name,
      password: ODD,
      database: name,
      applicationName: `app ${"'"}x"`,
      options: "-c work_mem=5MB",
    };
    const tcp = { host: "127.0.0.1", port: server.port };
    const socket = { host: server.socketDirectory, port: server.port };
    const closed = { host: "127.0.0.1", port: 1 };
    const cases: ConnectionParameters[] = [
      admin,
      { ...role, hosts: [socket] },
      { ...role, hosts: [tcp], sslmode: "disable" },
      { ...role, hosts: [{ host: "db.invalid", hostaddr: "127.0.0.1", port: server.port }] },
      { ...role, hosts: [closed, tcp], targetSessionAttrs: "read-write", connectTimeout: 5 },
      { ...role, hosts: [closed, socket], channelBinding: "prefer" },
      { ...role, hosts: [tcp], database: "other=1", requireAuth: "scram-sha-256" },
      { ...role, hosts: [tcp], database: "postgres://x", sslnegotiation: "postgres" },
    ];
    for (const parameters of cases) {
      const own = await connect(parameters, { dialer });
      let expected: string;
      try {
        const [result] = await own.simple(FACTS);
        expected = String(result?.rows[0]?.[0]);
      } finally {
        await own.close();
      }
      assert.match(expected, /\|/);
      const { variables } = connectionEnvironment(parameters);
      const misleading = { PGHOST: "nowhere.invalid", PGSERVICE: "none", PGPASSFILE: "/none" };
      assert.equal(await psql(withConnection(misleading, { variables })), expected);
      // The URL alone, with what it does not say.
      const { DATABASE_URL = "", PGAPPNAME = "", PGPASSWORD = "" } = variables;
      assert.equal(await psql({ PGAPPNAME, PGPASSWORD }, ["-d", DATABASE_URL]), expected);
    }
    // Another database by name.
    const { variables } = connectionEnvironment({ ...role, hosts: [tcp] }, "other=1");
    assert.match(await psql(variables), /^other=1\|/);
  },
});

Deno.test({
  name: "connectionEnvironment: psql uses a password file as this program uses passwords by host",
  ignore: psqlIsMissing("psql by a password file"),
  async fn() {
    await using server = await startServer({
      hba: ["local all postgres trust", "host all all all scram-sha-256"],
    });
    const { dialer } = systemHost();
    const socket = { host: server.socketDirectory, port: server.port };
    const base = { database: "postgres", sslmode: "disable", applicationName: "x" } as const;
    const session = await connect({ ...base, hosts: [socket], user: "postgres" }, { dialer });
    try {
      await session.simple("CREATE ROLE me LOGIN PASSWORD 'a:b\\c'");
    } finally {
      await session.close();
    }
    const file = await Deno.makeTempFile({ prefix: "observatory-pgpass-" });
    try {
      const tcp = { host: "127.0.0.1", port: server.port };
      const psqlWith = async (hosts: ConnectionParameters["hosts"]) => {
        const environment = connectionEnvironment({ ...base, user: "me", hosts });
        await Deno.writeTextFile(file, environment.passwordFile ?? "");
        return await psql({ ...environment.variables, PGPASSFILE: file });
      };
      const closed = { host: "127.0.0.1", port: 1, password: "another" };
      assert.match(await psqlWith([closed, { ...tcp, password: "a:b\\c" }]), /^postgres\|me\|/);
      assert.match(
        await psqlWith([{ ...closed, password: "a:b\\c" }, tcp]),
        /no password supplied/,
      );
    } finally {
      await Deno.remove(file);
    }
  },
});
