/** `backup show`: what is known of one backup. */
import type { Context, Result } from "../../core/plugin.ts";
import type { Backup } from "../repository/catalogue.ts";
import { type Copies, type Wanted, withBackup } from "../repository/find.ts";
import { troubleOf } from "../repository/listed.ts";
import type { Manifest } from "../repository/manifest.ts";
import { sizeText } from "../repository/size.ts";
import { ageText, timeText } from "../repository/times.ts";
import { counted, printable, table } from "./lines.ts";

/** How many tables are shown to people. */
const TABLES = 20;

/**
 * Shows a backup.
 *
 * @returns that a copy of it is broken or damaged as problems
 * @throws OperationError when it cannot be found, or its manifest cannot be read
 */
export async function show(context: Context, wanted: Wanted): Promise<Result> {
  return await withBackup(context, wanted, (copies) => Promise.resolve(resultOf(copies, context)));
}

function resultOf(found: Copies, context: Context): Result {
  const [{ backup }] = found;
  const copies = found.map((copy) => copy.backup);
  const problems = copies.flatMap((copy) => {
    const trouble = troubleOf(copy);
    return [
      ...(trouble === null ? [] : [`Backup "${copy.id}" in ${copy.title} ${trouble}`]),
      ...copy.unreadable.map((reason) => `${reason} (in ${copy.title})`),
    ];
  });
  return {
    data: {
      id: backup.id,
      manifest: backup.manifest,
      bytes: backup.bytes,
      copies: copies.map((copy) => ({
        where: copy.place,
        title: copy.title,
        whole: copy.broken === null,
        trouble: troubleOf(copy),
        verified: copy.verified.level,
        verified_at: copy.verified.at,
        verifications: copy.verified.results,
      })),
    },
    text: textOf(backup, { copies, now: context.now() }),
    ...(problems.length === 0 ? {} : { problems }),
  };
}

function textOf(
  { id, manifest, bytes, time }: Backup,
  { copies, now }: { copies: readonly Backup[]; now: number },
): string {
  const facts = [
    ["database", databaseText(manifest)],
    [
      "snapshot",
      `${timeText(time)} UTC (${ageText(now - time)} ago), in ` +
      `${(manifest.duration_ms / 1000).toFixed(1)} s on ${manifest.host}`,
    ],
    ["kind", kindText(manifest)],
    ["format", contentsText(manifest)],
    ["size", `${sizeText(bytes)} in ${counted(manifest.files.length, "file")}`],
    ...copies.map((copy) => [copy.place, `${copy.title}: ${stateText(copy)}`]),
    ["globals", manifest.globals],
    ["roles", manifest.roles.join(", ")],
    ["extensions", manifest.extensions.map(({ name, version }) => `${name} ${version}`).join(", ")],
    ["timescaledb", timescaleText(manifest)],
    ["migrations", migrationsText(manifest)],
    [
      "made by",
      `${manifest.client.program} ${manifest.client.version}, ` +
      `${manifest.tool.name} ${manifest.tool.version}`,
    ],
    ["note", manifest.note],
    ...manifest.warnings.map((warning) => ["warning", warning]),
  ].filter((fact): fact is [string, string] => fact[1] !== null && fact[1] !== "");
  return [
    id,
    "",
    ...facts.map(([label, value]) => `  ${`${label}:`.padEnd(13)}${printable(value)}`),
    "",
    ...tablesText(manifest),
    "Restored by hand with:",
    ...manifest.restore_by_hand.map((line) => `  ${printable(line)}`),
  ].join("\n");
}

function databaseText({ source }: Manifest): string {
  const { database, server_version, encoding, size, in_recovery } = source;
  return `${database} (PostgreSQL ${server_version}${in_recovery ? ", a standby" : ""}, ` +
    `${encoding}, ${sizeText(size)} on the server)`;
}

function kindText({ kind, selection: { tables, exclude } }: Manifest): string {
  return [
    kind,
    ...(tables.length === 0 ? [] : [`only ${tables.join(", ")}`]),
    ...(exclude.length === 0 ? [] : [`without ${exclude.join(", ")}`]),
  ].join(", ");
}

function contentsText({ format, compression: { method, level }, encryption }: Manifest): string {
  const compressed = method === "none"
    ? "not compressed"
    : `${method}${level === null ? "" : ` ${level}`}`;
  return [
    format,
    compressed,
    ...(encryption === null
      ? []
      : [`encrypted (${encryption.method}) for ${encryption.recipients.join(" and ")}`]),
  ].join(", ");
}

function stateText(backup: Backup): string {
  const trouble = troubleOf(backup);
  if (trouble !== null) return trouble;
  const { level, at } = backup.verified;
  if (level === null) return "whole, not verified";
  return `whole, verified (${level})${at === null ? "" : ` ${timeText(Date.parse(at))} UTC`}`;
}

function timescaleText({ timescaledb }: Manifest): string {
  if (timescaledb === null) return "";
  const { version, hypertables, continuous_aggregates, jobs } = timescaledb;
  const chunks = hypertables.reduce((sum, each) => sum + each.chunks, 0);
  return `${version}, ${counted(hypertables.length, "hypertable")} with ` +
    `${counted(chunks, "chunk")}, ${
      counted(continuous_aggregates.length, "continuous aggregate")
    }, ` +
    counted(jobs.length, "job");
}

function migrationsText({ migrations }: Manifest): string {
  if (migrations === null) return "";
  const { applied, last } = migrations;
  return last === null
    ? `${applied} applied`
    : `${applied} applied, the last is ${last.version} ${last.description}`;
}

function tablesText({ tables }: Manifest): string[] {
  if (tables.length === 0) return [];
  const largest = [...tables].sort((a, b) => b.size - a.size);
  const rows = largest.slice(0, TABLES).map(({ schema, name, kind, rows, size }) => [
    `${schema}.${name}`,
    rows === null ? "-" : String(rows),
    sizeText(size),
    kind,
  ]);
  const more = tables.length - rows.length;
  return [
    ...table(["TABLE", "ROWS", "SIZE", "KIND"], rows),
    ...(more === 0 ? [] : [`and ${counted(more, "smaller one")}`]),
    "",
  ];
}
