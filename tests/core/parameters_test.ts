import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import type { ParameterName } from "../../core/postgres/connection_string.ts";
import { readParameters } from "../../core/postgres/parameters.ts";
import { accessProblem, findPassword } from "../../core/postgres/password_file.ts";
import { findService } from "../../core/postgres/service_file.ts";

type Given = Partial<Record<ParameterName, string>>;

const read = (given: Given) => {
  const values = Object.entries(given).map(([name, value]) =>
    [name as ParameterName, { value, from: "HERE" }] as const
  );
  return readParameters(new Map(values), {
    host: "localhost",
    database: "app",
    user: "me",
    applicationName: "observatory",
  });
};

const DEFAULTS: ConnectionParameters = {
  hosts: [{ host: "localhost", port: 5432 }],
  database: "app",
  user: "me",
  sslmode: "prefer",
  applicationName: "observatory",
};

const ACCEPTED: [given: Given, expected: Partial<ConnectionParameters>][] = [
  [{}, {}],
  [{ host: "db" }, { hosts: [{ host: "db", port: 5432 }] }],
  [{ port: " 6543 " }, { hosts: [{ host: "localhost", port: 6543 }] }],
  [{ host: "a,b", port: "1" }, { hosts: [{ host: "a", port: 1 }, { host: "b", port: 1 }] }],
  [{ host: "a,b", port: "1,2" }, { hosts: [{ host: "a", port: 1 }, { host: "b", port: 2 }] }],
  [{ host: "a,,b", port: "1,,2" }, {
    hosts: [{ host: "a", port: 1 }, { host: "localhost", port: 5432 }, { host: "b", port: 2 }],
  }],
  [{ host: "::1" }, { hosts: [{ host: "::1", port: 5432 }] }],
  [{ host: "/var/run/my pg:1" }, { hosts: [{ host: "/var/run/my pg:1", port: 5432 }] }],
  [{ host: "@abstract" }, { hosts: [{ host: "@abstract", port: 5432 }] }],
  [{ host: "db", hostaddr: "10.0.0.1" }, {
    hosts: [{ host: "db", hostaddr: "10.0.0.1", port: 5432 }],
  }],
  [{ hostaddr: "10.0.0.1,10.0.0.2" }, {
    hosts: [
      { host: "10.0.0.1", hostaddr: "10.0.0.1", port: 5432 },
      { host: "10.0.0.2", hostaddr: "10.0.0.2", port: 5432 },
    ],
  }],
  [{ dbname: "x", user: "u", password: "p" }, { database: "x", user: "u", password: "p" }],
  [{ sslmode: "verify-ca", sslrootcert: "/c", sslcert: "/d", sslkey: "/e" }, {
    sslmode: "verify-ca",
    sslrootcert: "/c",
    sslcert: "/d",
    sslkey: "/e",
  }],
  [{ sslrootcert: "system" }, { sslmode: "verify-full", sslrootcert: "system" }],
  [{ sslnegotiation: "direct", sslmode: "require" }, {
    sslmode: "require",
    sslnegotiation: "direct",
  }],
  [{ channel_binding: "require", target_session_attrs: "prefer-standby", options: "-c a=b" }, {
    channelBinding: "require",
    targetSessionAttrs: "prefer-standby",
    options: "-c a=b",
  }],
  [{ require_auth: "scram-sha-256, md5" }, { requireAuth: "scram-sha-256,md5" }],
  [{ require_auth: "!password,!md5" }, { requireAuth: "!password,!md5" }],
  [{ connect_timeout: " 7 " }, { connectTimeout: 7 }],
  [{ connect_timeout: "-1" }, { connectTimeout: 0 }],
  [{ application_name: "a", fallback_application_name: "b" }, { applicationName: "a" }],
  [{ fallback_application_name: "b" }, { applicationName: "b" }],
];

for (const [given, expected] of ACCEPTED) {
  Deno.test(`readParameters: accepts ${JSON.stringify(given)}`, () => {
    const { parameters, problems } = read(given);
    assert.deepEqual(problems, []);
    assert.deepEqual(parameters, { ...DEFAULTS, ...expected });
  });
}

const REFUSED: [given: Given, problems: string[]][] = [
  [{ port: "abc" }, ["HERE is not a port from 1 to 65535"]],
  [{ port: "0" }, ["HERE is not a port from 1 to 65535"]],
  [{ port: "65536" }, ["HERE is not a port from 1 to 65535"]],
  [{ port: "-1" }, ["HERE is not a port from 1 to 65535"]],
  [{ host: "a,b", port: "1,x" }, ["port 2 of HERE is not a port from 1 to 65535"]],
  [{ host: "a,b", port: "1,2,3" }, ["3 ports of HERE cannot be matched with 2 hosts"]],
  [{ host: "a,b", hostaddr: "10.0.0.1" }, [
    "2 hosts of HERE cannot be matched with 1 of hostaddr of HERE",
  ]],
  [{ host: "postgres://u:hunter2@h" }, ["host 1 of HERE looks like a URL or a part of one"]],
  [{ host: "a,hunter2@h" }, ["host 2 of HERE looks like a URL or a part of one"]],
  [{ host: "db:5433" }, ["host 1 of HERE holds a port"]],
  [{ host: "d b" }, ["host 1 of HERE holds a space"]],
  [{ sslmode: "yes" }, [
    "sslmode of HERE is none of disable, allow, prefer, require, verify-ca, verify-full",
  ]],
  [{ sslnegotiation: "direct" }, [
    "sslnegotiation=direct of HERE needs sslmode require, verify-ca or verify-full, and it is prefer",
  ]],
  [{ sslrootcert: "system", sslmode: "require" }, [
    "sslrootcert=system of HERE needs sslmode verify-full, and it is require by HERE",
  ]],
  [{ channel_binding: "no" }, ["channel_binding of HERE is none of disable, prefer, require"]],
  [{ require_auth: "hunter2" }, [
    "require_auth of HERE names something other than password, md5, gss, sspi, scram-sha-256, oauth, none",
  ]],
  [{ require_auth: "md5,!password" }, [
    'require_auth of HERE mixes names with and without "!"',
  ]],
  [{ connect_timeout: "1.5" }, ["connect_timeout of HERE is not a whole number of seconds"]],
  [{ port: "x", sslmode: "y" }, [
    "HERE is not a port from 1 to 65535",
    "sslmode of HERE is none of disable, allow, prefer, require, verify-ca, verify-full",
  ]],
];

for (const [given, expected] of REFUSED) {
  Deno.test(`readParameters: refuses ${JSON.stringify(given)}`, () => {
    const messages = read(given).problems.map(({ message }) => message);
    assert.deepEqual(messages.toSorted(), expected.toSorted());
  });
}

const PASSWORDS = `# comment:5432:*:*:no
db:5432:app:me:first
db:5432:app:me:second
db:*:app:me:any port
localhost:5432:*:me:local
a\\:b:5432:c\\\\d:e\\:f:p\\:q\\\\r:s
short:5432:app
*:*:*:last:ä#:
crlf:1:*:*:pw\r
`;

const LOGINS: [login: [string, number, string, string], password: string | undefined][] = [
  [["db", 5432, "app", "me"], "first"],
  [["db", 5433, "app", "me"], "any port"],
  [["db", 5432, "other", "me"], undefined],
  [["db", 5432, "app", "you"], undefined],
  [["localhost", 5432, "x", "me"], "local"],
  [["/var/run/postgresql", 5432, "x", "me"], "local"],
  [["/tmp", 5432, "x", "me"], "local"],
  [["/srv/sockets", 5432, "x", "me"], undefined],
  [["127.0.0.1", 5432, "x", "me"], undefined],
  [["a:b", 5432, "c\\d", "e:f"], "p:q\\r:s"],
  [["short", 5432, "app", "me"], undefined],
  [["anything", 1, "x", "last"], "ä#:"],
  [["crlf", 1, "x", "y"], "pw"],
  [["# comment", 5432, "x", "y"], undefined],
];

for (const [[host, port, database, user], expected] of LOGINS) {
  Deno.test(`findPassword: for ${user}@${host}:${port}/${database} gives ${expected}`, () => {
    assert.equal(findPassword(PASSWORDS, { host, port, database, user })?.password, expected);
  });
}

Deno.test("findPassword: tells the line", () => {
  const login = { host: "db", port: 1, database: "app", user: "me" };
  assert.deepEqual(findPassword(PASSWORDS, login), { password: "any port", line: 4 });
});

Deno.test("accessProblem: allows the owner alone", () => {
  for (const mode of [0o100600, 0o100400, 0o600, undefined]) {
    assert.equal(accessProblem("/p", mode), undefined);
  }
  for (const mode of [0o100640, 0o100604, 0o620, 0o601]) {
    assert.match(accessProblem("/p", mode) ?? "", /"\/p" is ignored/);
  }
});

const SERVICES = `# comment
[one]
host=a b=c
 port = 5432
[two]
  dbname=app  

# comment
user=me
user=you
keepalives=1
password=
[two]
dbname=other
[nested]
service=one
[broken]
hunter2
[ldap]
ldap://x
`;

Deno.test("findService: reads the first section of the name", () => {
  const section = findService(SERVICES, { service: "two", path: "/s" });
  assert.deepEqual([...section ?? []], [
    ["dbname", { value: "app", line: 6 }],
    ["user", { value: "me", line: 9 }],
  ]);
});

Deno.test("findService: takes values to the end of the line", () => {
  const section = findService("[one]\nhost=a b=c\n", { service: "one", path: "/s" });
  assert.deepEqual(section?.get("host"), { value: "a b=c", line: 2 });
});

Deno.test("findService: gives nothing for a name that is not there", () => {
  assert.equal(findService(SERVICES, { service: "three", path: "/s" }), undefined);
});

for (
  const [service, expected] of [
    ["nested", /line 16 of "\/s": a service cannot name another/],
    ["broken", /line 18 of "\/s": there is no "="/],
    ["ldap", /line 20 of "\/s": looking services up by LDAP/],
  ] as const
) {
  Deno.test(`findService: refuses the section "${service}" without repeating it`, () => {
    assert.throws(() => findService(SERVICES, { service, path: "/s" }), (error) => {
      assert.ok(error instanceof OperationError);
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  });
}
