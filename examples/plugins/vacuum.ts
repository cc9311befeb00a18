/**
 * Vacuums and analyzes the tables with the most dead rows, as a nightly script would.
 *
 * Copy this file into your plugins directory, look with `observatory vacuum --dry-run` and run
 * `observatory vacuum`. An interrupt ends it between two tables or within one; nothing is lost.
 */
import { command, type Context, definePlugin } from "observatory";

/** Tables that the role may vacuum: its own, or all of them for the database's owner. */
const BUSIEST = `
  SELECT pg_catalog.format('%I.%I', schemaname, s.relname) AS table, n_dead_tup AS dead_rows
  FROM pg_catalog.pg_stat_user_tables s
    JOIN pg_catalog.pg_class ON pg_class.oid = relid
    JOIN pg_catalog.pg_database ON datname = pg_catalog.current_database()
  WHERE n_dead_tup >= $1
    AND (pg_catalog.pg_has_role(relowner, 'USAGE') OR pg_catalog.pg_has_role(datdba, 'USAGE'))
  ORDER BY n_dead_tup DESC, 1 LIMIT $2`;

interface BusyTable {
  /** With its schema, quoted for SQL. */
  readonly table: string;
  readonly dead_rows: bigint;
}

async function vacuum(ctx: Context, tables: readonly BusyTable[]): Promise<void> {
  for (const [done, { table }] of tables.entries()) {
    ctx.signal.throwIfAborted();
    ctx.progress({ label: `Vacuuming ${table}`, done, total: tables.length, unit: "items" });
    // The running statement is cancelled in the server when the run is to end.
    await ctx.db.query(`VACUUM (ANALYZE) ${table}`);
  }
}

export default definePlugin({
  name: "vacuum",
  api: 1,
  summary: "Vacuum the busiest tables",
  commands: {
    "vacuum": command({
      summary: "Vacuum the tables with the most dead rows",
      examples: [
        { line: "observatory vacuum", note: "The ten busiest tables" },
        { line: "observatory vacuum --min-dead 1 --limit 100", note: "Every table with dead rows" },
      ],
      effect: "write",
      dryRun: true,
      flags: {
        "limit": { type: "number", help: "How many tables at most", default: 10 },
        "min-dead": { type: "number", help: "Only tables with so many dead rows", default: 1000 },
      },
      async run(ctx, { flags }) {
        const { rows: tables } = await ctx.db.query<BusyTable>(BUSIEST, [
          flags["min-dead"],
          flags.limit,
        ]);
        if (!ctx.dryRun) await vacuum(ctx, tables);
        const verb = ctx.dryRun ? "Would vacuum" : "Vacuumed";
        const lines = tables.map(({ table, dead_rows }) =>
          `${verb} ${table}: ${dead_rows} dead rows`
        );
        return {
          data: { vacuumed: !ctx.dryRun, tables },
          text: lines.join("\n") || `No table has ${flags["min-dead"]} dead rows`,
        };
      },
    }),
  },
});
