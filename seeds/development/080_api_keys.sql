-- A key for each sample project that has none, not even a revoked one. Keys are
-- made by the server's strong random numbers, 244 bits of them, and only their
-- hashes are stored; the rows of this one statement are the only time that the
-- keys themselves are seen.

WITH made AS MATERIALIZED (
  SELECT projects.id, slug,
    'lo_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '') AS key
  FROM projects
  JOIN configurations AS own ON own.project_id = projects.id AND own.key = 'sample_data.calls_per_day'
  WHERE archived_at IS NULL
    AND NOT EXISTS (SELECT FROM api_keys WHERE project_id = projects.id)
),
stored AS (
  INSERT INTO api_keys (project_id, name, prefix, key_hash)
  SELECT id, 'Sample key', left(key, 11), sha256(convert_to(key, 'UTF8')) FROM made
)
SELECT slug AS project, key AS api_key FROM made ORDER BY slug;
