import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { parseConnectionString } from "../../core/postgres/connection_string.ts";

const read = (text: string) => parseConnectionString(text, "DATABASE_URL (.env:1)");

// As libpq 15 reads them (its PQconninfoParse), where it knows the form; the others are sqlx's, and
// a password whose "@" is not encoded.
const READ: Record<string, Record<string, string>> = {
  "postgres://": {},
  "postgresql:///": {},
  "postgres://db": { host: "db" },
  "POSTGRES://db": { host: "db" },
  "postgres://db:6543": { host: "db", port: "6543" },
  "postgres://db/app": { host: "db", dbname: "app" },
  "postgres:///app": { dbname: "app" },
  "postgres://me@/app": { user: "me", dbname: "app" },
  "postgres://me@db": { user: "me", host: "db" },
  "postgres://me:pw@db": { user: "me", password: "pw", host: "db" },
  "postgres://:pw@db": { password: "pw", host: "db" },
  "postgres://me:@db": { user: "me", host: "db" },
  "postgres://m%40e:p%3A%2F%40%20w@d%2db:1/a%2Fb": {
    user: "m@e",
    password: "p:/@ w",
    host: "d-b",
    port: "1",
    dbname: "a/b",
  },
  "postgres://me:p:w@db": { user: "me", password: "p:w", host: "db" },
  "postgres://me:p@w@db/app": { user: "me", password: "p@w", host: "db", dbname: "app" },
  "postgres://me:p?w#x@db/app": { user: "me", password: "p?w#x", host: "db", dbname: "app" },
  "postgres://me:%C3%A4@db": { user: "me", password: "ä", host: "db" },
  "postgres://me:a+b$c@db": { user: "me", password: "a+b$c", host: "db" },
  "postgres://[::1]": { host: "::1" },
  "postgres://[2001:db8::1]:6543/app": { host: "2001:db8::1", port: "6543", dbname: "app" },
  "postgres://a,b:2,[::1]:3/app": { host: "a,b,::1", port: ",2,3", dbname: "app" },
  "postgres://a:1,b:2": { host: "a,b", port: "1,2" },
  "postgres://a%2Cb:1,c:2": { host: "a,b,c", port: "1,2" },
  "postgres://:6543/app": { port: "6543", dbname: "app" },
  "postgres://%2Fvar%2Frun%2Fpostgresql/app": { host: "/var/run/postgresql", dbname: "app" },
  "postgres:///app?host=/tmp&port=1": { dbname: "app", host: "/tmp", port: "1" },
  "postgres:///?host=/tmp": { host: "/tmp" },
  "postgres://a/x?host=b&dbname=y&user=me&password=pw": {
    host: "b",
    dbname: "y",
    user: "me",
    password: "pw",
  },
  "postgres://a?user=me": { host: "a", user: "me" },
  "postgres://me@a/?options=a@b": { user: "me", host: "a", options: "a@b" },
  "postgres://a/x?&&user=me&": { host: "a", dbname: "x", user: "me" },
  "postgres://a/x?application_name=a+b%20c": { host: "a", dbname: "x", application_name: "a+b c" },
  "postgres://a/x?options=-c%20a=b": { host: "a", dbname: "x", options: "-c a=b" },
  "postgres://a?options[search_path]=a b,c&options[work_mem]=1MB": {
    host: "a",
    options: "-c search_path=a\\ b,c -c work_mem=1MB",
  },
  "postgres://a?sslmode=require&sslmode=disable": { host: "a", sslmode: "disable" },
  "postgres://a?ssl=true": { host: "a", sslmode: "require" },
  "postgres://a?ssl=false": { host: "a", sslmode: "disable" },
  "postgres://a?sslmode=verify-full&ssl=true": { host: "a", sslmode: "verify-full" },
  "postgres://a?ssl-mode=verify-ca&ssl-ca=c&ssl-cert=d&ssl-key=e": {
    host: "a",
    sslmode: "verify-ca",
    sslrootcert: "c",
    sslcert: "d",
    sslkey: "e",
  },
  "postgres://a?ssl-root-cert=c&statement-cache-capacity=5&keepalives=1": {
    host: "a",
    sslrootcert: "c",
  },
  "postgres://a?hostaddr=10.0.0.1&connect_timeout=3&target_session_attrs=primary": {
    host: "a",
    hostaddr: "10.0.0.1",
    connect_timeout: "3",
    target_session_attrs: "primary",
  },
  "host=db": { host: "db" },
  "  host = db   port=6543 ": { host: "db", port: "6543" },
  "host='my db' user=''": { host: "my db" },
  "password='it\\'s a \\\\' user=me": { password: "it's a \\", user: "me" },
  "password=a\\ b'c dbname=post\\gres": { password: "a b'c", dbname: "postgres" },
  "host='a'port=1": { host: "a", port: "1" },
  "host=a,b port=1,2\ndbname=app": { host: "a,b", port: "1,2", dbname: "app" },
  "password=a%40b user=me": { password: "a%40b", user: "me" },
  "user= dbname=app": { user: "dbname=app" },
  "host=a dbname=": { host: "a" },
  "service=prod passfile=/p": { service: "prod", passfile: "/p" },
};

for (const [text, expected] of Object.entries(READ)) {
  Deno.test(`parseConnectionString: reads ${JSON.stringify(text)}`, () => {
    const { values, warnings } = read(text);
    assert.deepEqual(Object.fromEntries(values), expected);
    assert.deepEqual(warnings, []);
  });
}

const REFUSED: Record<string, RegExp> = {
  "": /neither a postgresql:\/\/ URL nor/,
  "hunter2": /neither a postgresql:\/\/ URL nor/,
  "hunter2==": /no keyword that is known/,
  "postgres:hunter2": /"\/\/" is missing/,
  "mysql://me:hunter2@db/app": /its scheme is mysql, and only PostgreSQL/,
  "sqlite:hunter2.db": /its scheme is sqlite/,
  "jdbc:postgresql://db?password=hunter2": /JDBC/,
  "postgresql+asyncpg://me:hunter2@db": /names a driver/,
  "postgres://me:hunter2/x@db": /the port of host 1 is not a number/,
  "postgres://a:1,b:hunter2": /the port of host 2 is not a number/,
  "postgres://me:hunter2%zz@db": /the password holds a "%" without two hexadecimal digits/,
  "postgres://me:hunter2%4@db": /the password holds a "%"/,
  "postgres://me:hunter2%00@db": /the password holds a zero byte/,
  "postgres://me:hunter2%ff@db": /the password is not UTF-8/,
  "postgres://me:hunter2@[::1": /the "\[" of host 1 has no "\]"/,
  "postgres://me:hunter2@[]": /the address of host 1 is empty/,
  "postgres://me:hunter2@[::1]x": /host 1 is followed by neither/,
  "postgres://a/b?hunter2": /parameter 1 has no "="/,
  "postgres://a/b?user=x&hunter2": /parameter 2 has no "="/,
  "host=a hunter2 port=1": /keyword 2 is not followed by "="/,
  "password='hunter2": /the value of keyword 1 has no closing quote/,
  "user=a password=hunter2 = x": /keyword 3 is not followed by "="/,
};

for (const [text, expected] of Object.entries(REFUSED)) {
  Deno.test(`parseConnectionString: refuses ${JSON.stringify(text)} without repeating it`, () => {
    assert.throws(() => read(text), (error) => {
      assert.ok(error instanceof OperationError);
      assert.equal(error.kind, "usage");
      assert.match(error.message, expected);
      assert.match(error.message, /^Cannot read DATABASE_URL \(\.env:1\): /);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /hunter2/);
      return true;
    });
  });
}

const MASKED: [text: string, masked: string, secrets: string[]][] = [
  ["postgres://me:p%40w@db/x", "postgres://me:********@db/x", ["p@w", "p%40w"]],
  ["postgres://me:p@w@db", "postgres://me:********@db", ["p@w"]],
  ["postgres://me@db/x", "postgres://me@db/x", []],
  ["postgres://me:@db/x", "postgres://me:@db/x", []],
  [
    "postgres://a:b@c/d?user=e&password=f&sslpassword=g",
    "postgres://a:********@c/d?user=e&password=********&sslpassword=********",
    ["b", "f", "g"],
  ],
  ["host=a password='it\\'s' port=1", "host=a password='********' port=1", ["it's", "it\\'s"]],
  ["password = secret user=me", "password = ******** user=me", ["secret"]],
];

for (const [text, masked, secrets] of MASKED) {
  Deno.test(`parseConnectionString: masks the passwords of ${JSON.stringify(text)}`, () => {
    const result = read(text);
    assert.equal(result.masked, masked);
    assert.deepEqual(result.secrets, secrets);
  });
}

Deno.test("parseConnectionString: warns of unknown parameters by name", () => {
  assert.deepEqual(read("postgres://a?sslmod=require").warnings, [
    'DATABASE_URL (.env:1) holds an unknown parameter "sslmod", which has no effect',
  ]);
});

Deno.test("parseConnectionString: does not name an unknown parameter beside a password", () => {
  const { warnings } = read("postgres://a?password=hun&ter2=x");
  assert.deepEqual(warnings, [
    "DATABASE_URL (.env:1) holds an unknown parameter, which has no effect",
  ]);
});

Deno.test("parseConnectionString: warns of what libpq can do and this client cannot", () => {
  assert.deepEqual(read("host=a sslcrl=/x").warnings, [
    '"sslcrl" of DATABASE_URL (.env:1) is not supported and has no effect',
  ]);
});
