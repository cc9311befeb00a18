-- Compresses the chunks of traces, metrics and logs after a week, and drops
-- them after their time. Both are features of TimescaleDB's community edition;
-- plain tables and the Apache edition keep every row until it is deleted.

DO $migration$
DECLARE
  timescaledb constant name := (
    SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb'
  );
  version constant text := (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb');
  can_compress boolean;
  policy record;
BEGIN
  IF timescaledb IS NULL THEN
    RAISE NOTICE 'Without TimescaleDB nothing compresses or drops old traces, metrics and logs';
    RETURN;
  END IF;

  IF current_setting('timescaledb.license', true) IS DISTINCT FROM 'timescale' THEN
    RAISE NOTICE 'The Apache edition of TimescaleDB has no policies: nothing compresses or drops old traces, metrics and logs';
    RETURN;
  END IF;

  -- Earlier versions compress only what is segmented by every foreign key.
  can_compress := regexp_match(version, '^(\d+)\.(\d+)')::integer[] >= ARRAY[2, 16];
  IF NOT can_compress THEN
    RAISE WARNING 'TimescaleDB % cannot compress tables with foreign keys: traces, metrics and logs stay uncompressed', version
      USING HINT = 'Update the extension to 2.16 or later, roll this migration back and migrate again.';
  END IF;

  FOR policy IN
    SELECT * FROM (VALUES
      ('traces', 'project_id', 'ts DESC, trace_id, span_id', '7 days', '180 days'),
      ('metrics', 'project_id, name', 'ts DESC, id', '7 days', '400 days'),
      ('logs', 'project_id', 'ts DESC, id', '7 days', '90 days')
    ) AS policies (table_name, segment_by, order_by, compress_after, drop_after)
  LOOP
    -- A table made before TimescaleDB was there is a plain one.
    IF NOT EXISTS (
      SELECT FROM timescaledb_information.hypertables
      JOIN pg_namespace ON nspname = hypertable_schema
      JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
      WHERE pg_class.oid = policy.table_name::regclass
    ) THEN
      RAISE NOTICE 'The table % is not a hypertable: nothing compresses or drops its old rows', policy.table_name;
      CONTINUE;
    END IF;

    IF can_compress THEN
      EXECUTE format(
        'ALTER TABLE %I SET (timescaledb.compress, timescaledb.compress_segmentby = %L, timescaledb.compress_orderby = %L)',
        policy.table_name, policy.segment_by, policy.order_by
      );
      EXECUTE format(
        'SELECT %I.add_compression_policy(%L, %L::interval)',
        timescaledb, policy.table_name, policy.compress_after
      );
    END IF;
    EXECUTE format(
      'SELECT %I.add_retention_policy(%L, %L::interval)',
      timescaledb, policy.table_name, policy.drop_after
    );
  END LOOP;
END
$migration$;
