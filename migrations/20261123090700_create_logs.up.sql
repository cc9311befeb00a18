-- Logs: what applications say as they run. A hypertable with chunks of one day
-- where TimescaleDB is installed.

CREATE TABLE logs (
  ts timestamptz NOT NULL,
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  project_id uuid NOT NULL,
  severity text NOT NULL,
  message text NOT NULL,
  trace_id text,
  span_id text,
  attributes jsonb NOT NULL DEFAULT '{}',
  -- A hypertable's unique keys must hold the time; that it leads serves ranges of time.
  CONSTRAINT logs_pkey PRIMARY KEY (ts, id),
  CONSTRAINT logs_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects (id),
  CONSTRAINT logs_severity_check
    CHECK (severity IN ('trace', 'debug', 'info', 'warn', 'error', 'fatal')),
  CONSTRAINT logs_trace_id_check CHECK (trace_id ~ '^[0-9a-f]{32}$'),
  CONSTRAINT logs_span_id_check CHECK (span_id ~ '^[0-9a-f]{16}$'),
  CONSTRAINT logs_attributes_check CHECK (jsonb_typeof(attributes) = 'object')
);

CREATE INDEX logs_project_id_ts_idx ON logs (project_id, ts DESC);
CREATE INDEX logs_failures_idx ON logs (project_id, ts DESC)
  WHERE severity IN ('error', 'fatal');
CREATE INDEX logs_trace_id_idx ON logs (trace_id) WHERE trace_id IS NOT NULL;

COMMENT ON TABLE logs IS 'Log lines of applications, one row each.';
COMMENT ON COLUMN logs.ts IS 'Time at which the line was written.';
COMMENT ON COLUMN logs.id IS 'Number that tells lines of the same time apart; has gaps.';
COMMENT ON COLUMN logs.severity IS 'trace, debug, info, warn, error or fatal, from least to most.';
COMMENT ON COLUMN logs.trace_id IS
  'Trace during which the line was written, as in traces; null outside of one. Not a foreign key: either may come first.';
COMMENT ON COLUMN logs.span_id IS 'Span during which the line was written, as in traces; null outside of one.';
COMMENT ON COLUMN logs.attributes IS 'Further facts, as a JSON object.';

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
      timescaledb, 'logs', 'ts', '1 day'
    );
  END IF;
END
$migration$;
