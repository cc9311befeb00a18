-- Prompts under version control.

CREATE TABLE prompts (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  project_id uuid NOT NULL,
  name text NOT NULL,
  description text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT prompts_pkey PRIMARY KEY (id),
  CONSTRAINT prompts_project_id_name_key UNIQUE (project_id, name),
  CONSTRAINT prompts_project_id_fkey
    FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT prompts_name_check CHECK (name <> '')
);

CREATE TRIGGER prompts_set_updated_at
  BEFORE UPDATE ON prompts
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
  EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE prompts IS 'Prompts of a project by name; their texts are in prompt_versions.';

CREATE TABLE prompt_versions (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  prompt_id uuid NOT NULL,
  version integer NOT NULL,
  template text NOT NULL,
  parameters jsonb NOT NULL DEFAULT '{}',
  note text,
  is_active boolean NOT NULL DEFAULT false,
  created_by text,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT prompt_versions_pkey PRIMARY KEY (id),
  CONSTRAINT prompt_versions_prompt_id_version_key UNIQUE (prompt_id, version),
  CONSTRAINT prompt_versions_prompt_id_fkey
    FOREIGN KEY (prompt_id) REFERENCES prompts (id) ON DELETE CASCADE,
  CONSTRAINT prompt_versions_version_check CHECK (version > 0),
  CONSTRAINT prompt_versions_parameters_check CHECK (jsonb_typeof(parameters) = 'object')
);

CREATE UNIQUE INDEX prompt_versions_active_key ON prompt_versions (prompt_id) WHERE is_active;

CREATE FUNCTION refuse_prompt_version_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $function$
BEGIN
  RAISE EXCEPTION 'Cannot change version % of a prompt: what was sent under it must stay known', OLD.version
    USING ERRCODE = 'restrict_violation', HINT = 'Insert a new version.';
END
$function$;

CREATE TRIGGER prompt_versions_refuse_change
  BEFORE UPDATE ON prompt_versions
  FOR EACH ROW WHEN (
    (OLD.prompt_id, OLD.version, OLD.template, OLD.parameters)
      IS DISTINCT FROM (NEW.prompt_id, NEW.version, NEW.template, NEW.parameters)
  )
  EXECUTE FUNCTION refuse_prompt_version_change();

COMMENT ON FUNCTION refuse_prompt_version_change() IS
  'Trigger function: refuses the update of a prompt version''s text or parameters.';
COMMENT ON TABLE prompt_versions IS
  'The texts of prompts. The number, template and parameters of a version never change: traces point to it.';
COMMENT ON COLUMN prompt_versions.version IS 'Number within the prompt, counted from 1.';
COMMENT ON COLUMN prompt_versions.template IS 'The text, with placeholders as the application writes them.';
COMMENT ON COLUMN prompt_versions.parameters IS
  'Parameters of the call as a JSON object, such as {"temperature": 0.2}.';
COMMENT ON COLUMN prompt_versions.note IS 'What changed since the version before.';
COMMENT ON COLUMN prompt_versions.is_active IS
  'Whether applications that ask for the prompt by name get this version; at most one of a prompt is.';
COMMENT ON COLUMN prompt_versions.created_by IS 'Who wrote the version, as the application knows them.';
