/**
 * Lists the largest tables with their indexes. The parts of a partitioned table, and the chunks of
 * a hypertable, count with it; compressed chunks stand by themselves.
 *
 * Copy this file into your plugins directory and run `observatory table-sizes`.
 */
import { command, definePlugin } from "observatory";

/** What `--sort` stands for. */
const ORDER = {
  total: "total_bytes DESC",
  table: "table_bytes DESC",
  indexes: "index_bytes DESC",
  rows: "rows DESC NULLS LAST",
  name: "schema, name",
} as const;

const SIZES = `
  WITH RECURSIVE parts (root, part) AS (
    SELECT oid, oid FROM pg_catalog.pg_class
    WHERE relkind IN ('r', 'p', 'm')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = pg_class.oid)
    UNION
    SELECT root, inhrelid FROM parts JOIN pg_catalog.pg_inherits ON inhparent = part
  ),
  sizes AS (
    SELECT root, count(*)::int - 1 AS parts,
      -- A parent counts the rows of its partitions once more.
      CASE WHEN min(reltuples) FILTER (WHERE relkind <> 'p') >= 0
        THEN sum(reltuples) FILTER (WHERE relkind <> 'p')::bigint END AS rows,
      sum(pg_catalog.pg_table_size(part))::bigint AS table_bytes,
      sum(pg_catalog.pg_indexes_size(part))::bigint AS index_bytes,
      sum(pg_catalog.pg_total_relation_size(part))::bigint AS total_bytes
    FROM parts JOIN pg_catalog.pg_class ON pg_class.oid = part GROUP BY root
  )
  SELECT nspname::text AS schema, relname::text AS name, parts, rows,
    table_bytes, index_bytes, total_bytes
  FROM sizes
    JOIN pg_catalog.pg_class ON pg_class.oid = root
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
  WHERE nspname = $1 OR $1 IS NULL AND nspname NOT IN ('pg_catalog', 'information_schema')`;

interface TableSize {
  readonly schema: string;
  readonly name: string;
  /** Partitions or chunks, all levels of them. */
  readonly parts: number;
  /** As the last VACUUM or ANALYZE has estimated; null before the first. */
  readonly rows: bigint | null;
  readonly table_bytes: bigint;
  readonly index_bytes: bigint;
  readonly total_bytes: bigint;
}

function tableText(sizes: readonly TableSize[]): string {
  const lines = [
    ["TABLE", "ROWS", "TABLE SIZE", "INDEXES", "TOTAL"],
    ...sizes.map((size) => [
      `${size.schema}.${size.name}`,
      size.rows === null ? "?" : `~${size.rows}`,
      inUnits(size.table_bytes),
      inUnits(size.index_bytes),
      inUnits(size.total_bytes),
    ]),
  ];
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0))
  );
  return lines.map((line) =>
    line.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    }).join("  ")
  ).join("\n");
}

function inUnits(bytes: bigint): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = Number(bytes);
  for (; size >= 1024 && units.length > 1; units.shift()) size /= 1024;
  return `${units[0] === "B" ? size : size.toFixed(1)} ${units[0]}`;
}

export default definePlugin({
  name: "table-sizes",
  api: 1,
  summary: "Show what takes the space",
  commands: {
    "table-sizes": command({
      summary: "List the largest tables",
      examples: [
        { line: "observatory table-sizes", note: "The 20 largest ones" },
        { line: "observatory table-sizes --sort rows --limit 5", note: "Those of most rows" },
        { line: "observatory table-sizes --schema public --json", note: "In bytes, for programs" },
      ],
      effect: "read",
      flags: {
        schema: { type: "string", help: "Only the tables of this schema" },
        limit: { type: "number", help: "How many are shown at most", default: 20 },
        sort: {
          type: "string",
          help: "What comes first",
          choices: ["total", "table", "indexes", "rows", "name"],
          default: "total",
        },
      },
      async run(ctx, { flags: { schema, limit, sort } }) {
        const { rows } = await ctx.db.query<TableSize>(
          `${SIZES} ORDER BY ${ORDER[sort]}, schema, name LIMIT $2`,
          [schema ?? null, limit],
        );
        return { data: { tables: rows }, text: rows.length > 0 ? tableText(rows) : "No tables" };
      },
    }),
  },
});
