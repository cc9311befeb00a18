import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { scanSql, SqlScanner } from "../../plugins/sql/scanner.ts";
import { lookUpFirstWord, type SqlStatement } from "../../plugins/sql/statement.ts";
import { STATEMENTS_BY_KIND } from "./sql_kinds.ts";
import { splitByReference } from "./sql_reference.ts";

const encoder = new TextEncoder();

/** Texts in which each statement that is to be found stands between « and ». */
const SPLITS: Readonly<Record<string, readonly string[]>> = {
  "semicolons and white space": [
    "«select 1;»«select 2;»",
    "«select 1;»«select 2»",
    " \t\r\n\f\v«select 1 \n ;»   «select 2 ;» \n",
    ";;«select 1;»;; ; «select 2;»;",
    "«select 1» \n\t",
    "«select a, b, c, d, e» \n\n",
    "",
    " \n",
    ";",
    "-- only a comment",
    "/* only a comment */",
  ],
  "strings": [
    "«select ';';»«select '''; ';»«select '';»",
    "«select 'a'\n';b';»«select 'a' ';b';»",
    "«select '\\';»«select 2;»",
    "«select b'1;', x'1;', n'a;', u&'a;\\';»«select 2;»",
    "«select 'a\n;\nb';»«select 2;»",
    "«select ''''';''''';»«select 2;»",
  ],
  "strings with escapes": [
    "«select E'\\';';»«select e'\\\\';»«select e'a''\\';';»",
    "«select E'a' 'b\\';»«select 2;»",
    "«select E'a'\n 'b\\';';»«select 2;»",
    "«select E'a' -- c\n -- d\n 'b\\';';»«select 2;»",
    "«select E'a' -- c\n/**/ 'b\\';»«select 2;»",
    "«select E'a'\r'b\\';';»«select 2;»",
    "«select E'a'\n, 'b\\';»«select 2;»",
    "«select E'a';»\n«select 'b\\';»«select 2;»",
    "«select fooE'\\';»«select 2;»",
    "«select é'\\';»«select 2;»",
    "«select E '\\';»«select 2;»",
    "«select E'\\\n;';»«select 2;»",
    "«select 1, 'x', E'\\';', 'y', E'\\';'\n' ;\\'' , 'z\\';»«select 2;»",
    "«select a, b, c, d, e, f, E'\\';', ge'\\';»«select 2;»",
    "«select a, b, c, d, 1.e'\\';»«select a.b.c, d.e'\\';';»«select a.b, c, 1.5.e'\\';»",
  ],
  "quoted identifiers": [
    '«select ";";»«select "a"";";»«select u&";";»',
    '«select "\\";»«select "\'";»«select 2;»',
    '«select a, b, c, d, "e;""", ";\n;", "\'";»«select 2;»',
  ],
  "dollar quotes": [
    "«select $$;$$;»«select $a$;$$;$b$;$a$;»«select $é1_$;$é1_$;»",
    "«select $a$;$$a$;»«select $a$;$ab$;$a$;»«select $$;$a$$;»",
    "«select a$b$;»«select $b$;$b$;»",
    "«select $1;»«select $1, $2;»«select 1$a$;$a$;»",
    "«select $a b$;»«select $1$;»«select $;»«select 2;»",
    "«select $e'\\';';»«select 2;»",
    "«select $1e'\\';»«select 2;»",
    "«select $$'$$;»«select $$\"$$;»«select $$--$$;»«select $$/*$$;»«select $$\\$$;»",
    "«select ($$;$$);»«select $A$;$a$;$A$;»",
    `«do $${"x".repeat(99)}$;$${"x".repeat(98)}$;$${"x".repeat(99)}$;»«select 2;»`,
  ],
  "comments": [
    "«select 1 -- ;\n;»«select 2 --;\r;»«select 3;»",
    "«select /* ; */ 1;»«select /* /* ; */ ; */ 2;»",
    "«select 1 /*/ ; */;»«select 2 /**/;»«select 3 /***/;»",
    "«select 1 */* ; */ 2;»«select 3 --* ;\n;»",
    "«select 1-- ;\n;»«select 1+-- ;\n2;»«select 1+/* ; */2;»",
    "«select 1 - - 2;»«select 1 / 2;»«select 1 -/* ; */ 2;»«select @-@ '[(0,0),(1,1)]';»",
    "«select 1 /* ' */;»«select 2 -- '\n;»",
    "«select '--', '/*';»«select \"--\", \"/*\";»",
    "-- ;\n/* ; */«select 1;» -- ;\n/* ; */ «select 2» -- ;",
  ],
  "parentheses": [
    "«create rule r as on insert to t do also (select 1; select 2;);»«select 3;»",
    "«select (1; select 2»",
    "«select 1);»«select 2;»",
    "«select (')');»«select (1, (2), ((3)));»«select array[1];»",
    "«insert into t (a, b, c) values (1, (2), '(');»«select 2;»",
  ],
  "routine bodies": [
    "«create function f() returns int begin atomic select 1; select 2; end;»«select 3;»",
    "«CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC END;»«select 3;»",
    "«create function f() returns int begin /* c */ atomic -- c\n select 1; end»",
    "«create function f() begin atomic select case when true then 1 end; end;»«select 1;»",
    "«create function f() begin atomic select 1 as end; select x.end; end;»«select 1;»",
    "«create function f() begin atomic select (case 1 when 1 then 2 end); end;»«select 1;»",
    "«create function begin() returns int language sql return 1;»«select 2;»",
    "«create function f(a int) returns int return case when true then 1 end;»«select 2;»",
    "«create function f() returns int language sql as 'begin atomic;';»«end;»",
    "«create function s.f() returns int as $$ begin; end; $$ language plpgsql;»«end;»",
    "«begin atomic;»«select 1;»",
    "«create function f(begin atomic) returns int language sql return 1;»«select 2;»",
    '«create function "begin"() returns int begin atomic select 1; end;»«select 2;»',
    "«create view v as select 1;»«begin atomic;»«end;»",
  ],
  "psql commands": [
    "«\\restrict a;b'c»\n«select 1;»«\\connect x»",
    "«select 1» «\\gset»\r\n«select 2;»",
    "«create function f() begin atomic select (1» «\\g»\n«select 2;»«select 3;»",
    "«select '\\', \"\\\", $$\\$$;» -- \\\n/* \\ */«select 2;»",
  ],
  "data after COPY": [
    "«copy t from stdin;»\n1\t';\n\\.\n«select 1;»",
    "«copy t from stdin;» -- c\n\\.x\n\\\\.\n1;\n\\.\r\n«select 1;»",
    "«copy t from stdin;» «select 1;»\n1;\n\\.\n«select 1;»",
    "«copy t from stdin;»\n$$\n'",
    "«copy t to stdout;»\n«select 1;»",
    "«copy t from stdin;» «select a, b, c, d\n1;\n\\.\n, e;»«select 1;»",
  ],
};

Deno.test("scanSql: parts statements where the server and psql do", async (t) => {
  for (const [name, texts] of Object.entries(SPLITS)) {
    await t.step(name, () => {
      for (const text of texts) {
        const expected = Array.from(text.matchAll(/«([^»]*)»/g), ([, statement]) => statement);
        assert.deepEqual(split(text.replace(/[«»]/g, "")), expected, text);
      }
    });
  }
});

Deno.test("scanSql: tells what a statement is by its text", async (t) => {
  for (const [kind, texts] of Object.entries(STATEMENTS_BY_KIND)) {
    await t.step(kind, () => {
      for (const text of texts) {
        assert.equal(only(text).kind, kind, text);
        if (kind === "psql-command") continue;
        assert.equal(only(text.replaceAll(" ", "/* ; */ \n --' \n")).kind, kind, text);
      }
    });
  }
});

Deno.test("scanSql: tells the kind of each statement apart from those before it", () => {
  const all = Object.entries(STATEMENTS_BY_KIND).flatMap(([kind, texts]) =>
    texts.filter(() => kind !== "psql-command" && kind !== "copy-stdin").map((text) => ({
      kind,
      text: text.replace(/;?$/, ";"),
    }))
  );
  for (let round = 0; round < 3; round++) {
    const order = all.toSorted(() => Math.random() - 0.5);
    const { statements } = scanSql(bytesOf(order.map(({ text }) => text).join("\n")));
    assert.deepEqual(statements.map(({ kind }) => kind), order.map(({ kind }) => kind));
  }
});

Deno.test("scanSql: says whether a transaction is followed by the next one", () => {
  for (
    const text of ["commit and chain", "END WORK AND CHAIN;", "rollback transaction and chain"]
  ) {
    assert.equal(only(text).chain, true, text);
  }
  for (const text of ["commit", "commit and no chain", "begin", "select a and chain"]) {
    assert.equal(only(text).chain, false, text);
  }
});

Deno.test("scanSql: keeps the first tokens, words in upper case and the rest as signs", () => {
  const words = (text: string) => only(text).words;
  assert.deepEqual(words(`create Table "My""t" (a`), ["CREATE", "TABLE", `"My""t"`, "(", "A"]);
  assert.deepEqual(words("select 'x', $$y$$,"), ["SELECT", "'", ",", "'", ","]);
  assert.deepEqual(words("select -1.5e10::é$ß"), ["SELECT", "-", "0", ":", ":"]);
  assert.deepEqual(words("drop äÄß, $1 $"), ["DROP", "äÄß", ",", "0", "$"]);
  assert.deepEqual(words("\\connect - secret"), ["\\connect"]);
  assert.deepEqual(words("a b c d e f g"), ["A", "B", "C", "D", "E"]);
  assert.equal(words(`drop ${"x, ".repeat(99)}`).length, 24);
  assert.deepEqual(words(`a ${"x".repeat(80)}`)[1], "X".repeat(63));
  assert.deepEqual(words(`a ${"x".repeat(62)}éy`)[1], "X".repeat(62));
  assert.deepEqual(words(`a $${"y".repeat(80)} b`), ["A", "$", "Y".repeat(63), "B"]);
});

Deno.test("scanSql: gives the same words to statements that begin alike and to those that nearly do", () => {
  const texts = [
    "insert into t (a, b) values (1, 'x');",
    "insert into t (a, b) values (2, 'y');",
    "insert into t (ab, b) values (2, 'y');",
    "insert into t (a$b, b) values (2, 'y');",
    "insert into t values ((1), 'x');",
    "insert into t values ((1), 'x;');",
    "insert into t values ( /* c */ (1), ')');",
    "insert into t values ( /* c */ (1), '(');",
    "insert into t values ('1', 'x');",
    "insert into t values ('1');",
    "update t set a = E'\\';';",
    "update t set a = E'\\';';",
    "update t set a = e;",
    "update t set a = e ;",
    "select (((( 1))));",
    "select (((( 2))));",
    "select (((( 2)))) ;",
    "select a + b - c;",
    "select a + b -- c\n;",
    "select a + b - - c;",
    "select a, $a, $a$;$a$;",
    "select a, $a, $a$;$a$;",
    "select a, b, $a$;$a$;",
    "select a, E'x'\n'b\\';';",
    "select a, E'x'\n'b\\';';",
    "select a, b e'\\';';",
    "select a, b e'\\';';",
  ];
  const alone = texts.map((text) => only(text).words);
  for (let round = 0; round < 50; round++) {
    const order = Array.from({ length: 40 }, () => Math.floor(Math.random() * texts.length));
    const text = order.map((index) => texts[index]).join(round % 2 === 0 ? "\n" : "");
    const { statements } = scanSql(bytesOf(text));
    assert.deepEqual(statements.map(({ words }) => words), order.map((index) => alone[index]));
    assert.deepEqual(split(text), order.map((index) => texts[index]));
  }
});

Deno.test("scanSql: counts lines by line feeds and columns by characters", () => {
  const text = "é; select '\n\n漢'; x;\r\n\u{1F600}; /*\n*/ y; $$\n$$; z; E'\n\\\n';w";
  const { statements } = scanSql(bytesOf(text));
  assert.deepEqual(statements.map(({ line, column }) => `${line}:${column}`), [
    "1:1",
    "1:4",
    "3:5",
    "4:1",
    "5:4",
    "5:7",
    "6:5",
    "6:8",
    "8:3",
  ]);
  const alike = scanSql(bytesOf("select\n1, 2, 3;\n".repeat(4))).statements;
  assert.deepEqual(alike.map(({ line }) => line), [1, 3, 5, 7]);
});

Deno.test("scanSql: gives the bytes between statements to the following one", () => {
  const text = "-- a\n select 1; /* b */ ; -- c\nselect 2 -- d\n";
  const bytes = bytesOf(text);
  const { statements } = scanSql(bytes);
  assert.deepEqual(statements.map(({ from, end }) => textOf(bytes, from, end)), [
    "-- a\n select 1;",
    " -- c\nselect 2",
  ]);
});

Deno.test("scanSql: tells of a byte order mark and leaves it out", () => {
  const { bom, statements: [statement] } = scanSql(bytesOf("\uFEFFselect 1"));
  assert.equal(bom, true);
  assert.ok(statement);
  const { from, start, line, column } = statement;
  assert.deepEqual([from, start, line, column], [3, 3, 1, 1]);
  assert.deepEqual(scanSql(bytesOf("\uFEFF")), { statements: [], bom: true });
  assert.equal(scanSql(bytesOf("\uFEFE;")).bom, false);
  assert.deepEqual(split("\uFEFE;a;"), ["\uFEFE;", "a;"]);
  assert.deepEqual(split("a;\uFEFFb;"), ["a;", "\uFEFFb;"]);
});

Deno.test("scanSql: says where what is not closed began", () => {
  const cases: readonly (readonly [string, string, number, number])[] = [
    ["select 1;\n select 'é", "string", 2, 9],
    ["select ''''", "", 0, 0],
    ["select '''", "string", 1, 8],
    ["select E'\\'", "string", 1, 9],
    ["select '\\'' ", "string", 1, 8],
    ['é "a\n', "quoted identifier", 1, 3],
    ["\n\n/* /* */ '", "comment", 3, 1],
    ["select 1; /*/", "comment", 1, 11],
    ["select $a$ $b$ $$ $A$", "dollar-quoted string", 1, 8],
    ["select a, b, c, d, 'x', 'y", "string", 1, 25],
    ["select a, b, c, d,\n 'x\n", "string", 2, 2],
    ["select E'a'\n'b", "string", 2, 1],
  ];
  for (const [text, what, line, column] of cases) {
    const bytes = bytesOf(text);
    if (what === "") {
      assert.equal(scanSql(bytes).statements.length, 1, text);
      continue;
    }
    const expected = {
      message: `The ${what} that begins at line ${line}, column ${column} is not closed`,
      code: "sql_unterminated",
      details: { line, column, what },
    };
    assert.deepEqual(outcome([bytes]), expected, text);
    assert.deepEqual(outcome(singly(bytes)), expected, text);
  }
});

Deno.test("scanSql: refuses NUL bytes and what is not UTF-8, and says where", () => {
  const cases: readonly (readonly [string, readonly number[], string, number, number])[] = [
    ["a NUL", [97, 10, 98, 0, 99], "sql_nul", 3, 2],
    ["a NUL alone", [0], "sql_nul", 0, 1],
    ["a lone continuation", [97, 0x80, 98, 99], "sql_not_utf8", 1, 1],
    ["a sequence that breaks off", [10, 0xe2, 0x82, 97, 98], "sql_not_utf8", 1, 2],
    ["a sequence that the file ends in", [10, 97, 0xf0, 0x9f, 0x98], "sql_not_utf8", 2, 2],
    ["a longer form than needed", [0xc0, 0xaf, 10], "sql_not_utf8", 0, 1],
    ["a longer form of three bytes", [10, 10, 0xe0, 0x80, 0xaf, 10], "sql_not_utf8", 2, 3],
    ["a surrogate", [32, 0xed, 0xa0, 0x80, 10, 0], "sql_not_utf8", 1, 1],
    ["beyond Unicode", [32, 0xf4, 0x90, 0x80, 0x80, 0], "sql_not_utf8", 1, 1],
    ["Latin-1 within a string", [39, 10, 0xe9, 39, 59, 10], "sql_not_utf8", 2, 2],
    ["a NUL before it", [32, 0, 0xff], "sql_nul", 1, 1],
    ["a NUL in the midst", [0xc3, 0, 0xa9], "sql_not_utf8", 0, 1],
  ];
  for (const [name, numbers, code, offset, line] of cases) {
    const bytes = Uint8Array.from(numbers);
    for (const pieces of [[bytes], singly(bytes), ...twoPieces(bytes)]) {
      const found = outcome(pieces) as { code: string; details: unknown };
      assert.deepEqual([found.code, found.details], [code, { offset, line }], name);
    }
  }
});

/** Holds every construct, so that a border of chunks can lie anywhere in each. */
const TRICKY = `\uFEFF-- é $$ ' " /* \r\n;; /* /* ' */ " ; */ SELECT 1 AS "a""; é" , 'it''s ;\n'\r
, E'\\';\\\\' -- c\r\n  'go\\'on ;' , U&'\\', n'x' FROM a$b$ WHERE x<-1 AND y-/* ; */-2 = $1/*/*/**/*/*/;
insert into "t" (a, b, c) values ($1, 'é;', E'\\n;\\'', $$;$a$;$$), (1.5e3, $é1$;$$;$é$;$é1$, "x""y", e'');
insert into "t" (a, b, c) values (2, '\u{1F600}'';', $tag_1$ ; $tag_ $tag_1$, U&"\\");
create or replace function f(a int default (1)) returns int begin atomic
  select case when a = 1 then 2 else 3 end as end; insert into t values (1); end;
CREATE MATERIALIZED VIEW v WITH (timescaledb.continuous) AS SELECT ';' WITH NO DATA; commit and chain;
create rule r as on insert to t do (select 1; select 2) ; $abc d$ ; 1$x$;$x$ / 2 - 3;
\\restrict tok'en ; x\r
copy t (a, b) from stdin; -- data\n1\t';\n\\.x\n\\.\r\nselect ${"é".repeat(40)}${"x".repeat(70)} -`;

Deno.test("SqlScanner: finds the same wherever a file is cut in two", () => {
  const bytes = bytesOf(TRICKY);
  const whole = outcome([bytes]);
  assert.equal((whole as { statements: unknown[] }).statements.length, 12);
  for (const pieces of twoPieces(bytes)) {
    assert.deepEqual(outcome(pieces), whole, `cut at ${pieces[0]?.length}`);
  }
});

Deno.test("SqlScanner: finds the same in pieces of any sizes", () => {
  const bytes = bytesOf(TRICKY);
  const whole = outcome([bytes]);
  assert.deepEqual(outcome(singly(bytes)), whole);
  for (let round = 0; round < 300; round++) {
    const pieces = randomPieces(bytes, round % 30 + 1);
    assert.deepEqual(outcome(pieces), whole, `pieces of ${pieces.map(({ length }) => length)}`);
  }
});

const FRAGMENTS: readonly string[] = [
  ..."'''''\"\"\"$$$;;;()(){}[]*/-+=<>.,:~!@#%^&|`?eEnNuUxX1\\\\\n\r\t    é漢\u{1F600}_aZ",
  ..."'' E' e'\\' u&' U&\" \"\" $$ $a$ $é$ $1 $b a$ -- /* */ ;\n \n' 1.5e3 'a' \"b\" 'x'; E'y'"
    .split(" "),
  ..."select insert into create or replace function procedure begin atomic case end end; with"
    .split(
      " ",
    ).map((word) => ` ${word} `),
  "create function f() begin atomic ",
  "insert into t (a, b) values (1, 'x');\n",
  "E'a'\n'b'",
];

Deno.test("SqlScanner: agrees with regular expressions on texts made at random", () => {
  for (let round = 0; round < 3000; round++) {
    const part = Array.from({ length: 1 + round % 60 }, () => pick(FRAGMENTS)).join("");
    // Statements that begin alike are scanned another way.
    const text = round % 3 === 0 ? part : `${part};${part}${pick(FRAGMENTS)}${part}`;
    const bytes = bytesOf(text);
    const expected = splitByReference(String.fromCharCode(...bytes));
    const found = outcome(randomPieces(bytes, round % 7));
    if ("unclosed" in expected) {
      const before = textOf(bytes, 0, expected.unclosed).split("\n");
      const line = before.length;
      const column = Array.from(before.at(-1) ?? "").length + 1;
      const { details } = found as { details?: { line: number; column: number } };
      assert.deepEqual([details?.line, details?.column], [line, column], JSON.stringify(text));
      continue;
    }
    const { statements } = found as { statements?: SqlStatement[] };
    assert.deepEqual(
      statements?.map(({ start, end, words }) => ({ start, end, words })),
      expected.statements.map((statement) => ({
        ...statement,
        words: statement.words.slice(0, mostWords(statement.words[0]!)).map(decode),
      })),
      JSON.stringify(text),
    );
  }
});

function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(start, end));
}

/** The statements of a text, as text. */
function split(text: string): string[] {
  const bytes = bytesOf(text);
  return scanSql(bytes).statements.map(({ start, end }) => textOf(bytes, start, end));
}

function only(text: string): SqlStatement {
  const { statements } = scanSql(bytesOf(text));
  assert.equal(statements.length, 1, text);
  return statements[0]!;
}

/** What a file is split into, or what is wrong with it, when it comes in these pieces. */
function outcome(pieces: readonly Uint8Array[]): unknown {
  const scanner = new SqlScanner();
  try {
    const statements = pieces.flatMap((piece) => scanner.scan(piece));
    return { statements: [...statements, ...scanner.finish()], bom: scanner.bom };
  } catch (error) {
    assert.ok(error instanceof OperationError);
    return { message: error.message, code: error.code, details: error.details };
  }
}

function singly(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte));
}

function twoPieces(bytes: Uint8Array): Uint8Array[][] {
  return Array.from(bytes, (_, i) => [bytes.slice(0, i), bytes.slice(i)]);
}

function mostWords(first: string): number {
  return lookUpFirstWord(first) === undefined ? 5 : 24;
}

/** Pieces of up to so many bytes, empty ones among them; of 0 the whole. */
function randomPieces(bytes: Uint8Array, most: number): Uint8Array[] {
  if (most === 0) return [bytes];
  const pieces: Uint8Array[] = [];
  for (let i = 0; i < bytes.length;) {
    const length = Math.floor(Math.random() * (most + 1));
    pieces.push(bytes.slice(i, i + length));
    i += length;
  }
  return pieces;
}

function pick<T>(items: readonly T[]): T {
  return items[Math.floor(Math.random() * items.length)]!;
}

/** The text of a word whose characters stand for bytes, cut where a character was. */
function decode(word: string): string {
  const bytes = Uint8Array.from(word, (character) => character.charCodeAt(0));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes).replace(/\uFFFD$/, "");
}
