/** What of the torture schema does something: functions, triggers, rules, views, operators, rights. */
import { literal, odd, quoted, type TortureRoles } from "./torture_names.ts";

/** Functions, operators, casts, aggregates and what texts are searched with. */
export const FUNCTIONS = `
  CREATE FUNCTION twice(n int, INOUT text text DEFAULT 'it''s; "x" \\', VARIADIC rest int[] DEFAULT '{}') RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 7 SET search_path = pg_catalog, "odd; path" SET work_mem = '8MB'
    AS $_$ BEGIN
    -- ; ' $$ "
    text := text || $x$;$x$ || n; END $_$;
  CREATE FUNCTION counted() RETURNS bigint BEGIN ATOMIC
    SELECT count(*) FROM people WHERE mood <> 'ok; then'; END;
  CREATE FUNCTION rows_of(wanted int) RETURNS TABLE (id bigint, name text) LANGUAGE sql STABLE ROWS 5
    SECURITY DEFINER AS 'SELECT id, name FROM public.people WHERE luck = wanted';
  CREATE PROCEDURE nothing_done(INOUT x int) LANGUAGE sql AS 'SELECT x;';
  CREATE FUNCTION ${odd.function}(${odd.column} anyelement) RETURNS anyarray LANGUAGE sql AS 'SELECT ARRAY[$1]';
  COMMENT ON FUNCTION ${odd.function}(anyelement) IS ${odd.comment};
  CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused; by a trigger'; END $$;
  CREATE FUNCTION pair_text(pair) RETURNS text LANGUAGE sql IMMUTABLE RETURN ($1).b || '!';
  CREATE CAST (pair AS text) WITH FUNCTION pair_text(pair) AS ASSIGNMENT;
  CREATE CAST (text AS mood) WITH INOUT AS ASSIGNMENT;
  CREATE FUNCTION near(float8, float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN abs($1 - $2) < 1;
  CREATE OPERATOR ~=~ (LEFTARG = float8, RIGHTARG = float8, FUNCTION = near, COMMUTATOR = ~=~, NEGATOR = !~=~,
    RESTRICT = eqsel, JOIN = eqjoinsel);
  CREATE FUNCTION not_near(float8, float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN NOT near($1, $2);
  CREATE OPERATOR !~=~ (LEFTARG = float8, RIGHTARG = float8, FUNCTION = not_near, COMMUTATOR = !~=~, NEGATOR = ~=~);
  COMMENT ON OPERATOR ~=~ (float8, float8) IS 'nearly; the same';
  CREATE OPERATOR FAMILY backwards USING btree;
  CREATE FUNCTION backwards_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE RETURN btint4cmp($2, $1);
  CREATE OPERATOR CLASS backwards FOR TYPE int USING btree FAMILY backwards AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 backwards_cmp(int, int);
  CREATE INDEX by_backwards ON locked (id backwards);
  CREATE AGGREGATE product(float8) (SFUNC = float8mul, STYPE = float8, INITCOND = '1', COMBINEFUNC = float8mul, PARALLEL = safe);
  CREATE COLLATION german (LOCALE = 'C');
  CREATE COLLATION natural_order (PROVIDER = icu, LOCALE = 'en-u-kn-true', DETERMINISTIC = false);
  CREATE CONVERSION odd_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
  CREATE TEXT SEARCH DICTIONARY plain_words (TEMPLATE = simple, STOPWORDS = english, ACCEPT = false);
  CREATE TEXT SEARCH CONFIGURATION "Odd; words" (COPY = english);
  ALTER TEXT SEARCH CONFIGURATION "Odd; words" ALTER MAPPING FOR asciiword WITH plain_words, english_stem;
  CREATE TEXT SEARCH TEMPLATE own_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
  CREATE TEXT SEARCH PARSER own_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
  CREATE INDEX ON locked USING gin (to_tsvector('"Odd; words"', body));
  CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
  CREATE TABLE other_method (n int) USING heap_too;
  CREATE STATISTICS "stats; of people" (dependencies, mcv) ON name, mood FROM people;
  CREATE STATISTICS expressions ON (luck + 1), lower(name) FROM people;
  ALTER STATISTICS "stats; of people" SET STATISTICS 55;
  COMMENT ON STATISTICS "stats; of people" IS 'statistics';`;

/** Views on each other, triggers of every kind, and rules; rows are there by then. */
export const VIEWS = `
  CREATE VIEW moody AS SELECT id, name, mood FROM people WHERE mood = 'sad' WITH LOCAL CHECK OPTION;
  CREATE VIEW ${odd.view} WITH (security_barrier, security_invoker) AS
    SELECT id AS ${odd.column}, E'; \\\\. \\n' AS "text" FROM moody WITH CASCADED CHECK OPTION;
  ALTER VIEW moody ALTER mood SET DEFAULT 'sad';
  -- Its columns are only known with the primary key.
  CREATE VIEW by_key AS SELECT p.*, count(f.b) AS friends FROM people p LEFT JOIN friends f ON f.a = p.id GROUP BY p.id;
  CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 5;
  -- Refreshed in their order: the second reads the first, the third is not filled.
  CREATE MATERIALIZED VIEW z_moods WITH (fillfactor = 60) AS SELECT mood, count(*) AS n FROM by_key GROUP BY 1;
  CREATE UNIQUE INDEX ON z_moods (mood);
  CREATE MATERIALIZED VIEW a_moods AS SELECT sum(n) AS n FROM z_moods;
  CREATE MATERIALIZED VIEW later AS SELECT n FROM a_moods WITH NO DATA;
  COMMENT ON MATERIALIZED VIEW later IS 'not filled';
  CREATE VIEW beyond AS SELECT counted(), n FROM a_moods;

  CREATE TRIGGER ${odd.trigger} BEFORE INSERT OR UPDATE OF name, luck ON people FOR EACH ROW
    WHEN (NEW.name <> E'\\\\; "') EXECUTE FUNCTION touched(E'it''s', '😀\n;');
  COMMENT ON TRIGGER ${odd.trigger} ON people IS 'a trigger';
  CREATE TRIGGER refusing BEFORE INSERT ON locked FOR EACH ROW EXECUTE FUNCTION refused();
  CREATE TRIGGER off AFTER DELETE ON people REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION touched();
  ALTER TABLE people DISABLE TRIGGER off;
  CREATE TRIGGER on_replica AFTER UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touched();
  ALTER TABLE people ENABLE REPLICA TRIGGER on_replica;
  CREATE CONSTRAINT TRIGGER late AFTER INSERT ON friends FROM people DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION touched();
  ALTER TABLE friends ENABLE ALWAYS TRIGGER late;
  CREATE TRIGGER everywhere AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION touched();
  ALTER TABLE events_2023 DISABLE TRIGGER everywhere;
  CREATE TRIGGER instead INSTEAD OF DELETE ON by_key FOR EACH ROW EXECUTE FUNCTION touched();
  CREATE RULE quiet AS ON DELETE TO vehicles WHERE OLD.wheels = 4 DO INSTEAD NOTHING;
  CREATE RULE copied AS ON INSERT TO vehicles DO ALSO (INSERT INTO owned VALUES ('of a rule; ' || NEW.name); SELECT 1);
  ALTER TABLE vehicles DISABLE RULE copied;
  COMMENT ON RULE quiet ON vehicles IS 'a rule';

  CREATE FUNCTION watched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE DEBUG ''%'', tg_tag; END';
  CREATE EVENT TRIGGER "watch; all" ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION watched();
  CREATE FUNCTION forbidden() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no DDL here''; END';
  CREATE EVENT TRIGGER forbidding ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION forbidden();
  ALTER EVENT TRIGGER forbidding DISABLE;
  CREATE EVENT TRIGGER kept ON sql_drop EXECUTE FUNCTION watched();
  ALTER EVENT TRIGGER kept ENABLE ALWAYS;
  COMMENT ON EVENT TRIGGER kept IS 'an event trigger';
  CREATE PUBLICATION ${odd.publication} FOR TABLE people WHERE (name <> ';'), TABLES IN SCHEMA closed
    WITH (publish = 'insert, delete');
  CREATE PUBLICATION columns FOR TABLE egg (id, mother), TABLE ONLY vehicles;
  CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root);
  COMMENT ON PUBLICATION everything IS 'all of it';`;

/** Extensions, foreign servers, rights and policies. */
export function rights({ owner, reader, odd: oddRole }: TortureRoles): string {
  const [o, r, x] = [quoted(owner), quoted(reader), quoted(oddRole)];
  return `
  CREATE SCHEMA "ext; x";
  CREATE EXTENSION hstore SCHEMA "ext; x";
  CREATE EXTENSION file_fdw;
  CREATE EXTENSION postgres_fdw;
  COMMENT ON EXTENSION hstore IS 'commented; by hand';
  GRANT EXECUTE ON FUNCTION "ext; x".hstore_in(cstring) TO ${r};
  CREATE TABLE with_extension (bag "ext; x".hstore DEFAULT 'a=>1', UNIQUE (bag));
  INSERT INTO with_extension VALUES ('"a;"=>"\\"", b=>NULL');
  CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
  CREATE FOREIGN TABLE host (line text OPTIONS (force_not_null 'true') NOT NULL) SERVER files
    OPTIONS (filename '/etc/hostname', delimiter E'\\x01');
  CREATE SERVER ${odd.server} TYPE 't;' VERSION '1''2' FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host 'nowhere.invalid', dbname E'it''s; \\\\ "x"');
  CREATE USER MAPPING FOR ${x} SERVER ${odd.server} OPTIONS (user 'u', password E's3cr''et; \\\\');
  CREATE USER MAPPING FOR PUBLIC SERVER ${odd.server} OPTIONS (user 'public');
  CREATE FOREIGN TABLE far (id int OPTIONS (column_name 'ID; "x"'), b text) SERVER ${odd.server} OPTIONS (schema_name 's;', table_name 't');
  CREATE FOREIGN DATA WRAPPER empty OPTIONS (debug 'true');

  ALTER TABLE people OWNER TO ${o};
  ALTER FUNCTION counted() OWNER TO ${o};
  ALTER TYPE mood OWNER TO ${x};
  GRANT CREATE ON SCHEMA public TO ${o}, ${x};
  ALTER MATERIALIZED VIEW later OWNER TO ${o};
  ALTER PUBLICATION everything OWNER TO CURRENT_USER;
  GRANT SELECT (id, name), UPDATE (name) ON people TO ${r} WITH GRANT OPTION;
  GRANT INSERT, TRUNCATE ON people TO ${r} WITH GRANT OPTION;
  SET ROLE ${r};
  GRANT SELECT (name), INSERT ON people TO ${x};
  RESET ROLE;
  REVOKE ALL ON friends FROM CURRENT_USER;
  GRANT SELECT ON friends TO PUBLIC;
  GRANT USAGE ON SEQUENCE huge TO ${r};
  GRANT USAGE ON TYPE pair TO ${r};
  REVOKE USAGE ON TYPE pair FROM PUBLIC;
  REVOKE EXECUTE ON FUNCTION twice FROM PUBLIC;
  GRANT EXECUTE ON PROCEDURE nothing_done TO ${x};
  GRANT USAGE ON FOREIGN SERVER ${odd.server} TO ${r} WITH GRANT OPTION;
  GRANT USAGE ON FOREIGN DATA WRAPPER empty TO ${r};
  GRANT USAGE ON LANGUAGE sql TO ${r};
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  GRANT ALL ON SCHEMA ${odd.schema} TO PUBLIC;
  COMMENT ON SCHEMA public IS 'changed; by hand';
  ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${r};
  ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
  ALTER DEFAULT PRIVILEGES FOR ROLE ${o} IN SCHEMA ${odd.schema} GRANT ALL ON SEQUENCES TO ${x} WITH GRANT OPTION;

  ALTER TABLE people ENABLE ROW LEVEL SECURITY;
  ALTER TABLE locked ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
  CREATE POLICY ${odd.policy} ON people FOR UPDATE TO ${r}, ${x} USING (luck > 3) WITH CHECK (name <> '; --');
  CREATE POLICY never ON people AS RESTRICTIVE FOR SELECT TO PUBLIC USING (EXISTS (SELECT FROM moody m WHERE m.id = people.id));
  COMMENT ON POLICY never ON people IS 'a policy';

  SELECT lo_from_bytea(77001, 'a large object'), lo_from_bytea(77002, ''),
    lo_from_bytea(77003, decode(repeat('00ff0a5c', 40000), 'hex')), lo_put(lo_create(77004), 5000000, 'beyond a hole');
  ALTER LARGE OBJECT 77002 OWNER TO ${o};
  GRANT SELECT, UPDATE ON LARGE OBJECT 77001 TO ${r} WITH GRANT OPTION;
  COMMENT ON LARGE OBJECT 77003 IS ${literal(`an object; '"\\ 😀\nof two lines`)};`;
}

/** What only later versions know. */
export const LATER: Readonly<Record<number, string>> = {
  18: `
  CREATE TABLE of_18 (
    id int, during daterange, a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL,
    CONSTRAINT "not; null" NOT NULL a NO INHERIT,
    PRIMARY KEY (id, during WITHOUT OVERLAPS)
  );
  CREATE TABLE of_18_too (id int, during daterange, c int CHECK (c > 0) NOT ENFORCED,
    FOREIGN KEY (id, PERIOD during) REFERENCES of_18 (id, PERIOD during));
  INSERT INTO of_18 VALUES (1, '[2024-01-01,2024-06-01)', 1), (1, '[2024-06-01,2025-01-01)', 2);
  INSERT INTO of_18_too VALUES (1, '[2024-05-01,2024-07-01)', -1);`,
};
