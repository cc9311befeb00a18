-- Metrics: numbers measured over time. A hypertable with chunks of one day
-- where TimescaleDB is installed.

CREATE TABLE metrics (
  ts timestamptz NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  project_id uuid NOT NULL,
  name text NOT NULL,
  unit text NOT NULL DEFAULT '1',
  value double precision NOT NULL,
  labels jsonb NOT NULL DEFAULT '{}',
  -- A hypertable's unique keys must hold the time; that it leads serves ranges of time.
  CONSTRAINT metrics_pkey PRIMARY KEY (ts, id),
  CONSTRAINT metrics_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects (id),
  CONSTRAINT metrics_name_check CHECK (name <> ''),
  CONSTRAINT metrics_labels_check CHECK (jsonb_typeof(labels) = 'object')
);

CREATE INDEX metrics_project_id_name_ts_idx ON metrics (project_id, name, ts DESC);

COMMENT ON TABLE metrics IS 'Numbers measured over time, one row for each sample.';
COMMENT ON COLUMN metrics.ts IS 'Time of the measurement.';
COMMENT ON COLUMN metrics.id IS 'Number that tells samples of the same time apart; has gaps.';
COMMENT ON COLUMN metrics.name IS 'What is measured, such as cache.hit_ratio or queue.depth.';
COMMENT ON COLUMN metrics.unit IS
  'Unit of the value in UCUM notation, such as ms or By; 1 for plain numbers and ratios.';
COMMENT ON COLUMN metrics.value IS 'The number measured, in the unit of the row.';
COMMENT ON COLUMN metrics.labels IS 'What tells series of one name apart, as a JSON object.';

DO $migration$
DECLARE
  timescaledb constant name := (
    SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb'
  );
BEGIN
  IF timescaledb IS NOT NULL THEN
    EXECUTE format(
      'SELECT %I.create_hypertable(%L, %L, chunk_time_interval => %L::interval, create_default_indexes => false)',
      timescaledb, 'metrics', 'ts', '1 day'
    );
  END IF;
END
$migration$;
