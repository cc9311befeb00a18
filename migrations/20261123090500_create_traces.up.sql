-- Traces: one row for each call to a model and each step around it. A
-- hypertable with chunks of one day where TimescaleDB is installed.

CREATE TABLE traces (
  ts timestamptz NOT NULL,
  trace_id text NOT NULL,
  span_id text NOT NULL,
  parent_span_id text,
  project_id uuid NOT NULL,
  operation text NOT NULL,
  model_id uuid,
  prompt_version_id uuid,
  status text NOT NULL DEFAULT 'ok',
  error_message text,
  latency_ms double precision,
  first_token_ms double precision,
  input_tokens integer NOT NULL DEFAULT 0,
  cached_input_tokens integer NOT NULL DEFAULT 0,
  output_tokens integer NOT NULL DEFAULT 0,
  cost_usd numeric(20, 12),
  input jsonb,
  output jsonb,
  metadata jsonb NOT NULL DEFAULT '{}',
  -- A hypertable's unique keys must hold the time; that it leads serves ranges of time.
  CONSTRAINT traces_pkey PRIMARY KEY (ts, trace_id, span_id),
  CONSTRAINT traces_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects (id),
  CONSTRAINT traces_model_id_fkey FOREIGN KEY (model_id) REFERENCES models (id),
  CONSTRAINT traces_prompt_version_id_fkey
    FOREIGN KEY (prompt_version_id) REFERENCES prompt_versions (id),
  CONSTRAINT traces_trace_id_check CHECK (trace_id ~ '^[0-9a-f]{32}$'),
  CONSTRAINT traces_span_id_check CHECK (span_id ~ '^[0-9a-f]{16}$'),
  CONSTRAINT traces_parent_span_id_check CHECK (parent_span_id ~ '^[0-9a-f]{16}$'),
  CONSTRAINT traces_operation_check CHECK (operation <> ''),
  CONSTRAINT traces_status_check CHECK (status IN ('ok', 'error', 'timeout', 'cancelled')),
  CONSTRAINT traces_latency_ms_check CHECK (latency_ms >= 0),
  CONSTRAINT traces_first_token_ms_check CHECK (first_token_ms >= 0),
  CONSTRAINT traces_input_tokens_check CHECK (input_tokens >= 0),
  CONSTRAINT traces_cached_input_tokens_check
    CHECK (cached_input_tokens BETWEEN 0 AND input_tokens),
  CONSTRAINT traces_output_tokens_check CHECK (output_tokens >= 0),
  CONSTRAINT traces_cost_usd_check CHECK (cost_usd >= 0),
  CONSTRAINT traces_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX traces_trace_id_idx ON traces (trace_id);
CREATE INDEX traces_project_id_ts_idx ON traces (project_id, ts DESC);
CREATE INDEX traces_failed_idx ON traces (project_id, ts DESC) WHERE status <> 'ok';
CREATE INDEX traces_model_id_ts_idx ON traces (model_id, ts DESC) WHERE model_id IS NOT NULL;
CREATE INDEX traces_prompt_version_id_ts_idx ON traces (prompt_version_id, ts DESC)
  WHERE prompt_version_id IS NOT NULL;

COMMENT ON TABLE traces IS
  'Calls to models and the steps around them, one row for each span, written once when the span has ended.';
COMMENT ON COLUMN traces.ts IS 'Start of the span. Sending the same span again meets the same key.';
COMMENT ON COLUMN traces.trace_id IS
  'Trace the span belongs to: 32 lower-case hexadecimal digits, as in W3C Trace Context.';
COMMENT ON COLUMN traces.span_id IS 'The span: 16 lower-case hexadecimal digits.';
COMMENT ON COLUMN traces.parent_span_id IS
  'The span that caused this one: 16 lower-case hexadecimal digits; null for the root of the trace.';
COMMENT ON COLUMN traces.operation IS 'What was done, such as chat, embeddings, retrieval or tool.';
COMMENT ON COLUMN traces.model_id IS
  'The model called, at the prices of the time; null for steps without one and for models not listed.';
COMMENT ON COLUMN traces.prompt_version_id IS 'The prompt version sent; null when the prompt is not kept here.';
COMMENT ON COLUMN traces.status IS 'ok, error, timeout or cancelled.';
COMMENT ON COLUMN traces.error_message IS 'What went wrong; null when the status is ok.';
COMMENT ON COLUMN traces.latency_ms IS
  'Milliseconds from the start of the span to its end; null when unknown.';
COMMENT ON COLUMN traces.first_token_ms IS
  'Milliseconds from the start of the span to the first token of a streamed answer; null when not streamed.';
COMMENT ON COLUMN traces.input_tokens IS 'Tokens sent, cached ones included.';
COMMENT ON COLUMN traces.cached_input_tokens IS 'Tokens of the input that the provider read from its cache.';
COMMENT ON COLUMN traces.output_tokens IS 'Tokens received.';
COMMENT ON COLUMN traces.cost_usd IS 'Cost in US dollars; null when the prices are unknown.';
COMMENT ON COLUMN traces.input IS 'What was sent; null where contents are not recorded.';
COMMENT ON COLUMN traces.output IS 'What came back; null where contents are not recorded.';
COMMENT ON COLUMN traces.metadata IS
  'Whatever else the application tells, as a JSON object, such as the user, the session or the environment.';

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
      timescaledb, 'traces', 'ts', '1 day'
    );
  END IF;
END
$migration$;
