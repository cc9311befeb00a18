/**
 * Replaces personal data in a copy of production: what was asked and answered, log lines, users and
 * sessions in metadata, authors, API keys. Counts, times, costs and models stay.
 *
 * Copy this file into your plugins directory and look with `observatory anonymize --dry-run`.
 * Equal texts get equal pseudonyms, so that joins and counts go on to work: within a run, and from
 * run to run under the same ANONYMIZE_KEY, without which nobody can find the text by trying.
 *
 * It refuses where ENVIRONMENT is production, and asks for the database's name. All of it is one
 * transaction: no copy is left half anonymous. A dump of the copy holds nothing of the old rows;
 * its files do until `VACUUM FULL`.
 */
import { command, type Context, definePlugin, OperationError } from "observatory";

/** A pseudonym, in SQL; $1 is the key. */
function pseudonym(text: string): string {
  const hash = `pg_catalog.sha256(pg_catalog.convert_to($1::text || ${text}, 'UTF8'))`;
  return `'anon-' || pg_catalog.left(pg_catalog.encode(${hash}, 'hex'), 12)`;
}

/** A JSON object whose values are pseudonyms, but for flags and the keys of $2, in SQL. */
function members(column: string): string {
  return `(
    SELECT coalesce(pg_catalog.jsonb_object_agg(key, CASE
      WHEN key = ANY ($2::text[]) OR pg_catalog.jsonb_typeof(value) IN ('boolean', 'null') THEN value
      ELSE pg_catalog.to_jsonb(${pseudonym("(value #>> '{}')")})
    END), '{}') FROM pg_catalog.jsonb_each(${column}))`;
}

function contents(column: string): string {
  return `CASE WHEN ${column} IS NOT NULL THEN pg_catalog.jsonb_build_object(
    'anonymized', ${pseudonym(`${column}::text`)},
    'characters', pg_catalog.length(${column}::text)) END`;
}

/** What each column of a table becomes; null stays null. */
const TABLES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  api_keys: {
    name: pseudonym("name"),
    // At most 16 characters.
    prefix: `pg_catalog.left(${pseudonym("prefix")}, 16)`,
    // No key that anybody holds has this hash, so none of them works on the copy.
    key_hash: "pg_catalog.sha256(pg_catalog.convert_to($1::text, 'UTF8') || key_hash)",
  },
  prompt_versions: { created_by: pseudonym("created_by") },
  traces: {
    input: contents("input"),
    output: contents("output"),
    error_message: pseudonym("error_message"),
    metadata: members("metadata"),
  },
  metrics: { labels: members("labels") },
  logs: { message: pseudonym("message"), attributes: members("attributes") },
};

interface Counted {
  readonly table: string;
  readonly columns: readonly string[];
  readonly rows: number;
}

function refuseProduction(ctx: Context): void {
  if (ctx.config.get("ENVIRONMENT") !== "production") return;
  throw new OperationError("Refused: ENVIRONMENT is production; nothing was changed", {
    kind: "refused",
    code: "production",
    hint: "Run this on a copy, with ENVIRONMENT set to what the copy is for",
  });
}

async function count(ctx: Context): Promise<Counted[]> {
  const counted: Counted[] = [];
  for (const [table, columns] of Object.entries(TABLES)) {
    const { rows: [row] } = await ctx.db.query<{ rows: bigint }>(
      `SELECT count(*) AS rows FROM ${table}`,
    );
    counted.push({ table, columns: Object.keys(columns), rows: Number(row?.rows) });
  }
  return counted;
}

async function anonymize(
  ctx: Context,
  { key, keep }: { readonly key: string; readonly keep: readonly string[] },
): Promise<Counted[]> {
  const kept = `{${keep.map((name) => JSON.stringify(name)).join(",")}}`;
  return await ctx.db.transaction(async (session) => {
    // TimescaleDB limits how much of a compressed chunk one statement may change.
    await session.query(
      `SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings
       WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'`,
    );
    const done: Counted[] = [];
    for (const [table, columns] of Object.entries(TABLES)) {
      ctx.progress({
        label: `Anonymizing ${table}`,
        done: done.length,
        total: Object.keys(TABLES).length,
        unit: "items",
      });
      const changes = Object.entries(columns).map(([column, value]) => `${column} = ${value}`);
      // Every statement is given both parameters, whether it has use for them or not.
      const sql = `UPDATE ${table} SET ${
        changes.join(", ")
      } WHERE $1::text <> '' AND $2::text[] IS NOT NULL`;
      const { count: rows } = await session.query(sql, [key, kept]);
      done.push({ table, columns: Object.keys(columns), rows });
    }
    return done;
  });
}

function linesOf(counted: readonly Counted[], verb: string): string {
  return counted
    .map(({ table, columns, rows }) => `${verb} ${rows} rows of ${table}: ${columns.join(", ")}`)
    .join("\n");
}

export default definePlugin({
  name: "anonymize",
  api: 1,
  summary: "Take personal data out of a copy of production",
  commands: {
    "anonymize": command({
      summary: "Replace personal data by pseudonyms",
      examples: [
        { line: "observatory anonymize --dry-run", note: "Count what would be replaced" },
        { line: "observatory anonymize --keep environment", note: "Leave one key of metadata" },
        { line: "observatory anonymize --confirm shop_copy", note: "Without a question" },
      ],
      effect: "destroy",
      dryRun: true,
      flags: {
        keep: {
          type: "string",
          repeatable: true,
          placeholder: "KEY",
          help: "A key of metadata, labels and attributes whose values stay",
        },
        key: {
          type: "string",
          env: "ANONYMIZE_KEY",
          secret: true,
          help: "What pseudonyms are made with, from ANONYMIZE_KEY; by default drawn for each run",
        },
      },
      async plan(ctx) {
        refuseProduction(ctx);
        return linesOf(await count(ctx), "Would replace");
      },
      async run(ctx, { flags: { key, keep } }) {
        refuseProduction(ctx);
        const tables = ctx.dryRun
          ? await count(ctx)
          : await anonymize(ctx, { key: key || crypto.randomUUID(), keep });
        return {
          data: { anonymized: !ctx.dryRun, tables },
          // Under --dry-run the plan has told it.
          ...(ctx.dryRun ? {} : { text: linesOf(tables, "Replaced") }),
        };
      },
    }),
  },
});
