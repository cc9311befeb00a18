-- Settings of the product, for all projects or for one.

CREATE TABLE configurations (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  project_id uuid,
  key text NOT NULL,
  value text NOT NULL,
  description text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT configurations_pkey PRIMARY KEY (id),
  CONSTRAINT configurations_key_project_id_key UNIQUE NULLS NOT DISTINCT (key, project_id),
  CONSTRAINT configurations_project_id_fkey
    FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT configurations_key_check CHECK (key ~ '^[a-z][a-z0-9_.]*$')
);

CREATE INDEX configurations_project_id_idx ON configurations (project_id);

CREATE TRIGGER configurations_set_updated_at
  BEFORE UPDATE ON configurations
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
  EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE configurations IS
  'Settings by key: one global row, and a row for each project that departs from it. Not for secrets.';
COMMENT ON COLUMN configurations.project_id IS
  'The project the row holds for; null for the global row.';
COMMENT ON COLUMN configurations.key IS
  'Name of the setting: lower-case letters, digits, underscores and dots, such as enable_caching.';
COMMENT ON COLUMN configurations.value IS
  'The value as text. A boolean or number may be assigned unquoted: true is stored as the text true.';
COMMENT ON COLUMN configurations.description IS 'What the setting does, and in which unit.';
