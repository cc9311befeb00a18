-- Sample metrics: three of each sample project, every half hour of the days
-- that the traces cover, drawn from hashes as they are. Their ids are hashes
-- too, and negative: those that the database gives count up from 1, so the two
-- never meet, and a second run finds the rows of the first.

WITH
samples AS (
  SELECT projects.id, slug,
    (SELECT value::date FROM configurations
      WHERE key = 'sample_data.last_day' AND project_id IS NULL) AS last_day,
    (SELECT value::integer FROM configurations
      WHERE key = 'sample_data.days' AND project_id IS NULL) AS days
  FROM projects
  JOIN configurations AS own ON own.project_id = projects.id AND own.key = 'sample_data.calls_per_day'
),
times AS (
  SELECT id AS project_id, slug, slot / 2.0 AS hour,
    (last_day - back)::timestamp AT TIME ZONE 'UTC' + slot * interval '30 minutes' AS ts,
    slug || to_char(last_day - back, '/YYYY-MM-DD/') || slot AS name,
    -- From 0 at night to 1 at noon.
    greatest(0, sin(pi() * (slot / 2.0 - 5) / 15)) AS daylight
  FROM samples, generate_series(0, days - 1) AS back, generate_series(0, 47) AS slot
),
-- The hash of a sample's name, and a number from 0 up to 1 out of it.
drawn AS MATERIALIZED (
  SELECT times.project_id, ts, hour, daylight, metric,
    ('x' || substr(digest, 1, 15))::bit(60)::bigint AS number,
    ('x' || substr(digest, 17, 8))::bit(32)::bigint / 4294967296::double precision AS share
  FROM times, unnest(ARRAY['queue.depth', 'cache.hit_ratio', 'process.memory.usage']) AS metric,
    LATERAL (SELECT encode(sha256(convert_to(name || '/' || metric, 'UTF8')), 'hex') AS digest) AS hashed
)
INSERT INTO metrics (ts, id, project_id, name, unit, value, labels)
OVERRIDING SYSTEM VALUE
SELECT ts, -1 - number, project_id, metric,
  CASE metric WHEN 'process.memory.usage' THEN 'By' ELSE '1' END,
  CASE metric
    -- Mostly empty, with peaks by day.
    WHEN 'queue.depth' THEN floor(share ^ 3 * (3 + 20 * daylight))
    -- The more people ask, the more of it has been asked before.
    WHEN 'cache.hit_ratio' THEN round((0.2 + 0.35 * daylight + 0.1 * (share - 0.5))::numeric, 4)
    -- Grows until the nightly restart.
    ELSE 4096 * floor((95000 + 3500 * hour + 6000 * share))
  END,
  jsonb_build_object('instance', 'app-1')
FROM drawn
ORDER BY ts, 2
ON CONFLICT (ts, id) DO NOTHING;
