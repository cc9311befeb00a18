DROP TABLE prompt_versions;
DROP TABLE prompts;
DROP FUNCTION refuse_prompt_version_change();
