-- Creates the extension TimescaleDB in this database where the server offers
-- it and the role may. Without it the migrations after this one make plain
-- tables and views of the same names, columns and keys.

DO $migration$
DECLARE
  verbosity constant text := current_setting('client_min_messages');
  -- It serves the whole database, and would go with the schema it is in.
  home constant name := CASE
    WHEN to_regnamespace('public') IS NULL THEN current_schema() ELSE 'public'
  END;
BEGIN
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
    RETURN;
  END IF;

  IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') THEN
    RAISE NOTICE 'This server does not offer TimescaleDB: traces, metrics and logs become plain tables';
    RETURN;
  END IF;

  -- Without its preloaded library, CREATE EXTENSION does not fail but ends the
  -- whole connection. The library's settings tell whether it is loaded;
  -- shared_preload_libraries itself may be hidden from the role.
  IF NOT EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.max_background_workers') THEN
    RAISE WARNING 'This server offers TimescaleDB but has not loaded it: traces, metrics and logs become plain tables'
      USING HINT = 'Add timescaledb to shared_preload_libraries and restart the server; migrations/README.md tells how to convert the tables then.';
    RETURN;
  END IF;

  BEGIN
    -- The extension greets with a screenful of notices or, before 2.14, warnings.
    PERFORM set_config('client_min_messages', 'error', true);
    EXECUTE format('CREATE EXTENSION timescaledb SCHEMA %I', home);
    PERFORM set_config('client_min_messages', verbosity, true);
  EXCEPTION
    -- What the server, its policy or the role's rights forbid; anything else is a failure.
    WHEN insufficient_privilege OR feature_not_supported OR undefined_file
      OR object_not_in_prerequisite_state
    THEN
      RAISE WARNING 'Cannot create the extension timescaledb: %: traces, metrics and logs become plain tables', SQLERRM
        USING HINT = 'Have a role with the right CREATE on the database run CREATE EXTENSION timescaledb; migrations/README.md tells how to convert the tables then.';
  END;
END
$migration$;
