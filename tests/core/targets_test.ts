import assert from "assert";
import { type Configuration, loadConfiguration } from "../../core/config.ts";
import { OperationError } from "../../core/plugin.ts";
import { chooseTarget } from "../../core/targets.ts";

interface Machine {
  readonly text: string;
  readonly index?: string;
  readonly flags?: Record<string, string>;
  readonly env?: Record<string, string>;
  readonly dotenv?: string;
  readonly defaults?: string;
  readonly files?: Record<string, string>;
  readonly modes?: Record<string, number>;
}

async function load(machine: Machine): Promise<Configuration> {
  const files: Record<string, string | undefined> = {
    ...machine.files,
    "/work/fleet": machine.text,
    "/work/.env": machine.dotenv,
    "/etc/observatory/defaults.env": machine.defaults,
  };
  const input = {
    env: machine.env ?? {},
    cwd: "/work",
    readTextFile: (path: string) => Promise.resolve(files[path]),
    fileMode: (path: string) =>
      Promise.resolve(machine.modes?.[path] ?? (files[path] === undefined ? undefined : 0o600)),
  };
  const target = await chooseTarget({ file: "fleet", index: machine.index, ...input });
  const flags = new Map(Object.entries(machine.flags ?? {}));
  return await loadConfiguration({ flags, home: "/home/me", target, ...input });
}

const FLEET = `# the fleet

orders   postgres://backup@db1:6432/orders      S3_BACKUP_PREFIX=orders/   # ours
  billing  host=db2 dbname=billing user='the backup' BACKUPS_DIR='/srv/billing backups'
postgres://db3/stock
ledger DATABASE_URL_FILE=/run/secrets/ledger
nightly service=night
parts  DB_HOST=db7 DB_NAME=parts
`;

const CHOSEN: [what: string, machine: Omit<Machine, "text">, expected: string][] = [
  ["a URL", { index: "0" }, "orders: backup@db1:6432/orders"],
  ["keywords with quotes", { index: "1" }, "billing: the backup@db2:5432/billing"],
  ["an address without a name", { index: "2" }, "db3:5432/stock: postgres@db3:5432/stock"],
  ["an address in a file of its own", {
    index: "3",
    files: { "/run/secrets/ledger": "postgres://u:pw@db4/ledger\n" },
  }, "ledger: u:pw@db4:5432/ledger"],
  ["a service", {
    index: "4",
    files: { "/home/me/.pg_service.conf": "[night]\nhost=db5\nport=1\ndbname=n\nuser=u" },
  }, "nightly: u@db5:1/n"],
  ["settings", { index: "5" }, "parts: postgres@db7:5432/parts"],
  ["the place that Kubernetes gives", {
    env: { JOB_COMPLETION_INDEX: "2" },
  }, "db3:5432/stock: postgres@db3:5432/stock"],
  ["the flag's place before that", {
    index: "0",
    env: { JOB_COMPLETION_INDEX: "2" },
  }, "orders: backup@db1:6432/orders"],
];

function shownTarget(configuration: Configuration): string {
  const { hosts, database, user, password } = configuration.connection();
  const [host] = hosts;
  return `${configuration.target?.name}: ${user}${
    password === undefined ? "" : `:${password}`
  }@${host?.host}:${host?.port}/${database}`;
}

for (const [what, machine, expected] of CHOSEN) {
  Deno.test(`targets: a line may hold ${what}`, async () => {
    assert.equal(shownTarget(await load({ text: FLEET, ...machine })), expected);
  });
}

// What shells and files say of another database, in every way that there is.
const ELSEWHERE: [what: string, machine: Pick<Machine, "env" | "dotenv" | "defaults">][] = [
  ["a URL", { env: { DATABASE_URL: "postgres://other:pw@prod:9/shop" } }],
  ["DB_*", { env: { DB_HOST: "prod", DB_PORT: "9", DB_NAME: "shop" } }],
  ["PG*", { env: { PGHOST: "prod", PGHOSTADDR: "10.0.0.1", PGPORT: "9", PGDATABASE: "shop" } }],
  ["a service", { env: { PGSERVICE: "elsewhere" } }],
  ["a .env", { dotenv: "DATABASE_URL=postgres://prod:9/shop\nPGPORT=9" }],
  ["the image's defaults", { defaults: "DB_HOST=prod\nDB_PORT=9\nDB_NAME=shop" }],
];

for (const [what, machine] of ELSEWHERE) {
  Deno.test(`targets: nothing of another database in ${what} is mixed in`, async () => {
    const text = "postgres://db1/orders\nDB_HOST=db1 DB_NAME=orders\nhost=db1 dbname=orders\n";
    for (const index of ["0", "1", "2"]) {
      const configuration = await load({ text, index, ...machine });
      assert.equal(shownTarget(configuration), "db1:5432/orders: postgres@db1:5432/orders");
      assert.deepEqual(configuration.problems, []);
    }
  });
}

Deno.test("targets: what they leave open is not guessed where another source says it", async () => {
  const problems = async (text: string, env: Record<string, string>) =>
    (await load({ text, index: "0", env })).problems.map(({ message }) => message);
  assert.deepEqual(await problems("dbname=orders", { DB_HOST: "prod" }), [
    "fleet:1 names no server, and DB_HOST (environment) does not apply to targets",
  ]);
  assert.deepEqual(await problems("postgres://db1", { DATABASE_URL: "postgres://prod/shop" }), [
    "fleet:1 names no database, and DATABASE_URL (environment) does not apply to targets",
  ]);
  assert.deepEqual(await problems("DB_HOST=db1", {}), ["fleet:1 names no database"]);
  assert.deepEqual(await problems("postgres://me@db1", {}), []);
});

Deno.test("targets: a role and a password of the environment apply", async () => {
  const env = { DB_USER: "backup", DB_PASSWORD: "hunter2" };
  const configuration = await load({ text: "postgres://db1/orders", index: "0", env });
  assert.equal(shownTarget(configuration), "db1:5432/orders: backup:hunter2@db1:5432/orders");
});

Deno.test("targets: the secrets of what does not apply are known for all that", async () => {
  const env = { DATABASE_URL: "postgres://u:hunter2@prod/shop" };
  const configuration = await load({ text: "postgres://db1/orders", index: "0", env });
  assert.ok(configuration.secrets().includes("hunter2"));
});

Deno.test("targets: flags fill what a target leaves out, and do not contradict it", async () => {
  const of = async (text: string, flags: Record<string, string>) => {
    const configuration = await load({ text, index: "0", flags });
    return configuration.problems.length === 0
      ? shownTarget(configuration)
      : configuration.problems.map(({ message }) => message);
  };
  assert.equal(await of("a host=db1", { DB_NAME: "x", DB_USER: "u" }), "a: u@db1:5432/x");
  assert.equal(await of("a dbname=x", { DB_HOST: "db1" }), "a: postgres@db1:5432/x");
  assert.deepEqual(await of("a host=db1 dbname=x", { DB_HOST: "db2" }), [
    '--host and fleet:1 name different hosts: "db2" and "db1"',
  ]);
  assert.deepEqual(await of("a postgres://me@db1/x", { DB_USER: "you" }), [
    '--user and fleet:1 name different roles: "you" and "me"',
  ]);
  assert.deepEqual(await of("a DB_HOST=db1 DB_NAME=x", { DB_HOST: "db2" }), [
    "--host and DB_HOST of fleet:1 differ",
  ]);
  assert.deepEqual(await of("a postgres://db1/x", { DATABASE_URL: "postgres://db2/y" }), [
    "--database-url and fleet:1 both name the database",
  ]);
});

Deno.test("targets: each value has the line as its origin", async () => {
  const configuration = await load({ text: FLEET, index: "1", env: { BACKUPS_DIR: "/elsewhere" } });
  const origins = Object.fromEntries(
    configuration.entries().map(({ name, value, origin }) => [name, [value, origin]]),
  );
  assert.deepEqual(origins["DB_HOST"], ["db2", "fleet:4"]);
  assert.deepEqual(origins["BACKUPS_DIR"], ["/srv/billing backups", "fleet:4"]);
  assert.deepEqual(origins["DATABASE_URL"]?.[1], "fleet:4");
});

const REFUSED: [what: string, machine: Machine, expected: RegExp][] = [
  [
    "a place beyond the file",
    { text: FLEET, index: "6" },
    /^Cannot choose target 6 of "fleet": it has 6 targets, 0 to 5$/,
  ],
  [
    "a place where there is one target",
    { text: "postgres://h/d", index: "1" },
    /it has one target, 0$/,
  ],
  ["any place of an empty file", { text: "# none\n", index: "0" }, /it has no targets$/],
  [
    "no place",
    { text: FLEET },
    /neither --target-index nor JOB_COMPLETION_INDEX is given, and it has 6 targets, 0 to 5$/,
  ],
  [
    "a place that is no number",
    { text: FLEET, index: "1.5" },
    /^The value "1\.5" of --target-index is no place/,
  ],
  [
    "a place below 0",
    { text: FLEET, env: { JOB_COMPLETION_INDEX: "-1" } },
    /the variable JOB_COMPLETION_INDEX is no place/,
  ],
  [
    "a word that is nothing",
    { text: "a host=db1 or dbname=x", index: "0" },
    /^Cannot read fleet:1: word 3 is neither an address nor NAME=value$/,
  ],
  [
    "a quote that does not end",
    { text: "\nhost=db1 password='hunter2", index: "0" },
    /^Cannot read fleet:2: word 2 is not NAME=value, or a quote in it does not end$/,
  ],
  [
    "double quotes",
    { text: 'host=db1 password="hunter2"', index: "0" },
    /the value of password begins with a double quote$/,
  ],
  [
    "a misspelt setting",
    { text: "postgres://h/d S3_BACKUP_PREFX=x", index: "0" },
    /S3_BACKUP_PREFX is no setting; did you mean S3_BACKUP_PREFIX\?$/,
  ],
  [
    "a setting twice",
    { text: "postgres://h/d BACKUPS_DIR=a BACKUPS_DIR=b", index: "0" },
    /it sets BACKUPS_DIR twice$/,
  ],
  ["two addresses", { text: "postgres://h/d host=db1", index: "0" }, /it has two addresses$/],
  [
    "an address and DATABASE_URL",
    { text: "host=h DATABASE_URL=postgres://h/d", index: "0" },
    /it has an address, and sets DATABASE_URL too$/,
  ],
  [
    "no database",
    { text: "orders BACKUPS_DIR=/srv", index: "0" },
    /^Cannot read fleet:1: it names no database$/,
  ],
  [
    "a name that is none",
    { text: "or/ders postgres://h/d", index: "0" },
    /its name "or\/ders" is not of letters/,
  ],
];

for (const [what, machine, expected] of REFUSED) {
  Deno.test(`targets: ${what} is refused`, async () => {
    await assert.rejects(load(machine), (error) => {
      assert.ok(error instanceof OperationError);
      assert.equal(error.kind, "usage");
      assert.match(error.message, expected);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /hunter2/);
      return true;
    });
  });
}

Deno.test("targets: an address that cannot be read is told with its line", async () => {
  const { problems } = await load({ text: "a mysql://u:hunter2@h/d", index: "0" });
  assert.deepEqual(problems.map(({ message }) => message), [
    "Cannot read fleet:1: its scheme is mysql, and only PostgreSQL is supported",
  ]);
});

Deno.test("targets: a bad line costs no other target, and keeps its place", async () => {
  const text = "a postgres://db1/a\nb ???\nc postgres://db1/c\n";
  assert.equal(shownTarget(await load({ text, index: "2" })), "c: postgres@db1:5432/c");
  await assert.rejects(load({ text, index: "1" }), /fleet:2/);
});

Deno.test("targets: lines for one database, and names that are used twice, are warned of", async () => {
  const text = "a postgres://u@DB1/x\nb host=db1 port=5432 dbname=x\nc host=db1 dbname=y\n" +
    "a host=db1 dbname=z\n";
  const warnings = async (index: string) => (await load({ text, index })).warnings;
  assert.deepEqual(await warnings("0"), [
    "fleet:1 and fleet:2 are the same database, db1:5432/x",
    "fleet:1 and fleet:4 have the same name, a",
  ]);
  assert.deepEqual(await warnings("1"), ["fleet:1 and fleet:2 are the same database, db1:5432/x"]);
  assert.deepEqual(await warnings("2"), []);
});

Deno.test("targets: a file with passwords that others may read is warned of", async () => {
  const modes = { "/work/fleet": 0o640 };
  const warnings = async (text: string) => (await load({ text, index: "0", modes })).warnings;
  for (
    const line of [
      "a postgres://u:hunter2@h/d",
      "a host=h dbname=d password=hunter2",
      "a host=h DB_PASSWORD=hunter2 DB_NAME=d",
    ]
  ) {
    assert.match(
      (await warnings(`postgres://h/first\n${line}`)).join(),
      /^"fleet" holds passwords/,
    );
  }
  assert.deepEqual(await warnings("postgres://h/d"), []);
  const mine = { text: "a postgres://u:p@h/d", index: "0" };
  assert.deepEqual((await load(mine)).warnings, []);
});
