import assert from "assert";
import { type Configuration, loadConfiguration } from "../../core/config.ts";
import { OperationError } from "../../core/plugin.ts";
import { SETTINGS } from "../../core/settings.ts";

const DEFAULTS_FILE = "/etc/observatory/defaults.env";

interface Machine {
  readonly flags?: Record<string, string>;
  readonly env?: Record<string, string>;
  /** The text of `.env`. */
  readonly dotenv?: string;
  /** The text of the defaults file. */
  readonly defaults?: string;
  /** Other files by path, and their permission bits. */
  readonly files?: Record<string, string>;
  readonly modes?: Record<string, number>;
  readonly envFile?: string;
  /** Paths whose reading fails. */
  readonly unreadable?: readonly string[];
}

function load(machine: Machine): Promise<Configuration> {
  const files: Record<string, string | undefined> = {
    ...machine.files,
    "/work/.env": machine.dotenv ?? machine.files?.["/work/.env"],
    [DEFAULTS_FILE]: machine.defaults,
  };
  return loadConfiguration({
    flags: new Map(Object.entries(machine.flags ?? {})),
    env: machine.env ?? {},
    readTextFile: (path) =>
      machine.unreadable?.some((each) => path === each || path.startsWith(`${each}/`))
        ? Promise.reject(new OperationError(`Cannot read "${path}": permission is denied`))
        : Promise.resolve(files[path]),
    fileMode: (path) =>
      machine.unreadable?.some((each) => path === each || path.startsWith(`${each}/`))
        ? Promise.reject(new OperationError(`Cannot inspect "${path}": permission is denied`))
        : Promise.resolve(machine.modes?.[path] ?? (files[path] === undefined ? undefined : 0o600)),
    cwd: "/work",
    home: "/home/me",
    ...(machine.envFile === undefined ? {} : { envFile: machine.envFile }),
  });
}

function originOf(configuration: Configuration, name: string): [string | null, string] | undefined {
  const entry = configuration.entries().find((candidate) => candidate.name === name);
  return entry && [entry.value, entry.origin];
}

/** The target in one line, such as `me:pw@h:1/db`. */
async function targetOf(machine: Machine): Promise<string> {
  const { hosts, database, user, password } = (await load(machine)).connection();
  const addresses = hosts.map(({ host, port, hostaddr, password: own }) =>
    `${own === undefined ? "" : `(${own})`}${host}${hostaddr ? `=${hostaddr}` : ""}:${port}`
  );
  return `${user}${password === undefined ? "" : `:${password}`}@${
    addresses.join(",")
  }/${database}`;
}

const URL_IN_DOTENV = "DATABASE_URL=postgres://u:p@h:1/d";

const TARGETS: [what: string, machine: Machine, expected: string][] = [
  ["has the manual's defaults and no password", {}, "postgres@localhost:5432/llm_observatory"],
  [
    "takes a URL whole",
    { env: { DATABASE_URL: "postgres://u:p@h:1/d" } },
    "u:p@h:1/d",
  ],
  [
    "takes DB_* from the environment",
    { env: { DB_HOST: "h", DB_PORT: "1", DB_NAME: "d", DB_USER: "u", DB_PASSWORD: "p" } },
    "u:p@h:1/d",
  ],
  [
    "takes PG* from the environment",
    { env: { PGHOST: "h", PGPORT: "1", PGDATABASE: "d", PGUSER: "u", PGPASSWORD: "p" } },
    "u:p@h:1/d",
  ],
  [
    "ranks a URL before DB_* of one source, and those before PG*",
    {
      env: {
        DATABASE_URL: "postgres://u@h",
        DB_HOST: "h2",
        DB_NAME: "d2",
        DB_USER: "u2",
        PGPASSWORD: "p3",
        PGDATABASE: "d3",
      },
    },
    "u:p3@h:5432/d2",
  ],
  [
    "ranks the environment before .env and that before the defaults file",
    { env: { DB_HOST: "a" }, dotenv: "DB_HOST=b\nDB_NAME=b", defaults: "DB_NAME=c\nDB_USER=c" },
    "c@a:5432/b",
  ],
  [
    "ranks sources before names",
    { env: { PGHOST: "a" }, defaults: "DB_HOST=b\nDB_PORT=2" },
    "postgres@a:2/llm_observatory",
  ],
  [
    "counts an empty variable as unset",
    { env: { DB_HOST: "" }, dotenv: "DB_HOST=b" },
    "postgres@b:5432/llm_observatory",
  ],
  ["lets a higher URL replace a lower one whole", {
    env: { DATABASE_URL: "postgres://a" },
    dotenv: "DATABASE_URL=postgres://u:p@b:1/d",
  }, "postgres@a:5432/postgres"],
  ["lets flags replace parts of a URL", {
    flags: { DB_NAME: "other", DB_HOST: "h2" },
    dotenv: URL_IN_DOTENV,
  }, "u:p@h2:1/other"],
  ["lets a flag settle what others disagree about", {
    flags: { DB_HOST: "x" },
    env: { DB_HOST: "y" },
    dotenv: URL_IN_DOTENV,
  }, "u:p@x:1/d"],
  ["lets a flag's URL replace everything", {
    flags: { DATABASE_URL: "postgres://a/b" },
    env: { DB_HOST: "x", DB_NAME: "y" },
  }, "postgres@a:5432/b"],
  ["lets a higher source give user and password of a lower URL", {
    env: { DB_USER: "v", DB_PASSWORD: "q" },
    dotenv: URL_IN_DOTENV,
  }, "v:q@h:1/d"],
  ["takes DB_* of a higher source that agree with the URL", {
    env: { DB_HOST: "H", DB_PORT: "1", DB_NAME: "d" },
    dotenv: URL_IN_DOTENV,
  }, "u:p@H:1/d"],
  ["lets one port agree with a list of the same", {
    env: { DB_PORT: "1" },
    dotenv: "DATABASE_URL=postgres://a:1,b:1/d",
  }, "postgres@a:1,b:1/d"],
  ["fills what a URL leaves out from lower sources", {
    env: { DATABASE_URL: "postgres://h" },
    dotenv: "DB_NAME=d\nDB_PASSWORD=p\nPGUSER=u",
  }, "u:p@h:5432/d"],
  ["does not give a URL's host the port of a lower source", {
    env: { DATABASE_URL: "postgres://h/d" },
    dotenv: "DB_PORT=1\nPGHOSTADDR=10.0.0.1",
  }, "postgres@h:5432/d"],
  ["gives a URL's host the port of its own source", {
    env: { DATABASE_URL: "postgres://h/d", PGPORT: "1" },
  }, "postgres@h:1/d"],
  ["gives a URL's host the port of a higher source", {
    env: { DB_PORT: "1" },
    dotenv: "DATABASE_URL=postgres://h/d",
  }, "postgres@h:1/d"],
  ["takes the port of a lower source where no URL names the host", {
    env: { DB_HOST: "h" },
    dotenv: "DB_PORT=1",
  }, "postgres@h:1/llm_observatory"],
  [
    "takes the user's database for a URL without one",
    { env: { DATABASE_URL: "postgres://u@h" } },
    "u@h:5432/u",
  ],
  ["prefers DB_NAME to the user's database", {
    env: { DATABASE_URL: "postgres://u@h" },
    defaults: "DB_NAME=d",
  }, "u@h:5432/d"],
  [
    "joins an address with the name",
    { env: { PGHOSTADDR: "10.0.0.1" }, dotenv: "DB_HOST=h" },
    "postgres@h=10.0.0.1:5432/llm_observatory",
  ],
  ["takes the socket that is there for a URL without host", {
    env: { DATABASE_URL: "postgres:///d" },
    modes: { "/tmp/.s.PGSQL.5432": 0o777 },
  }, "postgres@/tmp:5432/d"],
  ["looks for the socket of the port", {
    env: { DATABASE_URL: "postgres://:6/d" },
    modes: { "/tmp/.s.PGSQL.5432": 0o777, "/var/run/postgresql/.s.PGSQL.6": 0o777 },
  }, "postgres@/var/run/postgresql:6/d"],
  ["takes localhost for a URL without host where no socket is", {
    env: { DATABASE_URL: "postgres:///d" },
  }, "postgres@localhost:5432/d"],
  ["prefers DB_HOST to the socket", {
    env: { DATABASE_URL: "postgres:///d", DB_HOST: "h" },
    modes: { "/tmp/.s.PGSQL.5432": 0o777 },
  }, "postgres@h:5432/d"],
  [
    "does not look for a socket without a URL",
    { modes: { "/tmp/.s.PGSQL.5432": 0o777 } },
    "postgres@localhost:5432/llm_observatory",
  ],
  ["reads several hosts", {
    dotenv: "DATABASE_URL=postgres://u@a:1,b/d?target_session_attrs=primary",
  }, "u@a:1,b:5432/d"],
  [
    "reads keywords",
    { dotenv: "DATABASE_URL=\"host=h user='u v' password='p\\'q'\"" },
    "u v:p'q@h:5432/u v",
  ],
  [
    "does not expand $ in .env",
    { dotenv: "DB_PASSWORD=pa$HOME" },
    "postgres:pa$HOME@localhost:5432/llm_observatory",
  ],
  ["reads the file given instead of .env", {
    dotenv: "DB_HOST=a",
    files: { "/work/prod.env": "DB_HOST=b" },
    envFile: "prod.env",
  }, "postgres@b:5432/llm_observatory"],
  ["reads secrets from files", {
    env: { DB_PASSWORD_FILE: "/run/secrets/pw" },
    files: { "/run/secrets/pw": "p q\n" },
  }, "postgres:p q@localhost:5432/llm_observatory"],
  ["reads the URL from a file", {
    dotenv: "DATABASE_URL_FILE=url",
    files: { "/work/url": "postgres://u:p@h/d\r\n" },
  }, "u:p@h:5432/d"],
  ["ranks a secret's file with its source", {
    env: { DB_PASSWORD: "high" },
    dotenv: "DB_PASSWORD_FILE=pw",
    files: { "/work/pw": "low" },
  }, "postgres:high@localhost:5432/llm_observatory"],
  [
    "asks ~/.pgpass last",
    { files: { "/home/me/.pgpass": "localhost:5432:*:postgres:filed" } },
    "postgres@(filed)localhost:5432/llm_observatory",
  ],
  ["prefers a password that is set to ~/.pgpass", {
    defaults: "DB_PASSWORD=p",
    files: { "/home/me/.pgpass": "*:*:*:*:filed" },
  }, "postgres:p@localhost:5432/llm_observatory"],
  ["prefers a password to a password file of the same source", {
    env: { PGPASSWORD: "p", PGPASSFILE: "pf" },
    files: { "/work/pf": "*:*:*:*:filed" },
  }, "postgres:p@localhost:5432/llm_observatory"],
  ["prefers a password file to the password of a lower source", {
    env: { PGPASSFILE: "/pf" },
    defaults: "DB_PASSWORD=p",
    files: { "/pf": "*:*:*:*:filed" },
  }, "postgres@(filed)localhost:5432/llm_observatory"],
  ["falls back to the lower password where the password file has none", {
    env: { PGPASSFILE: "/pf" },
    defaults: "DB_PASSWORD=p",
    files: { "/pf": "other:*:*:*:filed" },
  }, "postgres:p@localhost:5432/llm_observatory"],
  ["finds a password for each host", {
    env: { DATABASE_URL: "postgres://u@a,b,c/d?passfile=/pf" },
    dotenv: "DB_PASSWORD=p",
    files: { "/pf": "a:*:*:*:fa\nb:*:*:*:fb" },
  }, "u@(fa)a:5432,(fb)b:5432,(p)c:5432/d"],
  ["does without a home that this user may not look into", {
    env: { PGSSLMODE: "require" },
    unreadable: ["/home/me"],
  }, "postgres@localhost:5432/llm_observatory"],
  ["ignores a password file that others may read", {
    files: { "/home/me/.pgpass": "*:*:*:*:filed" },
    modes: { "/home/me/.pgpass": 0o644 },
  }, "postgres@localhost:5432/llm_observatory"],
  ["reads a service before PG* of its source", {
    env: { PGSERVICE: "s", PGHOST: "x", DB_NAME: "d" },
    files: { "/home/me/.pg_service.conf": "[s]\nhost=h\nport=1\nuser=u\npassword=p\ndbname=x" },
  }, "u:p@h:1/d"],
  ["reads the service that a URL names", {
    env: { DATABASE_URL: "postgres://?service=s", PGSERVICEFILE: "sf" },
    files: { "/work/sf": "[s]\nhost=h\ndbname=d" },
  }, "postgres@h:5432/d"],
  ["looks for a service in the system's file", {
    env: { PGSERVICE: "s", PGSYSCONFDIR: "/sys" },
    files: { "/home/me/.pg_service.conf": "[t]", "/sys/pg_service.conf": "[s]\nhost=h" },
  }, "postgres@h:5432/llm_observatory"],
];

for (const [what, machine, expected] of TARGETS) {
  Deno.test(`loadConfiguration: ${what}`, async () => {
    assert.equal(await targetOf(machine), expected);
  });
}

const PROBLEMS: [what: string, machine: Machine, expected: string[]][] = [
  ["a disagreement about the host", { env: { DB_HOST: "a" }, dotenv: URL_IN_DOTENV }, [
    'DB_HOST (environment) and DATABASE_URL (.env:1) name different hosts: "a" and "h"',
  ]],
  ["a disagreement about the port", { env: { DB_PORT: "2" }, dotenv: URL_IN_DOTENV }, [
    'DB_PORT (environment) and DATABASE_URL (.env:1) name different ports: "2" and "1"',
  ]],
  ["a disagreement about the database", { dotenv: "DB_NAME=x", defaults: URL_IN_DOTENV }, [
    `DB_NAME (.env:1) and DATABASE_URL (${DEFAULTS_FILE}:1) name different databases: "x" and "d"`,
  ]],
  ["a disagreement with PG*", { env: { PGHOST: "a", PGDATABASE: "x" }, dotenv: URL_IN_DOTENV }, [
    'PGHOST (environment) and DATABASE_URL (.env:1) name different hosts: "a" and "h"',
    'PGDATABASE (environment) and DATABASE_URL (.env:1) name different databases: "x" and "d"',
  ]],
  ["a disagreement about the address", { env: { PGHOSTADDR: "10.0.0.1" }, dotenv: URL_IN_DOTENV }, [
    'PGHOSTADDR (environment) and DATABASE_URL (.env:1) name different addresses: "10.0.0.1" and "h"',
  ]],
  ["a disagreement with a service", {
    env: { PGSERVICE: "s" },
    dotenv: URL_IN_DOTENV,
    files: { "/home/me/.pg_service.conf": "[s]\nhost=a" },
  }, [
    '/home/me/.pg_service.conf:2 and DATABASE_URL (.env:1) name different hosts: "a" and "h"',
  ]],
  ["a disagreement of two flags", { flags: { DATABASE_URL: "postgres://a/b", DB_NAME: "c" } }, [
    '--dbname and --database-url name different databases: "c" and "b"',
  ]],
  ["a URL that cannot be read", { dotenv: "\nDATABASE_URL=mysql://u:hunter2@h" }, [
    "Cannot read DATABASE_URL (.env:2): its scheme is mysql, and only PostgreSQL is supported",
  ]],
  ["an empty flag", { flags: { DATABASE_URL: "" }, dotenv: URL_IN_DOTENV }, [
    "--database-url is given without a value",
  ]],
  ["a port that is none", { env: { DB_PORT: "x" } }, [
    "DB_PORT (environment) is not a port from 1 to 65535",
  ]],
  ["everything at once, of all sources", {
    env: { DB_PORT: "x", LOG_LEVEL: "loud" },
    dotenv: "# c\nBACKUP_RETENTION_DAYS=-1\nPGSSLMODE=yes",
  }, [
    'LOG_LEVEL (environment) is none of debug, info, warn, error: "loud"',
    'BACKUP_RETENTION_DAYS (.env:2) is not a whole number from 0 to 36500: "-1"',
    "sslmode of PGSSLMODE (.env:3) is none of disable, allow, prefer, require, verify-ca, verify-full",
    "DB_PORT (environment) is not a port from 1 to 65535",
  ]],
  ["a value that may hold a password without showing it", {
    env: { LOG_LEVEL: "postgres://u:hunter2@h" },
  }, [
    "LOG_LEVEL (environment) is none of debug, info, warn, error: " +
    "(not shown, since it may hold a password)",
  ]],
  ["a missing file of --env-file", { envFile: "x.env" }, [
    'There is no file "x.env", which --env-file names',
  ]],
  ["a .env that cannot be read", { unreadable: ["/work/.env"] }, [
    'Cannot read "/work/.env": permission is denied',
  ]],
  ["an --env-file that cannot be read, once", { envFile: "/x", unreadable: ["/x"] }, [
    'Cannot read "/x": permission is denied',
  ]],
  ["a secret's file that is missing", { env: { DB_PASSWORD_FILE: "/x" } }, [
    'The file "/x" of DB_PASSWORD_FILE (environment) does not exist',
  ]],
  ["a secret's file that is empty", {
    dotenv: "AWS_SECRET_ACCESS_KEY_FILE=x",
    files: { "/work/x": "\n" },
  }, [
    'The file "x" of AWS_SECRET_ACCESS_KEY_FILE (.env:1) is empty',
  ]],
  ["a secret that is given twice", { env: { DB_PASSWORD: "p", DB_PASSWORD_FILE: "/x" } }, [
    "DB_PASSWORD and DB_PASSWORD_FILE are both set (environment, environment)",
  ]],
  ["a service that is not there", { env: { PGSERVICE: "s" } }, [
    'There is no service "s", which PGSERVICE (environment) names, in ' +
    "/home/me/.pg_service.conf or /etc/postgresql-common/pg_service.conf",
  ]],
  ["a service file with a bad line", {
    env: { PGSERVICE: "s" },
    files: { "/home/me/.pg_service.conf": "[s]\nhunter2" },
  }, [
    'Cannot read line 2 of "/home/me/.pg_service.conf": there is no "="',
  ]],
];

for (const [what, machine, expected] of PROBLEMS) {
  Deno.test(`loadConfiguration: reports ${what}`, async () => {
    const configuration = await load(machine);
    const messages = configuration.problems.map(({ message }) => message);
    assert.deepEqual(messages.toSorted(), expected.toSorted());
    assert.throws(() => configuration.connection(), (error) => {
      assert.ok(error instanceof OperationError);
      assert.equal(error.kind, "usage");
      for (const message of expected) assert.ok(error.message.includes(message), error.message);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /hunter2/);
      return true;
    });
  });
}

const WARNINGS: [what: string, machine: Machine, expected: string[]][] = [
  ["nothing, by default", {}, []],
  ["a higher PG* that takes the place of a lower DB_*", {
    env: { PGHOST: "a" },
    dotenv: "DB_HOST=b",
  }, [
    "PGHOST (environment) is used instead of DB_HOST (.env:1), whose source ranks lower",
  ]],
  ["nothing where PG* replaces the image's default", {
    env: { PGHOST: "a" },
    defaults: "DB_HOST=b",
  }, []],
  ["nothing where DB_* replaces DB_*", { env: { DB_HOST: "a" }, dotenv: "DB_HOST=b" }, []],
  ["odd lines of .env", { dotenv: "hunter2" }, [
    'Line 1 of ".env" is not NAME=value and is passed over',
  ]],
  ["unknown parameters of a URL", { env: { DATABASE_URL: "postgres://h?sslmod=x" } }, [
    'DATABASE_URL (environment) holds an unknown parameter "sslmod", which has no effect',
  ]],
  ["a password file that others may read", {
    files: { "/home/me/.pgpass": "*:*:*:*:hunter2" },
    modes: { "/home/me/.pgpass": 0o644 },
  }, [
    'The password file "/home/me/.pgpass" is ignored: others than its owner have access; run chmod 600 on it',
  ]],
  ["a password file that cannot be read", { unreadable: ["/home/me/.pgpass"] }, [
    'Cannot read "/home/me/.pgpass": permission is denied; the password file is ignored',
  ]],
];

for (const [what, machine, expected] of WARNINGS) {
  Deno.test(`loadConfiguration: warns of ${what}`, async () => {
    assert.deepEqual((await load(machine)).warnings, expected);
  });
}

Deno.test("entries: show each value with its origin, secrets masked", async () => {
  const configuration = await load({
    flags: { DB_NAME: "d" },
    env: { DB_PASSWORD: "hunter2", PGPORT: "6", AWS_DEFAULT_REGION: "eu-1", LOG_LEVEL: "WARNING" },
    dotenv: "# c\n\nDB_HOST=h",
    defaults: "BACKUPS_DIR=/app/backups\nAWS_SECRET_ACCESS_KEY=hunter3",
  });
  const origin = (name: string) => originOf(configuration, name);
  assert.deepEqual(origin("DB_NAME"), ["d", "--dbname"]);
  assert.deepEqual(origin("DB_PASSWORD"), ["********", "environment"]);
  assert.deepEqual(origin("DB_PORT"), ["6", "PGPORT (environment)"]);
  assert.deepEqual(origin("DB_HOST"), ["h", ".env:3"]);
  assert.deepEqual(origin("DB_USER"), ["postgres", "default"]);
  assert.deepEqual(origin("DATABASE_URL"), [null, "default"]);
  assert.deepEqual(origin("AWS_REGION"), ["eu-1", "AWS_DEFAULT_REGION (environment)"]);
  assert.deepEqual(origin("LOG_LEVEL"), ["warn", "environment"]);
  assert.deepEqual(origin("BACKUPS_DIR"), ["/app/backups", `${DEFAULTS_FILE}:1`]);
  assert.deepEqual(origin("AWS_SECRET_ACCESS_KEY"), ["********", `${DEFAULTS_FILE}:2`]);
  assert.deepEqual(origin("PLUGINS_DIR"), [null, "default"]);
  assert.equal(origin("PGOPTIONS"), undefined);
  assert.doesNotMatch(JSON.stringify(configuration.entries()), /hunter/);
});

Deno.test("entries: show what a URL says under the names of its parts", async () => {
  const configuration = await load({
    dotenv: "DATABASE_URL=postgres://u:hunt%65r2@h:1/d?sslmode=require",
  });
  const origin = (name: string) => originOf(configuration, name);
  assert.deepEqual(origin("DATABASE_URL"), [
    "postgres://u:********@h:1/d?sslmode=require",
    ".env:1",
  ]);
  for (
    const [name, value] of Object.entries({
      DB_HOST: "h",
      DB_PORT: "1",
      DB_NAME: "d",
      DB_USER: "u",
      DB_PASSWORD: "********",
      PGSSLMODE: "require",
    })
  ) {
    assert.deepEqual(origin(name), [value, "DATABASE_URL (.env:1)"]);
  }
});

Deno.test("entries: show a URL that cannot be read as a mask", async () => {
  const configuration = await load({ env: { DATABASE_URL: "mysql://u:hunter2@h" } });
  assert.deepEqual(originOf(configuration, "DATABASE_URL"), ["********", "environment"]);
});

Deno.test("entries: name the file that a secret came from", async () => {
  const configuration = await load({
    env: { DB_PASSWORD_FILE: "/pw" },
    files: { "/pw": "hunter2" },
  });
  assert.deepEqual(originOf(configuration, "DB_PASSWORD"), [
    "********",
    "DB_PASSWORD_FILE (environment)",
  ]);
});

Deno.test("entries: name the line of the password file", async () => {
  const configuration = await load({ files: { "/home/me/.pgpass": "\n*:*:*:*:hunter2" } });
  assert.deepEqual(originOf(configuration, "DB_PASSWORD"), ["********", "/home/me/.pgpass:2"]);
});

Deno.test("get: gives what is in force, and variables that are no settings", async () => {
  const configuration = await load({
    env: { DATABASE_URL: "postgres://u:p@h/d", OWN: "a" },
    dotenv: "OWN=b\nOTHER=c\nPGSSLMODE=disable",
  });
  const names = ["DB_HOST", "PGHOST", "DB_NAME", "PGSSLMODE", "MIGRATIONS_DIR", "OWN", "OTHER"];
  assert.deepEqual(names.map(configuration.get), [
    "h",
    "h",
    "d",
    "disable",
    "./migrations",
    "a",
    "c",
  ]);
  assert.equal(configuration.get("NOWHERE"), undefined);
});

Deno.test("get: gives no secrets out, secret does", async () => {
  const configuration = await load({
    env: { DB_PASSWORD: "p", AWS_SECRET_ACCESS_KEY: "s", DB_PASSWORD_FILE: "" },
  });
  for (const name of ["DB_PASSWORD", "PGPASSWORD", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"]) {
    assert.equal(configuration.get(name), undefined);
  }
  assert.equal(configuration.secret("DB_PASSWORD"), "p");
  assert.equal(configuration.secret("AWS_SECRET_ACCESS_KEY"), "s");
  assert.equal(configuration.secret("DB_HOST"), undefined);
});

Deno.test("get: reads the spellings of an environment's name", async () => {
  for (
    const [value, meant] of [
      ["prod", "production"],
      [" Production ", "production"],
      ["PROD", "production"],
      ["dev", "development"],
      ["Staging", "Staging"],
    ] as const
  ) {
    assert.equal((await load({ env: { ENVIRONMENT: value } })).get("ENVIRONMENT"), meant);
  }
});

Deno.test("secrets: hold every secret of every source, in every form", async () => {
  const configuration = await load({
    env: { DATABASE_URL: "postgres://u:a%40b@h/d", DB_PASSWORD: "envpw", PGPASSWORD: "pgpw" },
    dotenv: "DATABASE_URL=postgres://u:second@h/d\nAWS_SECRET_ACCESS_KEY=aws",
    defaults: "DATABASE_URL=mysql://u:third@h",
    files: { "/home/me/.pgpass": "*:*:*:*:unused" },
  });
  assert.deepEqual(
    new Set(configuration.secrets()),
    new Set(["a@b", "a%40b", "envpw", "pgpw", "second", "aws", "third", "mysql://u:third@h"]),
  );
});

Deno.test("secrets: hold what a password file and a service gave", async () => {
  const files = {
    "/home/me/.pgpass": "*:*:*:*:filed",
    "/home/me/.pg_service.conf": "[s]\npassword=served",
  };
  assert.deepEqual((await load({ files })).secrets(), ["filed"]);
  assert.deepEqual((await load({ files, env: { PGSERVICE: "s" } })).secrets(), ["served"]);
});

Deno.test("publicNames: hold hosts, database and user", async () => {
  const configuration = await load({ env: { DATABASE_URL: "postgres://u:p@a,b/d" } });
  assert.deepEqual(configuration.publicNames(), ["a", "b", "d", "u"]);
});

Deno.test("check: passes over what is wrong with the connection alone", async () => {
  (await load({ env: { DB_PORT: "x", DATABASE_URL: "mysql:" } })).check();
  const configuration = await load({ env: { DB_PORT: "x", LOG_LEVEL: "y" } });
  assert.throws(() => configuration.check(), (error) => {
    assert.ok(error instanceof OperationError);
    assert.match(error.message, /LOG_LEVEL/);
    assert.doesNotMatch(error.message, /DB_PORT/);
    return true;
  });
});

Deno.test("connection: takes certificates from ~/.postgresql where they are", async () => {
  const modes = {
    "/home/me/.postgresql": 0o700,
    "/home/me/.postgresql/root.crt": 0o600,
    "/home/me/.postgresql/postgresql.crt": 0o600,
    "/home/me/.postgresql/postgresql.key": 0o600,
  };
  const sslOf = async (sslmode: string) => {
    const { sslrootcert, sslcert, sslkey } = (await load({ modes, env: { PGSSLMODE: sslmode } }))
      .connection();
    return [sslrootcert, sslcert, sslkey].map((path) => path?.split("/").at(-1));
  };
  assert.deepEqual(await sslOf("verify-full"), ["root.crt", "postgresql.crt", "postgresql.key"]);
  assert.deepEqual(await sslOf("prefer"), [undefined, "postgresql.crt", "postgresql.key"]);
  assert.deepEqual(await sslOf("disable"), [undefined, undefined, undefined]);
});

Deno.test("SETTINGS: names are there once", () => {
  const names = SETTINGS.flatMap(({ name, lower }) => lower === undefined ? [name] : [name, lower]);
  assert.equal(new Set(names).size, names.length);
});
