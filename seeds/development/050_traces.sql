-- Sample traces of every project that has a setting sample_data.calls_per_day
-- and a workload below. All that varies is drawn from hashes of a request's
-- name (project, day and number), never from random(): a request is the same
-- in every run and every database, and more days or requests only add to those
-- that are there. Rounded, so that no machine's mathematics shows. What is
-- MATERIALIZED would otherwise be drawn again wherever it is used.

-- The planner cannot know how few rows there are, and would spend a second on compiling.
SET LOCAL jit = off;

-- A number from 0 up to 1, evenly distributed.
CREATE OR REPLACE FUNCTION pg_temp.seed_uniform(name text) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $function$
  SELECT ('x' || encode(substr(sha256(convert_to(name, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint
    / 4294967296::double precision
$function$;

-- A number whose logarithm is normally distributed around 0: the factor by
-- which latencies and lengths depart from their median.
CREATE OR REPLACE FUNCTION pg_temp.seed_factor(name text, spread double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE AS $function$
  SELECT exp(spread * sqrt(-2 * ln(1 - pg_temp.seed_uniform(name || '/radius')))
    * cos(2 * pi() * pg_temp.seed_uniform(name || '/angle')))
$function$;

WITH
-- Requests on days of the weekend, against working days, and at each hour (UTC).
workloads (slug, weekend, hourly) AS (VALUES
  ('support-assistant', 0.5,
    ARRAY[1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 14, 12, 10, 12, 13, 13, 11, 8, 6, 5, 4, 3, 2, 2]),
  ('document-pipeline', 1.0,
    ARRAY[8, 20, 24, 22, 14, 6, 3, 3, 4, 4, 4, 3, 2, 3, 4, 4, 3, 2, 1, 1, 1, 1, 2, 4]),
  ('code-reviewer', 0.15,
    ARRAY[0, 0, 0, 0, 0, 1, 3, 8, 12, 14, 14, 11, 7, 10, 13, 13, 11, 8, 4, 2, 2, 1, 1, 0])
),
-- The share of requests up to the end of each hour.
rhythms AS MATERIALIZED (
  SELECT slug, weekend, (
    SELECT array_agg(up_to / total ORDER BY hour) FROM (
      SELECT hour, sum(weight) OVER (ORDER BY hour) AS up_to, sum(weight) OVER ()::float8 AS total
      FROM unnest(hourly) WITH ORDINALITY AS hours (weight, hour)
    ) AS sums
  ) AS shares
  FROM workloads
),
-- Which models a project calls, each up to a share of its requests, with
-- milliseconds to the first token and for each further one.
choices (slug, up_to, provider, name, version, first_ms, token_ms) AS (VALUES
  ('support-assistant', 0.60, 'anthropic', 'claude-sonnet-4-5', '20250929', 900, 14),
  ('support-assistant', 0.90, 'openai', 'gpt-4.1-mini', '2025-04-14', 500, 11),
  ('support-assistant', 1.00, 'google', 'gemini-2.5-flash', '', 420, 6),
  ('document-pipeline', 0.50, 'google', 'gemini-2.5-flash', '', 420, 6),
  ('document-pipeline', 0.85, 'openai', 'gpt-4o-mini', '2024-07-18', 480, 12),
  ('document-pipeline', 1.00, 'anthropic', 'claude-haiku-4-5', '20251001', 550, 8),
  ('code-reviewer', 0.70, 'anthropic', 'claude-sonnet-4-5', '20250929', 1100, 14),
  ('code-reviewer', 1.00, 'openai', 'gpt-5', '2025-08-07', 3600, 12)
),
-- What a request of each variant does, step by step. Steps of a request that
-- has several stand below one around them, with number 0. Milliseconds count
-- where no model is chosen; cached is the share of the input that can be.
steps (slug, variant, step, operation, ms, spread, input, output, cached, prompt) AS (VALUES
  ('support-assistant', 1, 0, 'workflow', 0, 0, 0, 0, 0, NULL),
  ('support-assistant', 1, 1, 'embeddings', 70, 0.35, 24, 0, 0, NULL),
  ('support-assistant', 1, 2, 'retrieval', 38, 0.60, 0, 0, 0, NULL),
  ('support-assistant', 1, 3, 'chat', 0, 0.45, 1900, 190, 0.55, 'answer-question'),
  ('document-pipeline', 1, 1, 'chat', 0, 0.55, 6400, 320, 0, 'summarise-document'),
  ('document-pipeline', 2, 1, 'chat', 0, 0.30, 1700, 140, 0.10, 'extract-invoice'),
  ('code-reviewer', 1, 0, 'agent', 0, 0, 0, 0, 0, NULL),
  ('code-reviewer', 1, 1, 'chat', 0, 0.50, 5200, 260, 0.30, 'review-change'),
  ('code-reviewer', 1, 2, 'tool', 2600, 0.70, 0, 0, 0, NULL),
  ('code-reviewer', 1, 3, 'chat', 0, 0.50, 7600, 560, 0.65, 'review-change')
),
samples AS MATERIALIZED (
  SELECT projects.id, rhythms.*, own.value::integer AS calls,
    (SELECT value::date FROM configurations
      WHERE key = 'sample_data.last_day' AND project_id IS NULL) AS last_day,
    (SELECT value::integer FROM configurations
      WHERE key = 'sample_data.days' AND project_id IS NULL) AS days
  FROM rhythms JOIN projects USING (slug)
  JOIN configurations AS own ON own.project_id = projects.id AND own.key = 'sample_data.calls_per_day'
),
days AS (
  SELECT samples.*, slug || to_char(day, '/YYYY-MM-DD') AS day_name, day::timestamp AT TIME ZONE 'UTC' AS midnight,
    calls * CASE WHEN extract(isodow FROM day) > 5 THEN weekend ELSE 1 END AS expected
  FROM samples, generate_series(0, days - 1) AS back, LATERAL (SELECT last_day - back AS day) AS dated
),
requests AS MATERIALIZED (
  SELECT id AS project_id, slug, request, midnight
      + width_bucket(pg_temp.seed_uniform(request || '/hour'), shares) * interval '1 hour'
      + floor(pg_temp.seed_uniform(request || '/time') * 3600000) * interval '1 millisecond' AS ts,
    substr(encode(sha256(convert_to(request, 'UTF8')), 'hex'), 1, 32) AS trace_id,
    CASE WHEN slug = 'document-pipeline' AND pg_temp.seed_uniform(request || '/variant') < 0.3
      THEN 2 ELSE 1 END AS variant,
    pg_temp.seed_uniform(request || '/model') AS chosen,
    pg_temp.seed_uniform(request || '/outcome') AS outcome,
    pg_temp.seed_uniform(request || '/subject') AS subject
  FROM days,
    generate_series(1, round(expected * (0.85 + 0.3 * pg_temp.seed_uniform(day_name)))::integer) AS number,
    LATERAL (SELECT day_name || '/' || number AS request) AS named
),
spans AS MATERIALIZED (
  SELECT requests.*, steps.step, steps.operation, steps.cached, steps.prompt, steps.spread, steps.ms,
    request || '/' || steps.step AS span, model.provider, model.name, model.version,
    steps.step = max(steps.step) OVER request_steps AS is_last,
    CASE
      WHEN steps.step <> max(steps.step) OVER request_steps AND steps.step <> 0 THEN 'ok'
      WHEN outcome < 0.020 THEN 'error'
      WHEN outcome < 0.026 THEN 'timeout'
      WHEN outcome < 0.034 THEN 'cancelled'
      ELSE 'ok'
    END AS status,
    round(steps.input * pg_temp.seed_factor(request || '/' || steps.step || '/input', steps.spread))::integer AS input,
    round(steps.output * pg_temp.seed_factor(request || '/' || steps.step || '/output', 0.5))::integer AS output,
    model.first_ms, model.token_ms
  FROM requests
  JOIN steps USING (slug, variant)
  LEFT JOIN LATERAL (
    SELECT * FROM (
      SELECT choices.* FROM choices
      WHERE choices.slug = requests.slug AND chosen < up_to ORDER BY up_to LIMIT 1
    ) AS choice WHERE steps.operation = 'chat'
    UNION ALL
    SELECT NULL, NULL, 'openai', 'text-embedding-3-small', '', steps.ms, 0
    WHERE steps.operation = 'embeddings'
  ) AS model ON true
  WINDOW request_steps AS (PARTITION BY request)
),
-- Refused and unanswered calls are not billed; what was cancelled is, as far as it went.
counted AS MATERIALIZED (
  SELECT spans.*, status IN ('error', 'timeout') AS is_lost,
    CASE WHEN status IN ('error', 'timeout') THEN 0 ELSE input END AS input_tokens,
    CASE
      WHEN status IN ('error', 'timeout') THEN 0
      -- Caches take whole blocks of tokens, and not from every request.
      WHEN pg_temp.seed_uniform(span || '/cached') < 0.7 THEN floor(input * cached / 128)::integer * 128
      ELSE 0
    END AS cached_tokens,
    CASE status WHEN 'ok' THEN output WHEN 'cancelled' THEN output / 3 ELSE 0 END AS output_tokens,
    first_ms * pg_temp.seed_factor(span || '/first', 0.40) AS first_token
  FROM spans
),
timed AS MATERIALIZED (
  SELECT counted.*, round((CASE
    WHEN step = 0 THEN 6
    WHEN is_lost AND status = 'timeout' THEN 60000
    WHEN is_lost THEN 180 * pg_temp.seed_factor(span || '/refused', 0.5)
    WHEN name IS NULL THEN ms * pg_temp.seed_factor(span || '/ms', spread)
    ELSE first_token + output_tokens * token_ms * pg_temp.seed_factor(span || '/pace', 0.25)
  END)::numeric, 1) AS own_ms
  FROM counted
),
placed AS (
  SELECT timed.*, sum(own_ms) OVER earlier - own_ms AS begins_after, sum(own_ms) OVER whole AS request_ms,
    first_value(step) OVER earlier = 0 AS has_root
  FROM timed
  WINDOW whole AS (PARTITION BY request), earlier AS (PARTITION BY request ORDER BY step)
),
subjects (number, question, answer) AS (VALUES
  (0, 'How long can I return a tent?', 'You can return it within 30 days, unused and in its bag.'),
  (1, 'Where is my order?', 'It left our warehouse; the link in your confirmation shows where it is.'),
  (2, 'Do you repair zips?', 'Yes: send the jacket to our workshop, which takes about two weeks.'),
  (3, 'Which sleeping bag is warm enough for -10 degrees?', 'Choose one with a comfort temperature of -10 degrees or lower.'),
  (4, 'Can I pay by invoice?', 'Yes, up to 500 euros and from the second order on.'),
  (5, 'Is this stove allowed on a plane?', 'The stove is, when it is clean; gas cartridges never are.')
)
INSERT INTO traces (ts, trace_id, span_id, parent_span_id, project_id, operation, model_id,
  prompt_version_id, status, error_message, latency_ms, first_token_ms, input_tokens,
  cached_input_tokens, output_tokens, cost_usd, input, output, metadata)
SELECT started.ts, trace_id, substr(encode(sha256(convert_to(span, 'UTF8')), 'hex'), 1, 16),
  CASE WHEN has_root AND step > 0
    THEN substr(encode(sha256(convert_to(request || '/0', 'UTF8')), 'hex'), 1, 16) END,
  placed.project_id, operation, models.id, prompt_version.id, status,
  CASE status
    WHEN 'error' THEN (ARRAY['429: rate limit reached', '503: the provider is overloaded',
      '500: internal error of the provider'])[1 + floor(outcome / 0.020 * 3)::integer]
    WHEN 'timeout' THEN 'No answer within 60 s'
    WHEN 'cancelled' THEN 'The client closed the connection'
  END,
  CASE WHEN step = 0 THEN request_ms ELSE own_ms END,
  CASE WHEN slug = 'support-assistant' AND operation = 'chat' AND NOT is_lost
    THEN round(first_token::numeric, 1) END,
  input_tokens, cached_tokens, output_tokens,
  ((input_tokens - cached_tokens) * models.input_price_per_million
    + cached_tokens * coalesce(models.cached_input_price_per_million, models.input_price_per_million)
    + output_tokens * models.output_price_per_million) / 1000000,
  CASE WHEN asked THEN jsonb_build_object('messages', jsonb_build_array(
    jsonb_build_object('role', 'user', 'content', question))) END,
  CASE WHEN asked AND status = 'ok' THEN jsonb_build_object('role', 'assistant', 'content', answer) END,
  CASE WHEN step = 0 AND slug = 'support-assistant'
    THEN jsonb_build_object('sample', true, 'user', 'user-' || 1 + floor(outcome * 997)::integer % 240)
    ELSE '{"sample": true}' END
FROM placed
CROSS JOIN LATERAL (
  SELECT placed.ts + CASE WHEN step = 0 THEN 0 ELSE begins_after END * interval '1 millisecond' AS ts,
    slug = 'support-assistant' AND operation = 'chat' AS asked
) AS started
LEFT JOIN models ON models.provider = placed.provider AND models.name = placed.name
  AND models.version = placed.version AND models.effective_from <= started.ts
  AND (models.effective_to IS NULL OR models.effective_to > started.ts)
LEFT JOIN LATERAL (
  SELECT prompt_versions.id FROM prompts JOIN prompt_versions ON prompt_id = prompts.id
  WHERE prompts.project_id = placed.project_id AND prompts.name = prompt
    AND prompt_versions.created_at <= started.ts
  ORDER BY prompt_versions.version DESC LIMIT 1
) AS prompt_version ON true
LEFT JOIN subjects ON asked AND number = floor(subject * 6)
ORDER BY started.ts, trace_id, step
ON CONFLICT (ts, trace_id, span_id) DO NOTHING;

DROP FUNCTION pg_temp.seed_factor(text, double precision);
DROP FUNCTION pg_temp.seed_uniform(text);
