/** What plugins of users cost a run that uses none of them, and one that uses one. */
import { join } from "node:path";
import { measure, report } from "./measure.ts";
import type { Bench } from "./subjects.ts";

/** A directory of this many plugins is more than a team has. */
const MANY = 30;

const ROUNDS = 31;

/**
 * `verify` beside 30 plugins (aim: at most 20 ms more), and the start of a plugin's command beside a
 * built-in one's (aim: at most 40 ms more), what is kept from run to run being warm.
 */
export async function pluginsSuite(bench: Bench): Promise<void> {
  await bench.freshDatabase("plugins");
  const many = join(bench.directory, "many");
  const one = join(bench.directory, "one");
  await writePlugins(many, MANY);
  await writePlugins(one, 1);
  const home = join(bench.directory, "home");
  const migrations = join(bench.directory, "no-migrations");
  await Deno.mkdir(home);
  await Deno.mkdir(migrations);
  const shared = {
    HOME: home,
    DATABASE_URL: bench.server.url("plugins"),
    MIGRATIONS_DIR: migrations,
    OBSERVATORY_SYSTEM_PLUGINS: join(bench.directory, "none"),
  };
  const subject = (name: string, args: readonly string[], directory?: string) => ({
    name,
    command: [bench.observatory, ...args],
    env: { ...shared, PLUGINS_DIR: directory ?? "" },
  });
  // Checks of the machine's directories fail here, and are no part of what is compared.
  const verify = ["verify", "--skip", "backups-dir", "--skip", "disk-space"];
  report(
    `verify beside plugins (aim: ${MANY} cost at most 20 ms)`,
    await measure([
      subject("verify, no plugins", verify),
      subject("verify, 1 plugin", verify, one),
      subject(`verify, ${MANY} plugins`, verify, many),
    ], ROUNDS),
  );
  report(
    "A plugin's command (aim: at most 40 ms over a built-in's)",
    await measure([
      subject("a built-in's: config", ["config"]),
      subject("a built-in's, beside 1 plugin", ["config"], one),
      subject("the plugin's, 1 plugin", ["sizes-0"], one),
      subject(`the plugin's, ${MANY} plugins`, ["sizes-0"], many),
    ], ROUNDS),
  );
}

async function writePlugins(directory: string, count: number): Promise<void> {
  await Deno.mkdir(directory);
  for (let index = 0; index < count; index++) {
    await Deno.writeTextFile(join(directory, `sizes-${index}.ts`), pluginText(index));
  }
}

/** A plugin as teams have them: a command with flags, a second one, and a hook. */
function pluginText(index: number): string {
  return `import { command, definePlugin } from "observatory";

interface Size {
  readonly name: string;
  readonly bytes: bigint;
}

function told({ name, bytes }: Size, unit: string): string {
  return unit === "kilobytes" ? \`\${bytes / 1024n} kB  \${name}\` : \`\${bytes} B  \${name}\`;
}

export default definePlugin({
  name: "sizes-${index}",
  api: 1,
  summary: "Tell the largest tables",
  permissions: { net: ["hooks.example.com"] },
  commands: {
    "sizes-${index}": command({
      summary: "Say what could be told",
      examples: [{ line: "observatory sizes-${index}", note: "say it" }],
      effect: "read",
      database: "none",
      flags: {
        "unit": { type: "string", choices: ["bytes", "kilobytes"], default: "bytes", help: "Unit" },
      },
      run: (_ctx, { flags }) =>
        Promise.resolve({
          data: { unit: flags.unit },
          text: told({ name: "traces", bytes: 8192n }, flags.unit),
        }),
    }),
    "sizes-${index} tables": command({
      summary: "Tell the largest tables",
      examples: [{ line: "observatory sizes-${index} tables --limit 3", note: "the three largest" }],
      effect: "read",
      flags: { "limit": { type: "number", default: 10, help: "How many are told" } },
      async run(ctx, { flags }) {
        const { rows } = await ctx.db.query<Size>(
          "SELECT relname AS name, pg_total_relation_size(oid) AS bytes FROM pg_class LIMIT $1",
          [flags.limit],
        );
        return { data: rows, text: rows.map((row) => told(row, "bytes")).join("\\n") };
      },
    }),
  },
  hooks: {
    "after:backup": async (ctx, event) => {
      await fetch("https://hooks.example.com", { method: "POST", body: JSON.stringify(event.result) });
      ctx.log.info("Told of the backup");
    },
  },
});
`;
}
