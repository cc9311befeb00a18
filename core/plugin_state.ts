/** What a plugin keeps with the database: JSON by key, in the tool's own schema. */
import { type Context, OperationError, type State, type StateTable } from "./plugin.ts";

const TABLE: StateTable = {
  name: "plugin_state",
  columns: {
    plugin: "text NOT NULL",
    key: "text NOT NULL",
    value: "jsonb NOT NULL",
    changed_at: "timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (plugin, key)",
  },
};

/** The most that is kept under one key, in characters of its JSON. */
const VALUE_LIMIT = 1 << 20;

/** The state of one plugin. */
export function pluginState(plugin: string, database: () => Context["db"]): State {
  /** Where the table is absent, nothing is kept yet. */
  async function read<T>(sql: string, params: readonly string[]): Promise<T[]> {
    const table = await database().stateTable(TABLE);
    if (table === undefined) return [];
    return (await database().query<T>(sql.replace("$table", table), [plugin, ...params])).rows;
  }
  return {
    async get(key) {
      const [row] = await read<{ value: string }>(
        "SELECT value::text AS value FROM $table WHERE plugin = $1 AND key = $2",
        [key],
      );
      return row === undefined ? undefined : JSON.parse(row.value);
    },
    async set(key, value) {
      const json = value === undefined ? undefined : JSON.stringify(value);
      if (json !== undefined && json.length > VALUE_LIMIT) {
        throw new OperationError(
          `Cannot keep ${json.length} characters under "${key}": ${VALUE_LIMIT} are the most`,
          { code: "state_too_large", hint: "Keep large data in a table of your own" },
        );
      }
      const table = await database().stateTable(TABLE);
      if (table === undefined) {
        throw new OperationError(`Cannot keep "${key}": no state can be kept in this run`, {
          code: "no_state",
          hint: "A command whose effect is read keeps none; else see the warning before",
        });
      }
      if (json === undefined) {
        await database().query(`DELETE FROM ${table} WHERE plugin = $1 AND key = $2`, [
          plugin,
          key,
        ]);
        return;
      }
      await database().query(
        `INSERT INTO ${table} (plugin, key, value) VALUES ($1, $2, $3)
         ON CONFLICT (plugin, key) DO UPDATE SET value = EXCLUDED.value, changed_at = now()`,
        [plugin, key, json],
      );
    },
    async keys() {
      const rows = await read<{ key: string }>(
        "SELECT key FROM $table WHERE plugin = $1 ORDER BY key",
        [],
      );
      return rows.map(({ key }) => key);
    },
  };
}
