-- Sample logs: what the applications say about the sample traces, and about
-- themselves. Taken from the traces that are there, so that the two agree; ids
-- are negative hashes, as those of the sample metrics are.

WITH
sampled AS (
  SELECT traces.*, slug, ts + latency_ms * interval '1 millisecond' AS ended,
    -- Evenly distributed over the traces: 0 to 15.
    ('x' || right(trace_id, 1))::bit(4)::integer AS draw
  FROM traces JOIN projects ON projects.id = project_id
  WHERE metadata @> '{"sample": true}'
    AND EXISTS (SELECT FROM configurations AS own
      WHERE own.project_id = projects.id AND own.key = 'sample_data.calls_per_day')
),
lines AS (
  SELECT ended AS ts, project_id, CASE status WHEN 'cancelled' THEN 'warn' ELSE 'error' END AS severity,
    'Call failed: ' || error_message AS message, trace_id, span_id,
    jsonb_build_object('status', status, 'operation', operation) AS attributes
  FROM sampled WHERE status <> 'ok' AND model_id IS NOT NULL
  UNION ALL
  SELECT ended, project_id, 'info', CASE slug
      WHEN 'support-assistant' THEN 'Question answered'
      WHEN 'document-pipeline' THEN 'Document done'
      ELSE 'Change reviewed'
    END, trace_id, span_id, jsonb_build_object('latency_ms', latency_ms)
  FROM sampled WHERE status = 'ok' AND parent_span_id IS NULL AND draw < 5
  UNION ALL
  SELECT ended, project_id, 'warn', 'Slow request', trace_id, span_id,
    jsonb_build_object('latency_ms', latency_ms, 'limit_ms', 20000)
  FROM sampled WHERE status = 'ok' AND parent_span_id IS NULL AND latency_ms > 20000
  UNION ALL
  SELECT ended, project_id, 'debug', format('Found %s passages', 3 + draw), trace_id, span_id,
    jsonb_build_object('passages', 3 + draw)
  FROM sampled WHERE operation = 'retrieval' AND draw < 3
  UNION ALL
  -- Every application is restarted at five o'clock in the morning.
  SELECT restart, project_id, 'info', said, NULL, NULL, jsonb_build_object('instance', 'app-1')
  FROM (
    SELECT DISTINCT project_id,
      date_trunc('day', ts AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '5 hours' AS morning
    FROM sampled
  ) AS mornings,
  LATERAL (VALUES
    (morning, 'Stopping: the nightly restart'),
    (morning + interval '2.4 seconds', 'Started')
  ) AS restarts (restart, said)
)
INSERT INTO logs (ts, id, project_id, severity, message, trace_id, span_id, attributes)
OVERRIDING SYSTEM VALUE
SELECT ts, -1 - ('x' || substr(encode(sha256(convert_to(
    concat_ws('/', project_id, trace_id, span_id, message), 'UTF8')), 'hex'), 1, 15))::bit(60)::bigint,
  project_id, severity, message, trace_id, span_id, attributes
FROM lines
ORDER BY ts, 2
ON CONFLICT (ts, id) DO NOTHING;
