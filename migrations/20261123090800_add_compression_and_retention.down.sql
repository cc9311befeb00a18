-- Removes the policies and decompresses what they compressed. What retention
-- has dropped does not come back.

DO $migration$
DECLARE
  timescaledb constant name := (
    SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb'
  );
  policy record;
  hypertable regclass;
  chunk text;
BEGIN
  IF timescaledb IS NULL THEN
    RETURN;
  END IF;

  FOR policy IN
    SELECT pg_class.oid::regclass AS hypertable,
      replace(proc_name, 'policy_', 'remove_') || '_policy' AS removal
    FROM timescaledb_information.jobs
    JOIN pg_namespace ON nspname = hypertable_schema
    JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
    WHERE pg_class.oid IN ('traces'::regclass, 'metrics'::regclass, 'logs'::regclass)
      AND proc_name IN ('policy_retention', 'policy_compression')
  LOOP
    EXECUTE format('SELECT %I.%I(%L)', timescaledb, policy.removal, policy.hypertable);
  END LOOP;

  FOR hypertable IN
    SELECT pg_class.oid::regclass FROM timescaledb_information.hypertables
    JOIN pg_namespace ON nspname = hypertable_schema
    JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
    WHERE pg_class.oid IN ('traces'::regclass, 'metrics'::regclass, 'logs'::regclass)
      AND compression_enabled
  LOOP
    FOR chunk IN
      SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks
      JOIN pg_namespace ON nspname = hypertable_schema
      JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
      WHERE is_compressed AND pg_class.oid = hypertable
    LOOP
      EXECUTE format('SELECT %I.decompress_chunk(%L)', timescaledb, chunk);
    END LOOP;
    EXECUTE format('ALTER TABLE %s SET (timescaledb.compress = false)', hypertable);
  END LOOP;
END
$migration$;
