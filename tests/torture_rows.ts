/** Rows of the torture schema: values at the ends of their types, and what looks like the end of them. */
import { odd } from "./torture_names.ts";

/** Rows of its tables; before there are triggers. */
export const ROWS = `
  INSERT INTO people (name, mood, luck, lucks, two, numbers, born)
  SELECT CASE i % 9 WHEN 0 THEN E'tab\\tbackslash\\\\nnewline\\nreturn\\r\\\\.\\n\\\\N' WHEN 1 THEN '' WHEN 2 THEN '\\.' ELSE
      'näme ' || i || ' 😀' END || CASE WHEN i % 9 < 3 THEN repeat(' ', i) ELSE '' END,
    (enum_range(NULL::mood))[1 + i % 6], nullif(i % 5, 0) * i, ARRAY[i, NULL, 3],
    CASE WHEN i % 5 > 0 THEN (i % 99 + 1, E'b"(,) \\\\' || i)::pair END,
    floats(floatrange(i, i + 0.5, '[)'), floatrange(NULL, 0.1)),
    timestamptz '2024-01-01 00:00:00+00' + i * interval '1 hour 1 microsecond'
  FROM generate_series(1, 500) i;
  DELETE FROM people WHERE id % 13 = 0;
  BEGIN;
  INSERT INTO egg VALUES (1, 2, 3), (2, 1, 1), (3, NULL, 3);
  INSERT INTO chicken VALUES (1, 2), (2, 3);
  COMMIT;
  INSERT INTO friends SELECT id, id, id % 3, tstzrange(born, born + interval '1 min') FROM people WHERE luck % 2 = 0;
  INSERT INTO events SELECT date '2022-06-01' + 3 * i, 'event ' || i, (enum_range(NULL::mood))[i % 7]
    FROM generate_series(1, 500) i;
  INSERT INTO events VALUES ('infinity', 'never', NULL), ('-infinity', 'always', 'sad'), ('4713-01-01 BC', 'first', '😀');
  INSERT INTO seen SELECT day, what FROM events WHERE day > '2023-01-01';
  INSERT INTO lists VALUES (NULL, NULL), ('sad', (1, E'\\\\'';\\n'));
  INSERT INTO vehicles VALUES ('bike', 2);
  INSERT INTO cars VALUES ('car', 4, 'me', 4);
  INSERT INTO vans VALUES ('van', 4, 'you', 5);
  INSERT INTO typed VALUES (3, 'c');
  INSERT INTO unlogged SELECT FROM generate_series(1, 20);
  INSERT INTO nothing SELECT FROM generate_series(1, 3);
  INSERT INTO gone VALUES (1, 2), (NULL, NULL);
  INSERT INTO locked SELECT i, repeat(md5(i::text) || ' ', i * 10) FROM generate_series(1, 200) i;
  INSERT INTO "UPPER" VALUES (1), (2);
  INSERT INTO upper VALUES (3);
  INSERT INTO "select" VALUES (1, ';', '');
  INSERT INTO ${odd.schema}.${odd.table} VALUES (E'; DROP TABLE people; --'), (NULL), ('\\.'), ('\\N'), (E'\\r\\n'), ('');
  SELECT nextval(${`'${odd.schema.replaceAll("'", "''")}.${odd.sequence.replaceAll("'", "''")}'`});
  INSERT INTO closed.only VALUES (9);

  CREATE TABLE ends (what text, b bytea, f4 float4, f8 float8, n numeric, ts timestamp, tz timestamptz, d date, i interval, t timetz,
    j json, jb jsonb, a text[], m int[][], u uuid, bits varbit, net inet, mac macaddr8, v tsvector, q tsquery, p path,
    money money, lsn pg_lsn, c "char", name name, reg regclass, r int4range, mr nummultirange, ba bytea[], x xid8, bp char(5));
  INSERT INTO ends (what, b, f4, f8, n, ts, tz, d, i, t) VALUES
    ('least', '', '-Infinity', '-1.7976931348623157e308', '-Infinity', '4713-01-01 BC', '-infinity', '4713-01-01 BC',
      '-178000000 years', '00:00:00+15:59:59'),
    ('most', '\\x00', 'Infinity', '5e-324', 'Infinity', '294276-12-31 23:59:59.999999', 'infinity', '5874897-12-31',
      '178000000 years', '24:00:00-15:59:59'),
    ('none', '\\xff', 'NaN', 'NaN', 'NaN', 'infinity', '0044-03-15 00:00:00 BC', 'infinity', '1 mon -1 day 00:00:00.000001', 'allballs'),
    ('exact', decode('0a0d095c2e', 'hex'), 0.1, 0.1 + 0.2::float8, 1e131000 / 3, '2024-02-29', '1883-11-18 12:03:57+00', '-infinity',
      '0', '12:00+05:30'),
    ('signed', NULL, '-0', '-0', 0.000, '0001-01-01', '2024-10-27 00:30:00+00', '0001-12-31 BC', '-1 year 2 months -3 days 4 hours', NULL);
  INSERT INTO ends (what, b) SELECT 'every byte', decode(string_agg(lpad(to_hex(i), 2, '0'), ''), 'hex') FROM generate_series(0, 255) i;
  INSERT INTO ends (what, j, jb, a, m, u, bits, net, mac, v, q, p, money, lsn, c, name, reg, r, mr, ba, x, bp) VALUES
    ('more', '{"a" :1,"a":2,  "\\u0000":null}', '{"a":[1e400,{"b":"\\\\\\"\\n😀"}]}', '[2:4]={"NULL",NULL,"a,\\"b\\\\"}', '[-1:0][0:1]={{1,NULL},{3,4}}',
      gen_random_uuid(), B'', '::ffff:1.2.3.4/128', '08:00:2b:01:02:03:04:05', $v$'a;':1A '''b':2,3C$v$, $q$!'a' <-> ('b':*A | 'c d')$q$,
      '((1,2),(1e300,-0))', '-92233720368547758.08', 'FFFFFFFF/FFFFFFFF', '\\', repeat('n', 63), 'people', 'empty', '{(,1.5),[2,3)}',
      ARRAY['\\x00'::bytea, NULL], '18446744073709551615', ' a');
  -- Longer than any buffer, with what ends the rows of COPY in it.
  INSERT INTO ends (what, b) SELECT repeat(E'long\\n\\\\.\\n', 200000), decode(repeat('5c2e0a', 1000000), 'hex');`;
