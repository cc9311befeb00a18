/** Plugins of users, for runs of the program from outside. */

/** Says hello, in all ways that a command can end. */
export const HELLO = `import { command, definePlugin, OperationError } from "observatory";

interface Told { readonly to: string; readonly times: number }

export default definePlugin({
  name: "hello",
  api: 1,
  summary: "Say hello",
  commands: {
    "hello": command({
      summary: "Say hello to somebody",
      examples: [{ line: "observatory hello ada", note: "say it to Ada" }],
      effect: "read",
      database: "none",
      args: { "to": { help: "Whom to greet" } },
      flags: {
        "times": { type: "number", default: 1, help: "How often" },
        "manner": { type: "string", choices: ["warm", "cool"], help: "How it is said" },
        "end": { type: "string", default: "well", help: "How it ends" },
      },
      async run(ctx, { args, flags }) {
        const told: Told = { to: args.to ?? "world", times: flags.times };
        ctx.log.info("about to say it");
        if (flags.end === "thrown") throw new Error("no voice");
        if (flags.end === "failed") throw new OperationError("Cannot speak", { hint: "Drink" });
        if (flags.end === "refused") {
          throw new OperationError("Not to them", { kind: "refused", code: "not_them" });
        }
        return {
          data: told,
          text: ("Hello " + told.to + "\\n").repeat(told.times).trimEnd(),
          ...(flags.end === "problems" ? { problems: ["Nobody answered"] } : {}),
        };
      },
    }),
    "hello count": command({
      summary: "Count the tables",
      examples: [{ line: "observatory hello count", note: "count them" }],
      effect: "read",
      async run(ctx) {
        const { rows } = await ctx.db.query<{ n: bigint }>(
          "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'",
        );
        return { data: rows[0], text: \`\${rows[0]?.n} tables\` };
      },
    }),
  },
});
`;

/** A plugin of one command that says its own name. */
export function saying(name: string, path = name): string {
  return `import { command, definePlugin } from "observatory";
export default definePlugin({
  name: "${name}",
  api: 1,
  summary: "Say ${name}",
  commands: {
    "${path}": command({
      summary: "Say ${name}",
      examples: [{ line: "observatory ${path}", note: "say it" }],
      effect: "read",
      database: "none",
      run: () => Promise.resolve({ data: "${name}", text: "I am ${name}" }),
    }),
  },
});
`;
}

/** A plugin of hooks; each body has \`ctx\` and \`event\`. */
export function hooking(name: string, hooks: Readonly<Record<string, string>>): string {
  const lines = Object.entries(hooks).map(([hook, body]) =>
    `    "${hook}": async (ctx, event) => {\n      ${body}\n    },`
  );
  return `import { definePlugin, OperationError } from "observatory";
export default definePlugin({
  name: "${name}",
  api: 1,
  summary: "Hooks of ${name}",
  hooks: {
${lines.join("\n")}
  },
});
`;
}

/** Plugins that cannot be used: the text, what \`plugin list\` calls it, and what the reason says. */
export const BROKEN: Readonly<
  Record<string, readonly [text: string, status: string, reason: RegExp]>
> = {
  "syntax": [
    "import { definePlugin } from 'observatory';\nexport default definePlugin({ name: });\n",
    "invalid",
    /broken\.ts:2:37": /,
  ],
  "enum": ["enum Level { Low }\nexport default Level;\n", "invalid", /broken\.ts:1:1": /],
  "throws": ["const a = 1;\nthrow new Error('no luck');\n", "failed", /no luck.*broken\.ts:2:7/],
  "api": [
    "export default { name: 'broken', api: 7, summary: 'x' };\n",
    "incompatible",
    /version 7/,
  ],
  "no-default": ["export const a = 1;\n", "invalid", /no default export/],
  "not-a-plugin": ["export default { name: 'Bad Name', api: 1 };\n", "invalid", /is not valid/],
  "import": ["import 'node:fs';\nexport default 1;\n", "refused", /broken\.ts:1:\d+": /],
  "hangs": ["await new Promise(() => {});\nexport default 1;\n", "failed", /broken/],
};
