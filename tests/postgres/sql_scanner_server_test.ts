/**
 * What the SQL scanner finds against what servers of every supported major do:
 * a file sent whole, which the server parses by itself, has to have the results
 * and the outcome of its statements sent one by one.
 */
import assert from "assert";
// @ts-types="@types/pg"
import type pg from "pg";
import { scanSql } from "../../plugins/sql/scanner.ts";
import type { Server } from "../../tasks/server.ts";
import { forEachServerVersion, freshDatabase } from "../database.ts";
import { STATEMENTS_BY_KIND } from "../plugins/sql_kinds.ts";

/** A file that holds what is hard to split, in statements that servers accept. */
const HARD = `-- ; ' " $$ /*
/* ; /* ' */ $$ */ create table t (a int, "b;""" text default ';'';', c text) ; ;;
insert into t values (1, 'it''s ;\\', $$;'$$), (2, E'\\';\\\\', $a$;$$;$b$;$a$) -- ; '
, (3, E'a\\';' -- ;
  'b\\';', U&'\\003B;'), (4, $é1$;$é$;$é1$, e'\\'' /* ; */ || ';') ;
insert into t values (5-/* ; */-1, 'x'/*;*/, n';'); insert into t values (6--;
, ';', "lower"(B'1'::text||';'));
create rule r as on update to t do also (insert into t values (100, ';'); insert into t values (101););
update t set a = a where a = 1;
create function f1() returns int language sql begin atomic select 1; select case when 1 = 1 then 2
  else 3 end as end; end; create or replace function f1() returns int language sql /*;*/ begin/**/atomic
  insert into t (a) values (case 1 when 1 then 50 end); select 3; end;
create procedure p1(a int, b text default (';')) begin atomic end;
create procedure p2() begin atomic insert into t values (60); select a.case from (select 1 as case) a; end;
create function begin() returns int return 1; create function "f;2"() returns int language sql
  return (case when true then 1 end); create function f3() returns int language sql return case when true then 1 end;
create function f4() returns text as $body$ begin return $$;$$; end; $body$ language plpgsql;
create function f5() returns text as 'begin return '';''; end;' language plpgsql;
do $do$ begin perform 1; if true then insert into t values (70); end if; end $do$;
select f1(), begin(), "f;2"(), f3(), f4(), f5(); call p1(1); call p2();
prepare a$b$ as select $1::int, $2::text, 'x'; execute a$b$(1, $$;$$); deallocate a$b$;
create table é$ (漢 int); select 1 as a$b$, 2 as "$$;"; select 1 where 2<-1 or 1 operator(pg_catalog.-) 1 = 0;
create view v as select ';' as x, a from t; comment on view v is $$;$$;
create operator @-@- (leftarg = int, rightarg = int, function = int4mi); select 3 @-@- 1, 2 - - 1, 2 */*;*/ 3;
select E'a'
'\\'b;', 'c' /* ; */
; select (array[1,2,3])[1:2], (array[[1],[2]])[1][1]; (select 1) union (select 2) order by 1;
with x as (insert into t values (80) returning a) select * from x; values (1, ';'), (2, ''''); table é$
`;

await forEachServerVersion(
  "scanSql: the statements of a file do one by one what the file does whole",
  async (server) => {
    await compare(server, HARD);
  },
);

await forEachServerVersion(
  "scanSql: parts literals and comments made at random where the server does",
  async (server) => {
    for (let round = 0; round < 5; round++) {
      await compare(server, Array.from({ length: 200 }, randomSelect).join(""));
    }
  },
);

await forEachServerVersion(
  "scanSql: tells the statements that the server refuses inside a transaction or wants data for",
  async (server) => {
    const database = await freshDatabase({ server, sql: PREPARED });
    const client = await database.connect();
    try {
      for (const kind of ["no-transaction", "copy-stdin", "other"] as const) {
        for (const text of STATEMENTS_BY_KIND[kind]) {
          const state = await stateInTransaction(client, text);
          if (NOT_REACHED.has(state)) continue;
          const found = state === ACTIVE_TRANSACTION
            ? "no-transaction"
            : state === NO_DATA
            ? "copy-stdin"
            : "other";
          assert.equal(found, kind, `${text}: ${state}`);
        }
      }
    } finally {
      await client.end();
    }
  },
);

/** The server refuses a statement inside a transaction. */
const ACTIVE_TRANSACTION = "25001";
/** The client has been asked for data and has none. */
const NO_DATA = "57014";
/**
 * Errors that the server finds before it asks: a form that is not in every version, a column of
 * many that are not there, and what needs an enabled subscription and so another server.
 */
const NOT_REACHED: ReadonlySet<string> = new Set(["42601", "42703", "55000"]);

/** What the refused statements are about: they are refused only when it is there. */
const PREPARED = `
  CREATE TABLE t (a int, b int, "from" int);
  CREATE TABLE d (a int) PARTITION BY LIST (a);
  CREATE TABLE p PARTITION OF d FOR VALUES IN (1);
  CREATE SCHEMA s;
  CREATE TABLE s.t (a int, b int) PARTITION BY LIST (a);
  CREATE TABLE s.p PARTITION OF s.t FOR VALUES IN (1);
  CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p0 WITH (connect = false);
`;

/** The SQLSTATE that a statement ends in, inside a transaction. */
async function stateInTransaction(client: pg.Client, text: string): Promise<string> {
  await client.query("BEGIN");
  try {
    await client.query(text);
    return "00000";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  } finally {
    await client.query("ROLLBACK");
  }
}

/** Runs a text whole and by statements, each on a database of its own. */
async function compare(server: Server, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  const statements = scanSql(bytes).statements.map(({ from, end }) =>
    decoder.decode(bytes.subarray(from, end))
  );
  const whole = await run(server, async (client) => {
    const answer: unknown = await client.query(text);
    assert.ok(Array.isArray(answer), "the file holds several statements");
    return answer as pg.QueryResult[];
  });
  const parts = await run(server, async (client) => {
    const results: pg.QueryResult[] = [];
    // The extended protocol refuses more than one statement.
    for (const statement of statements) results.push(await client.query(extended(statement)));
    return results;
  });
  assert.equal(parts.results.length, whole.results.length);
  parts.results.forEach((result, i) =>
    assert.deepEqual(result, whole.results[i], statements[i] ?? "")
  );
  assert.deepEqual(parts.catalogue, whole.catalogue);
}

function extended(text: string): pg.QueryConfig {
  const query: pg.QueryConfig & { queryMode: "extended" } = { text, queryMode: "extended" };
  return query;
}

interface Outcome {
  readonly results: readonly unknown[];
  readonly catalogue: readonly unknown[];
}

async function run(
  server: Server,
  work: (client: pg.Client) => Promise<pg.QueryResult[]>,
): Promise<Outcome> {
  await using database = await freshDatabase({ server });
  const client = await database.connect();
  try {
    const results = await work(client);
    return {
      results: results.map(({ command, rowCount, rows }) => ({ command, rowCount, rows })),
      catalogue: await database.query(CATALOGUE),
    };
  } finally {
    await client.end();
  }
}

/** Everything of the schema public as text; rows of tables included. */
const CATALOGUE = `
  SELECT c.relname AS name, c.relkind::text AS kind, pg_get_viewdef(c.oid) AS definition,
    query_to_xml(format('SELECT * FROM %s', c.oid::regclass), true, true, '')::text AS content
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
  UNION ALL
  SELECT proname, prokind::text, pg_get_functiondef(oid), prosrc
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL
  SELECT rulename, 'rule', pg_get_ruledef(oid), NULL FROM pg_rewrite WHERE rulename = 'r'
  ORDER BY 1, 2, 3
`;

const CONTENT: readonly string[] = [
  ..."';;--\"$\\*/aé漢 \n\r\u{1F600}e-",
  "$$",
  "$a$",
  "/*",
  "*/",
  "--",
  "''",
  "\\'",
  "E'",
];

const SPACE: readonly string[] = [
  " ",
  "\n",
  "\t\r\n",
  " -- ; ' $$ \"\n",
  "/* ; ' */",
  "/*/* ; */\n*/",
  " --\r",
  "/***/",
  "/*'*//*\"*/",
];

function pick<T>(items: readonly T[]): T {
  return items[Math.floor(Math.random() * items.length)]!;
}

function many<T>(items: readonly T[], most: number): T[] {
  return Array.from({ length: Math.floor(Math.random() * (most + 1)) }, () => pick(items));
}

/** A SELECT of constants, written in one of the many ways there are. */
function randomSelect(): string {
  const items = Array.from(
    { length: 1 + Math.floor(Math.random() * 4) },
    (_, i) => `${space()}${randomLiteral()}${space()}as${pick(SPACE)}"${i}${randomName()}"`,
  );
  const rest = Math.random() < 0.3 ? `${space()}where${pick(SPACE)}(1=1)and 2-1>-1` : "";
  return `select${items.join(",")}${rest}${space()};${many([";", ...SPACE], 2).join("")}`;
}

function space(): string {
  return many(SPACE, 2).join("");
}

function randomName(): string {
  // Names longer than the server keeps would be cut, and two of them the same.
  return many(CONTENT, 8).join("").replaceAll('"', '""');
}

function randomLiteral(): string {
  const content = many(CONTENT, 8).join("");
  switch (Math.floor(Math.random() * 7)) {
    case 0:
      return ` '${content.replaceAll("'", "''")}'`;
    case 1:
      return ` E'${content.replaceAll("\\", "\\\\").replaceAll("'", pick(["''", "\\'"]))}'`;
    case 2:
      return ` E'${content.replaceAll(/[\\']/g, "\\$&")}'${continuation()}'\\';'`;
    case 3:
      return ` '${content.replaceAll("'", "''")}'${continuation()}'\\'`;
    case 4: {
      const tag = `$${pick(["x", "é_1", "A", "xx"])}$`;
      return ` ${tag}${content.replaceAll(tag, "")}${tag}`;
    }
    case 5:
      return pick([
        " 1.5e3 ",
        "(1)",
        " -1 ",
        " 1-/*;*/- 1 ",
        " 2*/**/3 ",
        " 1<-1 ",
        " b'1'",
        " null ",
      ]);
    default:
      return ` U&'${content.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
  }
}

/** White space after which a string goes on. */
function continuation(): string {
  return pick(["\n", " \r", " -- ;'\n", " \n\t-- '\r -- ;\n "]);
}
