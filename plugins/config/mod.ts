import { command, definePlugin } from "../../core/plugin.ts";

export default definePlugin({
  name: "config",
  api: 1,
  summary: "Show the configuration",
  commands: {
    "config": command({
      summary: "Show every setting and where its value comes from",
      description:
        "Secrets are masked. Nothing is connected to. Whatever is wrong is told at the end, all together, with exit code 3.",
      examples: [
        { line: "observatory config", note: "Show all settings" },
        { line: "observatory config --json", note: "The same for programs" },
        { line: "DB_HOST=db1 observatory config", note: "See that the environment wins" },
        {
          line: "observatory config --targets fleet.txt --target-index 0",
          note: "What comes of a line of a file of targets",
        },
      ],
      effect: "read",
      async run(ctx) {
        const entries = await ctx.config.entries();
        const width = Math.max(...entries.map(({ name }) => name.length));
        const values = entries.map(({ value }) => value ?? "-");
        const valueWidth = Math.min(60, Math.max(...values.map((value) => value.length)));
        const lines = entries.map(({ name, origin }, index) =>
          `${name.padEnd(width)}  ${(values[index] ?? "").padEnd(valueWidth)}  ${origin}`
        );
        const problems = await ctx.config.problems();
        if (problems.length > 0) {
          return { data: { settings: entries, problems }, text: lines.join("\n"), problems };
        }
        const { host, port, database, user } = ctx.db.target;
        return {
          data: { settings: entries, target: { host, port, database, user } },
          text: [...lines, "", `Target: ${user}@${host}:${port}/${database}`].join("\n"),
        };
      },
    }),
  },
});
