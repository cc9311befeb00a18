-- Hourly figures of traces and metrics: continuous aggregates where TimescaleDB
-- has them, plain views of the same names and columns where it does not.

DO $migration$
DECLARE
  timescaledb constant name := (
    SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb'
  );
  -- Counts from a fixed time, so that hours do not depend on the session's time
  -- zone and an index can hold them.
  plain_bucket constant text :=
    $sql$date_bin('1 hour', ts, '2000-01-01 00:00:00+00'::timestamptz)$sql$;
  rollup record;
  continuous boolean := false;
BEGIN
  IF current_setting('timescaledb.license', true) = 'timescale' AND timescaledb IS NOT NULL THEN
    SELECT count(*) = 2 INTO continuous FROM timescaledb_information.hypertables
    JOIN pg_namespace ON nspname = hypertable_schema
    JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
    WHERE pg_class.oid IN ('traces'::regclass, 'metrics'::regclass);
  END IF;

  FOR rollup IN
    SELECT * FROM (VALUES
      ('traces_hourly', 'traces', $sql$
        SELECT %s AS bucket, project_id, model_id,
          count(*) AS calls,
          count(*) FILTER (WHERE status <> 'ok') AS failures,
          sum(input_tokens) AS input_tokens,
          sum(cached_input_tokens) AS cached_input_tokens,
          sum(output_tokens) AS output_tokens,
          sum(cost_usd) AS cost_usd,
          avg(latency_ms) AS latency_ms_avg,
          percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS latency_ms_p50,
          percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS latency_ms_p95,
          max(latency_ms) AS latency_ms_max
        FROM traces
        GROUP BY bucket, project_id, model_id
      $sql$),
      ('metrics_hourly', 'metrics', $sql$
        SELECT %s AS bucket, project_id, name, unit,
          count(*) AS samples,
          min(value) AS value_min,
          max(value) AS value_max,
          avg(value) AS value_avg,
          sum(value) AS value_sum
        FROM metrics
        GROUP BY bucket, project_id, name, unit
      $sql$)
    ) AS rollups (view_name, table_name, query)
  LOOP
    IF continuous THEN
      -- Filled by its policy: WITH DATA is refused inside a transaction. Until
      -- then, and for the newest hours, the view reckons from the raw rows.
      EXECUTE format(
        'CREATE MATERIALIZED VIEW %I WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS %s WITH NO DATA',
        rollup.view_name,
        format(rollup.query, format('%I.time_bucket(%L::interval, ts)', timescaledb, '1 hour'))
      );
      -- The window ends before retention begins: refreshing hours whose rows
      -- have been dropped would empty them.
      EXECUTE format(
        'SELECT %I.add_continuous_aggregate_policy(%L, start_offset => %L::interval, end_offset => %L::interval, schedule_interval => %L::interval)',
        timescaledb, rollup.view_name, '30 days', '1 hour', '1 hour'
      );
    ELSE
      EXECUTE format('CREATE VIEW %I AS %s', rollup.view_name, format(rollup.query, plain_bucket));
      EXECUTE format(
        'CREATE INDEX %I ON %I ((%s), project_id)',
        rollup.view_name || '_idx', rollup.table_name, plain_bucket
      );
    END IF;
  END LOOP;
END
$migration$;

COMMENT ON VIEW traces_hourly IS
  'Calls, tokens, cost and latency by hour, project and model.';
COMMENT ON COLUMN traces_hourly.bucket IS 'Start of the hour.';
COMMENT ON COLUMN traces_hourly.model_id IS 'The model; null for spans without one.';
COMMENT ON COLUMN traces_hourly.calls IS 'Spans that started within the hour.';
COMMENT ON COLUMN traces_hourly.failures IS 'Those of them with a status other than ok.';
COMMENT ON COLUMN traces_hourly.cost_usd IS 'US dollars; spans of unknown cost are left out.';
COMMENT ON COLUMN traces_hourly.latency_ms_avg IS 'Mean latency in milliseconds.';
COMMENT ON COLUMN traces_hourly.latency_ms_p50 IS 'Median latency in milliseconds.';
COMMENT ON COLUMN traces_hourly.latency_ms_p95 IS
  'Latency in milliseconds that 95 of 100 spans stay within; cannot be averaged over hours.';
COMMENT ON COLUMN traces_hourly.latency_ms_max IS 'Longest latency in milliseconds.';
COMMENT ON VIEW metrics_hourly IS
  'Metrics by hour, project, name and unit, over all labels.';
COMMENT ON COLUMN metrics_hourly.bucket IS 'Start of the hour.';
COMMENT ON COLUMN metrics_hourly.unit IS 'Unit of the values, as in metrics.';
COMMENT ON COLUMN metrics_hourly.samples IS 'Samples within the hour.';
