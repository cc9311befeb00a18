/**
 * Describes what is in a database, from the server's catalogues, so that two
 * states of a schema, or two schemas, can be compared line by line.
 */

/** Runs one SQL statement and returns its rows. */
export type Query = <R extends Record<string, unknown>>(sql: string) => Promise<R[]>;

/**
 * Every object of the schemas that are not the server's or an extension's own:
 * one line each, with all that its DDL may set, comments and grants included.
 * pg_attver is a number that newer servers keep among a column's options: it
 * differs each time a table is made.
 */
const OBJECTS = `
WITH member AS (
  SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), space AS (
  SELECT * FROM pg_namespace
  WHERE nspname !~ '^(pg_|information_schema$|_?timescaledb_|observatory$)'
    AND ('pg_namespace'::regclass, oid) NOT IN (SELECT * FROM member)
), relation AS (
  SELECT pg_class.*, format('%I.%I', nspname, relname) AS title
  FROM pg_class JOIN space ON space.oid = relnamespace
  WHERE ('pg_class'::regclass, pg_class.oid) NOT IN (SELECT * FROM member)
), routine AS (
  SELECT pg_proc.*, format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)) AS title
  FROM pg_proc JOIN space ON space.oid = pronamespace
  WHERE ('pg_proc'::regclass, pg_proc.oid) NOT IN (SELECT * FROM member)
), line (text) AS (
  SELECT format('extension %s %s', extname, extversion) FROM pg_extension
  UNION ALL
  SELECT format('schema %s owner %s acl %s comment %L', nspname, nspowner::regrole, nspacl,
    obj_description(oid, 'pg_namespace'))
  FROM space
  UNION ALL
  SELECT format('relation %s kind %s owner %s acl %s persistence %s method %s options %s rls %s %s identity %s partition %s comment %L',
    title, relkind, relowner::regrole, relacl, relpersistence,
    (SELECT amname FROM pg_am WHERE pg_am.oid = relam), reloptions, relrowsecurity,
    relforcerowsecurity, relreplident, relispartition, obj_description(oid, 'pg_class'))
  FROM relation
  UNION ALL
  SELECT format('column %s %s %s type %s collation %s storage %s target %s not null %s default %L identity %s generated %s acl %s options %s comment %L',
    title, attnum, attname, format_type(atttypid, atttypmod), attcollation::regcollation,
    attstorage, attstattarget, attnotnull, pg_get_expr(adbin, adrelid), attidentity, attgenerated,
    attacl, (SELECT array_agg(option) FROM unnest(attoptions) AS option WHERE option NOT LIKE 'pg\\_attver=%'),
    col_description(attrelid, attnum))
  FROM relation JOIN pg_attribute ON attrelid = relation.oid
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attnum > 0 AND NOT attisdropped AND relkind <> 'i'
  UNION ALL
  SELECT format('constraint %s %s %s validated %s index %s comment %L', title, conname,
    pg_get_constraintdef(pg_constraint.oid), convalidated, nullif(conindid, 0)::regclass,
    obj_description(pg_constraint.oid, 'pg_constraint'))
  FROM relation JOIN pg_constraint ON conrelid = relation.oid
  UNION ALL
  SELECT format('index %s %s valid %s clustered %s', title, pg_get_indexdef(indexrelid), indisvalid,
    indisclustered)
  FROM relation JOIN pg_index ON indexrelid = relation.oid
  UNION ALL
  SELECT format('sequence %s type %s from %s to %s start %s step %s cache %s cycle %s owned by %s',
    title, seqtypid::regtype, seqmin, seqmax, seqstart, seqincrement, seqcache, seqcycle,
    (SELECT format('%s.%s', refobjid::regclass, refobjsubid) FROM pg_depend
      WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype IN ('a', 'i')))
  FROM relation JOIN pg_sequence ON seqrelid = relation.oid
  UNION ALL
  SELECT format('view %s as %s', title, pg_get_viewdef(oid))
  FROM relation WHERE relkind IN ('v', 'm')
  UNION ALL
  SELECT format('rule %s %s', title, pg_get_ruledef(pg_rewrite.oid))
  FROM relation JOIN pg_rewrite ON ev_class = relation.oid WHERE rulename <> '_RETURN'
  UNION ALL
  SELECT format('policy %s %s %s', title, polname, pg_get_expr(polqual, polrelid))
  FROM relation JOIN pg_policy ON polrelid = relation.oid
  UNION ALL
  SELECT format('trigger %s enabled %s %s comment %L', title, tgenabled, pg_get_triggerdef(pg_trigger.oid),
    obj_description(pg_trigger.oid, 'pg_trigger'))
  FROM relation JOIN pg_trigger ON tgrelid = relation.oid WHERE NOT tgisinternal
  UNION ALL
  SELECT format('statistics %I %s', stxname, pg_get_statisticsobjdef(pg_statistic_ext.oid))
  FROM pg_statistic_ext JOIN space ON space.oid = stxnamespace
  UNION ALL
  SELECT format('routine %s owner %s acl %s as %s comment %L', title, proowner::regrole, proacl,
    CASE WHEN prokind = 'a' THEN 'an aggregate' ELSE pg_get_functiondef(oid) END,
    obj_description(oid, 'pg_proc'))
  FROM routine
  UNION ALL
  SELECT format('type %I.%I kind %s owner %s acl %s comment %L labels %s', nspname, typname, typtype,
    typowner::regrole, typacl, obj_description(pg_type.oid, 'pg_type'),
    (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = pg_type.oid))
  FROM pg_type JOIN space ON space.oid = typnamespace
  WHERE ('pg_type'::regclass, pg_type.oid) NOT IN (SELECT * FROM member)
    AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = pg_type.oid)
  UNION ALL
  SELECT format('default privileges %s %s %s %s', defaclrole::regrole, nullif(defaclnamespace, 0)::regnamespace,
    defaclobjtype, defaclacl)
  FROM pg_default_acl
)
SELECT text FROM line ORDER BY text COLLATE "C"
`;

/**
 * What TimescaleDB knows of those objects. Its internal tables are left out, and
 * their numbers, which count on.
 */
const TIMESCALE_OBJECTS = `
WITH line (text) AS (
  SELECT format('hypertable %I.%I owner %s compression %s', hypertable_schema, hypertable_name, owner,
    compression_enabled)
  FROM timescaledb_information.hypertables
  UNION ALL
  SELECT format('dimension %I.%I %s %s %s %s', hypertable_schema, hypertable_name, dimension_number,
    column_name, column_type, time_interval)
  FROM timescaledb_information.dimensions
  UNION ALL
  SELECT format('compressed column %I.%I %s segment %s order %s ascending %s nulls first %s', hypertable_schema,
    hypertable_name, attname, segmentby_column_index, orderby_column_index, orderby_asc, orderby_nullsfirst)
  FROM timescaledb_information.compression_settings
  UNION ALL
  SELECT format('continuous aggregate %I.%I of %I.%I owner %s materialized only %s compression %s as %s',
    view_schema, view_name, hypertable_schema, hypertable_name, view_owner, materialized_only,
    compression_enabled, view_definition)
  FROM timescaledb_information.continuous_aggregates
  UNION ALL
  SELECT format('job %s.%s on %I.%I every %s timeout %s retries %s after %s owner %s scheduled %s with %s',
    proc_schema, proc_name, hypertable_schema, hypertable_name, schedule_interval, max_runtime, max_retries,
    retry_period, owner, scheduled, config - 'hypertable_id' - 'mat_hypertable_id')
  FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL
)
SELECT text FROM line ORDER BY text COLLATE "C"
`;

/** Describes a database: one line for each object, in a fixed order. */
export async function describeCatalogue(query: Query): Promise<string[]> {
  const lines = await query<{ text: string }>(OBJECTS);
  const timescale = await query("SELECT FROM pg_extension WHERE extname = 'timescaledb'");
  if (timescale.length > 0) lines.push(...await query<{ text: string }>(TIMESCALE_OBJECTS));
  return lines.map(({ text }) => withoutNumbers(text));
}

/** Replaces the numbers that TimescaleDB gives to its internal tables. */
function withoutNumbers(line: string): string {
  return line
    .replaceAll(/\b(_materialized_hypertable_)\d+/g, "$1N")
    .replaceAll(/\b(cagg_watermark\()\d+/g, "$1N")
    .replaceAll(/\b(continuous_agg_invalidation_trigger\(')\d+/g, "$1N");
}
