/** What a new plugin begins with; it works as it stands. */

/** The language that a plugin is written in. */
export type Language = "ts" | "js";

/** The text of the plugin. */
export function pluginText(name: string, language: Language): string {
  const typed = language === "ts";
  return `${typed ? "" : "// @ts-check\n"}import { command, definePlugin } from "observatory";
${typed ? "\ninterface Size {\n  readonly name: string;\n  readonly bytes: bigint;\n}\n" : ""}
export default definePlugin({
  name: "${name}",
  api: 1,
  summary: "Tell the largest tables",
  commands: {
    "${name}": command({
      summary: "Tell the largest tables",
      examples: [{ line: "observatory ${name} --limit 3", note: "the three largest" }],
      // Its statements can only read; "write" and "destroy" are the others.
      effect: "read",
      flags: {
        "limit": { type: "number", default: 10, help: "How many tables are told" },
      },
      async run(ctx, { flags }) {
        const { rows } = await ctx.db.query${typed ? "<Size>" : ""}(
          \`SELECT c.oid::regclass::text AS name, pg_total_relation_size(c.oid) AS bytes
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            ORDER BY 2 DESC, 1 LIMIT $1\`,
          [flags.limit],
        );
        // \`data\` is for programs (--json), \`text\` for people; the command prints nothing itself.
        const lines = rows.map(({ name, bytes }) => \`\${bytes} bytes  \${name}\`);
        return { data: { tables: rows }, text: lines.join("\\n") || "No tables" };
      },
    }),
  },
  hooks: {
    "after:migrate": (ctx) => ctx.log.info("See \`observatory ${name}\` for the largest tables"),
  },
  // permissions: { net: ["hooks.example.com"], read: ["./data"], write: ["./out"] },
});
`;
}

/** The text of its test. */
export function testText(name: string, language: Language): string {
  return `import assert from "node:assert/strict";
import { fakeContext, runCommand, runHook } from "observatory/testing";
import plugin from "./${name}.${language}";

Deno.test("${name}: tells the tables that the database names", async () => {
  const context = fakeContext({
    sql: [[/pg_total_relation_size/, [{ name: "traces", bytes: 8192n }]]],
  });
  const result = await runCommand(plugin, "${name}", { context, flags: { limit: 3 } });
  assert.equal(result.text, "8192 bytes  traces");
  assert.deepEqual(context.statements.map(({ params }) => params), [[3]]);
});

Deno.test("${name}: after migrations it says where the sizes are", async () => {
  const context = fakeContext();
  await runHook(plugin, "after:migrate", { context });
  assert.deepEqual(context.lines, ["info: See \`observatory ${name}\` for the largest tables"]);
});
`;
}
