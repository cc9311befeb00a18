-- The models that calls are made to, with what they cost.

CREATE TABLE models (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  provider text NOT NULL,
  name text NOT NULL,
  version text NOT NULL DEFAULT '',
  context_window integer,
  max_output_tokens integer,
  input_price_per_million numeric(14, 6),
  cached_input_price_per_million numeric(14, 6),
  output_price_per_million numeric(14, 6),
  effective_from timestamptz NOT NULL DEFAULT now(),
  effective_to timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT models_pkey PRIMARY KEY (id),
  CONSTRAINT models_provider_name_version_effective_from_key
    UNIQUE (provider, name, version, effective_from),
  CONSTRAINT models_provider_check CHECK (provider <> '' AND provider = lower(provider)),
  CONSTRAINT models_name_check CHECK (name <> ''),
  CONSTRAINT models_context_window_check CHECK (context_window > 0),
  CONSTRAINT models_max_output_tokens_check CHECK (max_output_tokens > 0),
  CONSTRAINT models_input_price_per_million_check CHECK (input_price_per_million >= 0),
  CONSTRAINT models_cached_input_price_per_million_check
    CHECK (cached_input_price_per_million >= 0),
  CONSTRAINT models_output_price_per_million_check CHECK (output_price_per_million >= 0),
  CONSTRAINT models_effective_to_check CHECK (effective_to > effective_from)
);

CREATE UNIQUE INDEX models_current_key ON models (provider, name, version)
  WHERE effective_to IS NULL;

CREATE TRIGGER models_set_updated_at
  BEFORE UPDATE ON models
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
  EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE models IS
  'Models at the prices of a period. A new price is a new row, so that a trace keeps pointing to the prices its cost was reckoned with.';
COMMENT ON COLUMN models.provider IS 'Who serves the model, in lower case, such as openai.';
COMMENT ON COLUMN models.name IS 'The model as the provider names it, such as gpt-4o.';
COMMENT ON COLUMN models.version IS
  'The version or snapshot, such as 2024-08-06; empty where the provider has no versions.';
COMMENT ON COLUMN models.context_window IS
  'Most tokens of input and output together; null when unknown.';
COMMENT ON COLUMN models.max_output_tokens IS 'Most tokens of one answer; null when unknown.';
COMMENT ON COLUMN models.input_price_per_million IS
  'US dollars for one million input tokens; null when unknown, 0 when free.';
COMMENT ON COLUMN models.cached_input_price_per_million IS
  'US dollars for one million input tokens read from the provider''s cache; null when there is no such price.';
COMMENT ON COLUMN models.output_price_per_million IS
  'US dollars for one million output tokens; null when unknown, 0 when free.';
COMMENT ON COLUMN models.effective_from IS 'Time from which the row holds, included.';
COMMENT ON COLUMN models.effective_to IS
  'Time from which the row no longer holds; null for the current row, of which each model has at most one.';
