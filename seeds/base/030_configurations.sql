-- Default settings. A value that is there belongs to the operator and is never
-- changed here, which is why this is no CSV file; only descriptions follow.

INSERT INTO configurations (key, value, description) VALUES
  ('enable_caching', 'false',
    'Whether an answer is served from the cache when the same request was made before: true or false.'),
  ('cache.ttl_seconds', '3600', 'Seconds for which a cached answer is served.'),
  ('cache.max_entry_bytes', '262144', 'Bytes of the largest answer that is cached.'),
  ('trace.sample_rate', '1.0', 'Share of traces that is recorded, from 0 to 1; failed ones always are.'),
  ('trace.record_contents', 'true',
    'Whether what was sent and received is recorded, beside the figures: true or false.'),
  ('trace.max_content_bytes', '65536', 'Bytes of one input or output that are recorded; the rest is cut off.'),
  ('trace.redact_personal_data', 'false',
    'Whether e-mail addresses, telephone and card numbers are masked before contents are recorded: true or false.'),
  ('log.min_severity', 'info', 'Least severity of log lines that are recorded: trace, debug, info, warn, error or fatal.'),
  ('ingest.max_batch_size', '1000', 'Most spans, samples or log lines that one request may send.'),
  ('ingest.requests_per_minute', '600', 'Most requests that one API key may send in a minute.'),
  ('alert.error_rate', '0.05', 'Share of failed calls within one hour from which an alert is raised, from 0 to 1.'),
  ('alert.latency_p95_ms', '15000',
    'Milliseconds of the 95th percentile of latency within one hour from which an alert is raised.'),
  ('alert.daily_cost_usd', '100', 'US dollars of cost on one day (UTC) from which an alert is raised.')
ON CONFLICT (key, project_id) DO UPDATE SET description = excluded.description
WHERE configurations.description IS DISTINCT FROM excluded.description;
