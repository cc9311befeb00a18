-- Hours whose rows retention has dropped are in the continuous aggregates
-- alone, and go with them; all others come back with the next up.

DO $migration$
DECLARE
  rollup record;
  continuous boolean := false;
BEGIN
  FOR rollup IN
    SELECT * FROM (VALUES
      ('metrics_hourly', 'metrics_hourly_idx'),
      ('traces_hourly', 'traces_hourly_idx')
    ) AS rollups (view_name, index_name)
  LOOP
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
      SELECT count(*) > 0 INTO continuous FROM timescaledb_information.continuous_aggregates
      JOIN pg_namespace ON nspname = view_schema
      JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = view_name
      WHERE pg_class.oid = rollup.view_name::regclass;
    END IF;

    IF continuous THEN
      EXECUTE format('DROP MATERIALIZED VIEW %I', rollup.view_name);
    ELSE
      EXECUTE format('DROP VIEW %I', rollup.view_name);
      EXECUTE format('DROP INDEX %I', rollup.index_name);
    END IF;
  END LOOP;
END
$migration$;
