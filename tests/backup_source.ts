/** A database that holds a bit of everything that a dump may get wrong. */

/** Names that need care wherever they are written. */
export const ODD_NAMES = {
  schema: `Odd "schema"; '$x' 😀`,
  table: 'Table; with "quotes", `ticks`, $dollars\nand a line end',
} as const;

const odd = {
  schema: `"${ODD_NAMES.schema.replaceAll('"', '""')}"`,
  table: `"${ODD_NAMES.table.replaceAll('"', '""')}"`,
};

/** Definitions and rows, for any role that may make them. */
export const SOURCE = `
  CREATE TYPE mood AS ENUM ('sad', 'ok; then', 'happy');
  CREATE DOMAIN positive AS int CHECK (VALUE > 0);
  CREATE TYPE pair AS (a int, b text);
  CREATE SEQUENCE counter START 5 INCREMENT 3;
  SELECT nextval('counter'), nextval('counter');
  CREATE SEQUENCE unused;

  CREATE TABLE people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    shout text GENERATED ALWAYS AS (upper(name)) STORED,
    mood mood DEFAULT 'ok; then',
    luck positive,
    two pair,
    photo bytea,
    document jsonb,
    born timestamptz,
    worth numeric,
    weight float8,
    tags text[]
  );
  COMMENT ON TABLE people IS E'of the test; with \\'quotes\\'\\nand lines';
  INSERT INTO people (name, mood, luck, two, photo, document, born, worth, weight, tags)
  SELECT CASE i % 7 WHEN 0 THEN E'tab\\tbackslash\\\\nnewline\\n' ELSE 'näme ' || i || ' 😀' END,
    (ARRAY['sad', 'ok; then', 'happy'])[1 + i % 3]::mood, i, (i, 'b' || i)::pair, decode(md5(i::text), 'hex'),
    jsonb_build_object('i', i, 'list', jsonb_build_array(1, null)),
    timestamptz '2024-01-01 00:00:00+00' + i * interval '1 hour 1 microsecond', i / 7.0,
    CASE i % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE i / 3.0 END::float8,
    CASE WHEN i % 2 = 0 THEN ARRAY['a,b', NULL, '"c"'] END
  FROM generate_series(1, 500) i;

  CREATE TABLE friends (
    a bigint REFERENCES people ON DELETE CASCADE,
    b bigint REFERENCES people,
    during tstzrange,
    EXCLUDE USING gist (during WITH &&),
    PRIMARY KEY (a, b)
  );
  INSERT INTO friends SELECT i, i + 1, tstzrange(now() + i * interval '1 day', now() + (i + 1) * interval '1 day')
    FROM generate_series(1, 20) i;
  CREATE INDEX ON friends (b) WHERE a > 3;

  CREATE TABLE events (day date NOT NULL, what text, PRIMARY KEY (day, what)) PARTITION BY RANGE (day);
  CREATE TABLE events_2023 PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
  CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')
    PARTITION BY HASH (what);
  CREATE TABLE events_2024_a PARTITION OF events_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE events_2024_b PARTITION OF events_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  INSERT INTO events SELECT date '2023-06-01' + i, 'event ' || i FROM generate_series(1, 400) i;

  CREATE TABLE vehicles (name text);
  CREATE TABLE cars (doors int) INHERITS (vehicles);
  INSERT INTO vehicles VALUES ('bike');
  INSERT INTO cars VALUES ('car', 4), ('van', 5);

  CREATE UNLOGGED TABLE scratch (n int);
  INSERT INTO scratch VALUES (1);
  CREATE TABLE nothing ();
  INSERT INTO nothing DEFAULT VALUES;
  CREATE TABLE gone (a int, b int, c int);
  INSERT INTO gone VALUES (1, 2, 3);
  ALTER TABLE gone DROP COLUMN b;

  CREATE VIEW sad AS SELECT name FROM people WHERE mood = 'sad';
  CREATE MATERIALIZED VIEW moods AS SELECT mood, count(*) FROM people GROUP BY 1;
  CREATE UNIQUE INDEX ON moods (mood);
  CREATE MATERIALIZED VIEW later AS SELECT 1 AS one WITH NO DATA;
  CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $_$ BEGIN RETURN 2 * n; -- ; '
  END $_$;
  CREATE PROCEDURE nothing_done() LANGUAGE sql AS '';
  CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TRIGGER touch BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION touched();
  CREATE RULE quiet AS ON DELETE TO vehicles DO INSTEAD NOTHING;
  CREATE STATISTICS people_stats ON name, mood FROM people;
  ALTER TABLE people ENABLE ROW LEVEL SECURITY;
  CREATE POLICY lucky ON people USING (luck > 3);
  CREATE AGGREGATE product(float8) (SFUNC = float8mul, STYPE = float8, INITCOND = '1');
  CREATE COLLATION german (LOCALE = 'C');

  CREATE SCHEMA ${odd.schema};
  CREATE TABLE ${odd.schema}.${odd.table} ("a;b" text, "C" int DEFAULT 3, UNIQUE ("a;b"));
  INSERT INTO ${odd.schema}.${odd.table} VALUES (E'; DROP TABLE people; --'), (NULL), ('\\\\.');
  CREATE SEQUENCE ${odd.schema}."Se""q" OWNED BY ${odd.schema}.${odd.table}."C";
  CREATE TABLE "UPPER" (id int);
  INSERT INTO "UPPER" VALUES (1), (2);
  CREATE TABLE upper (id int);
  INSERT INTO upper VALUES (3);

  SELECT lo_from_bytea(77001, 'a large object'), lo_from_bytea(77002, ''),
    lo_from_bytea(77003, decode(repeat('00ff', 40000), 'hex'));`;
