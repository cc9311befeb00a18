-- Projects, which own everything else, and the keys their programs send with.

CREATE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $function$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END
$function$;

COMMENT ON FUNCTION set_updated_at() IS
  'Trigger function: sets the column updated_at of a changed row to the time of its transaction.';

CREATE TABLE projects (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  slug text NOT NULL,
  name text NOT NULL,
  description text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  archived_at timestamptz,
  CONSTRAINT projects_pkey PRIMARY KEY (id),
  CONSTRAINT projects_slug_key UNIQUE (slug),
  CONSTRAINT projects_slug_check CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  CONSTRAINT projects_name_check CHECK (name <> '')
);

CREATE TRIGGER projects_set_updated_at
  BEFORE UPDATE ON projects
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
  EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE projects IS
  'Applications that are observed. A project with traces, metrics or logs cannot be deleted: archive it, or delete those first.';
COMMENT ON COLUMN projects.slug IS
  'Name in URLs and configuration: 1 to 63 lower-case letters, digits and inner hyphens.';
COMMENT ON COLUMN projects.name IS 'Name for people.';
COMMENT ON COLUMN projects.updated_at IS 'Time of the last change of the row; kept by a trigger.';
COMMENT ON COLUMN projects.archived_at IS
  'Time from which the project takes no new data; null while it is in use.';

CREATE TABLE api_keys (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  project_id uuid NOT NULL,
  name text NOT NULL,
  prefix text NOT NULL,
  key_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  expires_at timestamptz,
  revoked_at timestamptz,
  CONSTRAINT api_keys_pkey PRIMARY KEY (id),
  CONSTRAINT api_keys_project_id_fkey
    FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash),
  CONSTRAINT api_keys_name_check CHECK (name <> ''),
  CONSTRAINT api_keys_prefix_check CHECK (length(prefix) BETWEEN 4 AND 16),
  CONSTRAINT api_keys_key_hash_check CHECK (octet_length(key_hash) = 32)
);

CREATE INDEX api_keys_project_id_idx ON api_keys (project_id);

COMMENT ON TABLE api_keys IS
  'Keys with which programs send data to a project. The key itself is shown once, when it is made, and never stored.';
COMMENT ON COLUMN api_keys.name IS 'What the key is for, in words for people.';
COMMENT ON COLUMN api_keys.prefix IS
  'The first 4 to 16 characters of the key, by which people recognise it; too few to guess the rest.';
COMMENT ON COLUMN api_keys.key_hash IS
  'SHA-256 of the whole key, 32 bytes. Keys are long random strings, so a hash without salt suffices.';
COMMENT ON COLUMN api_keys.last_used_at IS 'Time of the last request with the key; null before the first.';
COMMENT ON COLUMN api_keys.expires_at IS 'Time from which the key is refused; null for never.';
COMMENT ON COLUMN api_keys.revoked_at IS 'Time from which the key is refused by decision; null while it is valid.';
