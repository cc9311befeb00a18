/** The plan of a restore, for people and for programs. */
import type { Context } from "../../core/plugin.ts";
import { timeText } from "../repository/times.ts";
import { sizeText } from "../repository/size.ts";
import { entryName, keyOfEntry } from "./entries.ts";
import type { Prepared } from "./prepare.ts";
import { listed } from "./refusal.ts";
import { goesByScript } from "./run_archive.ts";
import type { Entry } from "./table_of_contents.ts";
import { keyOf } from "./target.ts";

/** What is told of the plan by `--json`. */
export function planData(ctx: Context, prepared: Prepared): Record<string, unknown> {
  const { source, facts, target, mode, parts, options } = prepared;
  return {
    backup: source.title,
    location: source.location,
    manifest: source.manifest !== null,
    format: source.contents.format,
    bytes: source.size,
    created_at: facts.created ?? null,
    source_database: facts.database ?? null,
    source_version: facts.serverVersion ?? null,
    database: target.database,
    server: `${ctx.db.target.host}:${ctx.db.target.port}`,
    server_version_num: target.rights.serverVersion,
    mode,
    parts,
    tables: options.tables,
    exists: target.facts !== undefined,
    empty: target.contents?.isEmpty ?? true,
    existing_bytes: target.facts?.size ?? null,
    existing_objects: target.contents?.objects.size ?? 0,
    replaced: prepared.replaced.map(entryName),
    connections: target.facts?.connections.reduce((sum, { count }) => sum + count, 0) ?? 0,
    needed_bytes: prepared.room,
    jobs: prepared.jobs,
    single_transaction: prepared.transaction,
    timescaledb: prepared.timescale?.version ?? null,
    program: prepared.tool?.path ?? null,
    steps: stepsOf(prepared),
    warnings: prepared.warnings,
  };
}

/** The same for people. */
export function planText(ctx: Context, prepared: Prepared): string {
  const { source, facts, target, mode, room } = prepared;
  const { host, port } = ctx.db.target;
  const said = [
    facts.created === undefined ? undefined : `${timeText(Date.parse(facts.created))} UTC`,
    sizeText(source.size),
    facts.serverVersion === undefined ? undefined : `PostgreSQL ${facts.serverVersion}`,
    facts.database === undefined ? undefined : `of database "${facts.database}"`,
  ].filter((each) => each !== undefined);
  const found = target.facts === undefined
    ? "which does not exist"
    : target.contents?.isEmpty === true
    ? "which is empty"
    : `which holds ${target.contents?.objects.size ?? 0} objects${
      target.facts.size === undefined ? "" : `, ${sizeText(target.facts.size)}`
    }`;
  return [
    `Restore of ${source.title} (${said.join(", ")}) from ${source.location}`,
    `into database "${target.database}" on ${host}:${port} as "${target.rights.user}", ${found}:`,
    ...stepsOf(prepared).map((step, index) => `  ${index + 1}. ${step}`),
    ...(room === null || mode === "in place" && target.contents?.isEmpty === false
      ? []
      : [`It needs about ${sizeText(room)} on the server`]),
  ].join("\n");
}

/** What will be done, a sentence each. */
function stepsOf(prepared: Prepared): string[] {
  const { source, target, mode, parts, options, jobs, transaction, replaced } = prepared;
  const { database } = target;
  return [
    checkStep(prepared),
    ...(mode === "in place" ? [] : [
      mode === "swap"
        ? `Create a new database beside "${database}", with its properties`
        : `Create a new database, which is called "${database}" once it is whole`,
    ]),
    ...(prepared.timescale === undefined ? [] : [
      `Create the extension timescaledb${
        prepared.timescale.version === null ? "" : ` ${prepared.timescale.version}`
      } where it is absent, and stop its workers meanwhile`,
    ]),
    ...(replaced.length === 0
      ? []
      : [`Drop what the backup brings anew: ${listed(replaced.map(entryName))}`]),
    `Restore ${partsText(prepared)} by ${programText(prepared)}${
      transaction ? ", in one transaction" : jobs > 1 ? `, ${jobs} at once` : ""
    }`,
    ...(mode === "in place" && !transaction
      ? ["A failure then leaves a part of it in the database: it is not one transaction"]
      : []),
    ...(parts !== "schema" && options.analyze ? ["Run ANALYZE"] : []),
    ...(compares(prepared) ? ["Compare it with the manifest"] : []),
    ...(mode === "swap"
      ? [
        `End the ${
          connectionsOf(prepared)
        } to "${database}" and swap the names; the old database ` +
        "is kept until `observatory restore --finish`",
      ]
      : []),
    ...keptText(),
  ];

  function keptText(): string[] {
    if (mode !== "in place" || parts === "data" || target.contents?.isEmpty !== false) return [];
    const names = new Set(source.archive?.entries.flatMap(namesOf));
    const others = [...target.contents.objects].filter((key) => !names.has(key)).length;
    return others === 0
      ? []
      : [`${others} objects that are there and not in the backup stay as they are`];
  }

  function checkStep({ source }: Prepared): string {
    if (source.manifest === null) return "Read it to its end first: it has no manifest";
    return source.kind === "local"
      ? "Compare its bytes with its manifest, before anything is touched"
      : "Compare its bytes with its manifest while they stream";
  }

  function programText({ tool, target: { rights } }: Prepared): string {
    if (tool === undefined) return "psql";
    const filtered = goesByScript(tool, rights.serverVersion) ? " and psql" : "";
    return `pg_restore ${tool.version}${filtered} from ${source.location}`;
  }
}

/** What an entry takes the names of; a key has an index of its own name. */
function namesOf(entry: Entry): string[] {
  const { kind, schema, tag } = entry;
  if (kind === "CONSTRAINT") {
    return [keyOf("relation", schema, tag.slice(tag.lastIndexOf(" ") + 1))];
  }
  const key = keyOfEntry(entry);
  return key === undefined ? [] : [key];
}

function partsText({ parts, entries, options, source }: Prepared): string {
  const count = entries?.length ?? source.archive?.entries.length;
  const what = options.tables.length > 0
    ? `${options.tables.join(", ")} with all that belongs to them`
    : parts === "schema"
    ? "the definitions"
    : parts === "data"
    ? "the rows"
    : "all of it";
  return count === undefined || parts !== "all" ? what : `${what} (${count} entries)`;
}

function connectionsOf({ target }: Prepared): string {
  const count = target.facts?.connections.reduce((sum, each) => sum + each.count, 0) ?? 0;
  return count === 1 ? "1 connection" : `${count} connections`;
}

/** Whether the restored database can be held against the manifest: all of it came from there. */
export function compares({ source, options, target, mode, parts }: Prepared): boolean {
  return source.manifest !== null && options.compare && options.tables.length === 0 &&
    parts !== "schema" && (mode !== "in place" || target.contents?.isEmpty === true);
}
