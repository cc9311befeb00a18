DROP TABLE api_keys;
DROP TABLE projects;
DROP FUNCTION set_updated_at();
