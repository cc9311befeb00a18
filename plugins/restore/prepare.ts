/** What a restore would meet, looked at before anything is touched; nothing here changes anything. */
import { type ClientTool, type Context, OperationError } from "../../core/plugin.ts";
import { readSource, type SourceFacts } from "./facts.ts";
import { chooseTables } from "./entries.ts";
import type { Parts, RestoreOptions } from "./options.ts";
import { besideOwnState } from "./own_state.ts";
import { createRefusal, type Refusal } from "./refusal.ts";
import { goesByScript, restoreTool } from "./run_archive.ts";
import type { Source } from "./source.ts";
import type { Entry } from "./table_of_contents.ts";
import { inspectTarget, type Target } from "./target.ts";
import { refuseHypertables } from "./timescale_tables.ts";
import type { TimescaleUse } from "./timescale.ts";
import { findTimescale } from "./timescale_unknown.ts";
import { checkData, type DataPlan } from "./check_data.ts";
import { checkExtensions, checkRoles, checkTablespaces } from "./check_server.ts";
import { checkCollisions, checkRoom, checkSwap } from "./check_target.ts";
import { checkTimescale } from "./check_timescale.ts";

/**
 * Where the backup goes: into the database as it is; into a new one that takes its name at the end,
 * where there was none; or into a new one that then changes places with the old one.
 */
export type Mode = "in place" | "new" | "swap";

/** A restore that nothing stands against. */
export interface Prepared {
  readonly source: Source;
  readonly facts: SourceFacts;
  readonly options: RestoreOptions;
  readonly target: Target;
  readonly mode: Mode;
  /** What of the backup is restored, after what it holds and what was asked for. */
  readonly parts: Parts;
  /** What of an archive is restored; undefined for everything. */
  readonly entries: readonly Entry[] | undefined;
  readonly jobs: number;
  /** Whether it is one transaction. */
  readonly transaction: boolean;
  readonly disableTriggers: boolean;
  /** What is there already, and is dropped before it is made again. */
  readonly replaced: readonly Entry[];
  readonly timescale: TimescaleUse | undefined;
  /** The pg_restore that is used; undefined for a plain dump. */
  readonly tool: ClientTool | undefined;
  /** Bytes that the database will need, guessed; null where nothing tells. */
  readonly room: number | null;
  readonly warnings: readonly string[];
}

/**
 * Looks at everything.
 *
 * @throws OperationError of kind `refused` with all that stands against the restore, and what to do;
 *   `usage` for what the backup cannot give
 */
export async function prepare(
  ctx: Context,
  { source, options }: { readonly source: Source; readonly options: RestoreOptions },
): Promise<Prepared> {
  const database = options.into ?? ctx.db.target.database;
  const target = await inspectTarget(ctx, database);
  const refusal = createRefusal(`Cannot restore into "${database}"`);
  const facts = readSource(source);
  const parts = partsOf(facts, options);
  const mode: Mode = target.facts === undefined ? "new" : options.swap ? "swap" : "in place";
  requirePossible({ source, facts, options, parts });
  checkServer({ target, facts, options, mode }, refusal);
  const chosen = options.tables.length === 0 || source.archive === null
    ? undefined
    : chooseTables(source.archive, {
      patterns: options.tables,
      contents: mode === "in place" ? target.contents : undefined,
    });
  const all = source.archive?.entries;
  const own = all !== undefined && chosen === undefined && mode === "in place" && parts !== "data"
    ? besideOwnState(all, target.contents)
    : all;
  const brought = chosen?.entries ?? own ?? [];
  const tool = source.contents.format === "plain" ? undefined : await restoreTool(ctx, source);
  // What is chosen has no hypertables.
  const timescale = chosen === undefined ? await findTimescale(ctx, { source, tool }) : undefined;
  if (chosen !== undefined && source.archive !== null) {
    const { archive, manifest } = source;
    refusal.attempt(() => refuseHypertables(archive, { manifest, chosen: chosen.entries }));
  }
  const jobs = options.jobs ?? 1;
  const transaction = mode === "in place" && jobs === 1;
  const warnings = [...source.warnings, ...chosen?.warnings ?? []];
  if (tool !== undefined && goesByScript(tool, target.rights.serverVersion) && jobs > 1) {
    refusal.add("a pg_restore newer than the server restores by one process", "Leave --jobs out");
  }
  if (parts !== "data") {
    checkRoles({ source, target, options, entries: chosen?.entries }, refusal);
    checkExtensions({ facts, target, mode, entries: brought }, refusal);
    checkTablespaces({ target, options, entries: brought }, refusal);
  }
  if (timescale !== undefined) {
    const asked = { source, target, mode, parts, timescale };
    warnings.push(...await checkTimescale(ctx, asked, refusal));
  }
  let data: DataPlan = {
    entries: chosen?.entries ?? (own === all ? undefined : own),
    disableTriggers: false,
  };
  let replaced: readonly Entry[] = [];
  if (mode === "in place") {
    if (parts === "data") {
      data = await checkData(ctx, { source, facts, target, entries: chosen?.entries }, refusal);
    } else {
      replaced = await checkCollisions(ctx, { source, facts, target, options, brought }, refusal);
      checkRoomForLocks({ target, brought, transaction, replaced }, refusal);
    }
  } else if (parts === "data") {
    refusal.add(
      "rows alone need the tables that they go into, and a new database has none",
      "Restore the whole of a full backup, or migrate the database first",
    );
  }
  if (mode === "swap") await checkSwap(ctx, database, refusal);
  const room = await checkRoom(ctx, { target, facts, mode, parts }, refusal);
  refusal.settle();
  return {
    source,
    facts,
    options,
    target,
    mode,
    parts,
    entries: withoutForeignComments(data.entries, { source, target, parts }),
    jobs,
    transaction,
    disableTriggers: data.disableTriggers,
    replaced,
    timescale,
    tool,
    room,
    warnings,
  };
}

/** Rows alone stay rows alone, whatever is asked for. */
function partsOf({ holds }: SourceFacts, { parts }: RestoreOptions): Parts {
  return parts === "all" && holds !== "all" ? holds : parts;
}

/**
 * What this backup cannot give, whatever the server is like.
 *
 * @throws OperationError of kind `usage`
 */
function requirePossible(
  { source, facts, options, parts }: {
    readonly source: Source;
    readonly facts: SourceFacts;
    readonly options: RestoreOptions;
    readonly parts: Parts;
  },
): void {
  const problems: string[] = [];
  const hints: string[] = [];
  const stands = (problem: string, hint: string) => {
    problems.push(problem);
    hints.push(hint);
  };
  if (facts.holds !== "all" && options.parts !== "all" && options.parts !== facts.holds) {
    stands(
      facts.holds === "schema" ? "it holds definitions, and no rows" : "it holds rows alone",
      "Restore another backup; `observatory backup list` shows what there is",
    );
  }
  if (source.contents.format === "plain") {
    const choosing = [
      ...(options.parts !== "all" && options.parts !== facts.holds
        ? [`--${options.parts}-only`]
        : []),
      ...(options.tables.length > 0 ? ["--tables"] : []),
      ...(options.clean ? ["--clean"] : []),
      ...((options.jobs ?? 1) > 1 ? ["--jobs"] : []),
      ...(options.owners ? [] : ["--no-owner"]),
      ...(options.privileges ? [] : ["--no-privileges"]),
      ...(options.tablespaces ? [] : ["--no-tablespaces"]),
    ];
    if (choosing.length > 0) {
      stands(
        `a plain dump is one script, which is run as it is: ${
          choosing.join(", ")
        } cannot be done with it`,
        "Restore it into a new database, by --into or --swap; backups in the custom format can do all of it",
      );
    }
  } else if (options.tables.length > 0 && parts === "schema" && source.archive === null) {
    stands("its table of contents is missing", "Restore all of it");
  }
  if ((options.jobs ?? 1) > 1 && source.contents.wrapping.includes("age")) {
    stands(
      "several jobs need a file that is not encrypted, and what is decrypted never touches the disk",
      "Leave --jobs out",
    );
  }
  if (problems.length === 0) return;
  throw new OperationError(
    `Cannot restore ${source.title} so: ${problems.join("; ")}`,
    { kind: "usage", code: "not_possible", hint: hints.join("\n      ") },
  );
}

function checkServer(
  { target, facts, options, mode }: {
    readonly target: Target;
    readonly facts: SourceFacts;
    readonly options: RestoreOptions;
    readonly mode: Mode;
  },
  refusal: Refusal,
): void {
  const { rights, database } = target;
  if (rights.standby) {
    refusal.add("the server is a standby, which takes no changes", "Connect to the primary");
  }
  if (database === "template0" || database === "template1") {
    refusal.add("it is a template", "Name another database by --into or DB_NAME");
  }
  if (
    target.facts === undefined && !options.create && options.into === undefined && !options.swap
  ) {
    refusal.add("there is no such database", "Create it with --create");
  }
  if (mode !== "in place" && !rights.mayCreate) {
    refusal.add(
      `role "${rights.user}" may not create databases`,
      `ALTER ROLE "${rights.user}" CREATEDB, or create the database and restore in place`,
    );
  }
  const major = Math.floor(rights.serverVersion / 10000);
  if (facts.serverMajor !== undefined && facts.serverMajor > major) {
    refusal.add(
      `the backup is of PostgreSQL ${facts.serverVersion}, and the server is an older one (${major})`,
      `Restore it to a server of version ${facts.serverMajor} or newer`,
    );
  }
}

/** How many locks an object takes while it is made: a table has its TOAST table with an index. */
const LOCKS: Readonly<Record<string, number>> = {
  "TABLE": 3,
  "MATERIALIZED VIEW": 3,
  "VIEW": 1,
  "SEQUENCE": 1,
  "INDEX": 1,
  "CONSTRAINT": 1,
};

/** A transaction that runs out of locks fails at its end, after hours perhaps. */
function checkRoomForLocks(
  { target, brought, transaction, replaced }: {
    readonly target: Target;
    readonly brought: readonly Entry[];
    readonly transaction: boolean;
    readonly replaced: readonly Entry[];
  },
  refusal: Refusal,
): void {
  if (!transaction) return;
  const count = [...brought, ...replaced].reduce((sum, { kind }) => sum + (LOCKS[kind] ?? 0), 0);
  if (count <= target.locks) return;
  refusal.add(
    `one transaction would take about ${count} locks, and the server has room for ${target.locks}`,
    "Restore beside the old database with --swap, by several processes with --jobs 2, or raise " +
      "max_locks_per_transaction",
  );
}

/** A comment on an extension may be made by its owner alone, who is somebody else. */
function withoutForeignComments(
  entries: readonly Entry[] | undefined,
  { source, target, parts }: {
    readonly source: Source;
    readonly target: Target;
    readonly parts: Parts;
  },
): readonly Entry[] | undefined {
  if (target.rights.superuser || parts === "data") return entries;
  const all = entries ?? source.archive?.entries;
  if (all === undefined) return undefined;
  const left = all.filter(({ kind, tag }) => kind !== "COMMENT" || !tag.startsWith("EXTENSION "));
  return left.length === all.length ? entries : left;
}
