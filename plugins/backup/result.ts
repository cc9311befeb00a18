/** What a backup answers, for programs and for people. */
import type { ClientTool, Result } from "../../core/plugin.ts";
import type { Manifest } from "../repository/manifest.ts";
import type { Places } from "./places.ts";
import type { Compression } from "./compression.ts";
import type { CountedTable } from "../repository/counts.ts";
import type { Inventory } from "../repository/inventory.ts";
import type { Made } from "./making.ts";
import type { BackupOptions } from "./options.ts";
import type { PrunedAfter } from "./prune_after.ts";
import type { Resolved } from "./selection.ts";
import { sizeText } from "../repository/size.ts";

/** The answer of a backup that was made. */
export function resultOf({ manifest, locations }: Made, pruned: PrunedAfter): Result {
  const { files, format, compression, tables, kind } = manifest;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const rows = tables.every((table) => table.rows !== null)
    ? tables.reduce((sum, table) => sum + (table.rows ?? 0), 0)
    : undefined;
  const facts = [
    `${kind}, ${format}, ${compressionText(compression)}`,
    ...manifest.encryption === null ? [] : ["encrypted"],
    sizeText(size),
    ...kind === "schema" ? [] : [
      counted(tables.length, "table"),
      ...rows === undefined ? [] : [counted(rows, "row")],
    ],
    `${(manifest.duration_ms / 1000).toFixed(1)} s`,
  ];
  return {
    data: { skipped: false, manifest, locations, pruned: pruned.removed },
    text: `${manifest.id}: ${facts.join(", ")}\n${
      locations.map((location) => `  in ${location}`).join("\n")
    }`,
  };
}

/** The answer of a backup that was not made, since somebody else had the database. */
export function skippedResult(reason: string): Result {
  return { data: { skipped: true, reason }, text: "No backup was made", changed: false };
}

/** What `--dry-run` answers. */
export function planText(
  { options, places, inventory, selection, tables, tool, compression }: {
    readonly options: BackupOptions;
    readonly places: Places;
    readonly inventory: Inventory;
    readonly selection: Resolved;
    readonly tables: readonly CountedTable[];
    readonly tool: ClientTool;
    readonly compression: Compression;
  },
): Result {
  const { source } = inventory;
  const locations = [places.directory?.store.title, places.bucket?.store.title]
    .filter((title) => title !== undefined);
  const lines = [
    `Would back up ${source.database} (${
      sizeText(source.size)
    }, PostgreSQL ${source.server_version}) ` +
    `as ${options.kind}, ${options.format}, ${compressionText(compression)}`,
    ...locations.map((location) => `  to ${location}`),
    `  by ${tool.path} ${tool.version}`,
    ...options.sections === "schema"
      ? []
      : [`  with the rows of ${counted(tables.length, "table")}`],
    ...selection.resolved_tables.map((table) => `  table ${table}`),
    ...selection.resolved_exclude.map((table) => `  without table ${table}`),
    ...selection.resolved_exclude_rows.map((table) => `  without the rows of ${table}`),
  ];
  return {
    data: {
      database: source.database,
      kind: options.kind,
      format: options.format,
      compression,
      client: tool,
      locations,
      selection: {
        resolved_tables: selection.resolved_tables,
        resolved_exclude: selection.resolved_exclude,
        resolved_exclude_rows: selection.resolved_exclude_rows,
      },
      tables: tables.map(({ schema, name, kind, size }) => ({ schema, name, kind, size })),
    },
    text: lines.join("\n"),
  };
}

function compressionText({ method, level }: Manifest["compression"]): string {
  return method === "none" ? "not compressed" : level === null ? method : `${method}:${level}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
