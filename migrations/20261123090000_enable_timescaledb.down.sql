-- The extension stays: it may have been here before, other schemas of this
-- database may hold hypertables that would go with it, and TimescaleDB cannot
-- be dropped and created again within one session.

DO $migration$
BEGIN
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
    RAISE NOTICE 'The extension timescaledb is left in this database';
  END IF;
END
$migration$;
