/** What plugins of users cost a run that uses none of them, and one that uses one. */
import { join } from "node:path";
import { PROJECT } from "../tasks/build.ts";
import { measure, report, type Subject } from "./measure.ts";
import type { Bench } from "./subjects.ts";

/** A directory of this many plugins is more than a team has. */
const MANY = 30;

const ROUNDS = 31;

/** Rows that are streamed, of five columns. */
const ROWS = 2_000_000;

/**
 * `verify` beside 30 plugins (aim: at most 20 ms more), the start of a plugin's command beside a
 * built-in one's (aim: at most 40 ms more), what is kept from run to run being warm, and rows that
 * a plugin reads in its worker beside those read in process (aim: at least a million a second).
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
    OBSERVATORY_SYSTEM_PLUGINS: join(bench.directory, "no-system-plugins"),
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
  await streamSuite(bench, shared);
}

/** Rows by `ctx.db.stream`: the time of a run that reads none is taken off. */
async function streamSuite(
  bench: Bench,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const directory = join(bench.directory, "stream");
  await Deno.mkdir(directory);
  await Deno.writeTextFile(join(directory, "count.ts"), COUNT);
  const inProcess = join(bench.directory, "in_process.ts");
  const own = (path: string) => JSON.stringify(join(PROJECT, path));
  await Deno.writeTextFile(
    inProcess,
    `import { run } from ${own("core/run.ts")};
import { systemHost } from ${own("core/host.ts")};
${COUNT.replace('"observatory"', own("core/plugin.ts")).replace("export default", "const plugin =")}
Deno.exit(await run(Deno.args, systemHost(), { plugins: [plugin] }));
`,
  );
  const deno = [
    Deno.execPath(),
    "run",
    "--quiet",
    "-A",
    "--v8-flags=--disallow-code-generation-from-strings",
    "--config",
    join(PROJECT, "deno.json"),
  ];
  const ways: readonly (readonly [name: string, command: readonly string[]])[] = [
    ["in process, from sources", [...deno, inProcess]],
    ["in a worker, from sources", [...deno, join(PROJECT, "main.ts"), "--plugin-dir", directory]],
    ["in a worker, compiled", [bench.observatory, "--plugin-dir", directory]],
  ];
  const subjects = ways.flatMap(([name, command]) =>
    [ROWS, 0].map((rows): Subject => ({
      name: `${name}: ${rows} rows`,
      command: [...command, "count", "--rows", `${rows}`],
      env: { ...env, PLUGINS_DIR: "", DENO_DIR: Deno.env.get("DENO_DIR") ?? "" },
    }))
  );
  const measured = await measure(subjects, 5);
  const rates = ways.map(([name], index) => {
    const [full, empty] = [measured[2 * index], measured[2 * index + 1]];
    const rate = (of: "median" | "processor") =>
      (ROWS / ((full?.[of] ?? NaN) - (empty?.[of] ?? NaN)) / 1000).toFixed(2);
    return `${name}: ${rate("median")} M rows/s, ${
      rate("processor")
    } M per second of processor time`;
  });
  report("Rows by ctx.db.stream (aim: at least 1 M/s in a worker)", measured, rates);
}

const COUNT = `import { command, definePlugin } from "observatory";
export default definePlugin({
  name: "count",
  api: 1,
  summary: "Count rows",
  commands: {
    "count": command({
      summary: "Count rows",
      examples: [{ line: "observatory count", note: "count them" }],
      effect: "read",
      flags: { "rows": { type: "number", default: 1, help: "How many there are" } },
      async run(ctx, { flags }) {
        let rows = 0;
        let letters = 0;
        const stream = await ctx.db.stream<{ name: string }>(
          "SELECT g::int8 AS id, 'name ' || g AS name, g AS n, g % 2 = 0 AS yes, now()::text AS at " +
            "FROM generate_series(1, $1::int) g",
          [flags.rows],
        );
        for await (const batch of stream) {
          rows += batch.length;
          for (const { name } of batch) letters += name.length;
        }
        if (rows !== flags.rows) throw new Error("rows are missing");
        return { data: { rows, letters } };
      },
    }),
  },
});
`;

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
