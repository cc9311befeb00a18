/** A backup is made: snapshot, dump, counts, files, and the manifest at the end. */
import { hostname } from "node:os";
import { type Context, OperationError, type Session } from "../../core/plugin.ts";
import { type Manifest, MANIFEST_SCHEMA, MANIFEST_SUFFIX } from "../repository/manifest.ts";
import { sealed } from "../repository/read_manifest.ts";
import { restoreByHand } from "./by_hand.ts";
import { defaultCompression, requireCompression } from "./compression.ts";
import { countRows, listTables } from "../repository/counts.ts";
import { type Inventory, readInventory, readMigrations } from "../repository/inventory.ts";
import type { Made, Making, Prepared } from "./making.ts";
import type { Places } from "./places.ts";
import { worthTelling } from "../repository/client_messages.ts";
import { createDumpProgress } from "./progress.ts";
import { reserve } from "./reservation.ts";
import { resolveSelection } from "./selection.ts";
import { sessionName } from "./sessions.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { manifestText, requireStored } from "./stored.ts";
import { foreseenWarnings } from "./warnings.ts";
import { watchLocks } from "./watch.ts";
import { createWorkspace } from "./workspace.ts";
import { writeDump, type Written } from "./write.ts";

/** Makes a backup; see `backup`. */
export async function makeBackup(ctx: Context, making: Making): Promise<Made> {
  const { options, places } = making;
  const name = sessionName();
  const created = ctx.now();
  const snapshot = await takeSnapshot(ctx, { name, patience: options.stallTimeout });
  // Without the lock nothing is to be waited for any more, neither a table's own lock.
  const lost = () => void cancel(ctx, snapshot).finally(snapshot.close);
  making.signal.addEventListener("abort", lost, { once: true });
  // It may have been lost while the snapshot was taken: what waits for a table would wait for ever.
  if (making.signal.aborted) lost();
  const ended = Promise.withResolvers<void>();
  const watching = watch(ctx, { name, over: ended.promise });
  try {
    const { session } = snapshot;
    const inventory = await readInventory(session);
    const selection = await resolveSelection(session, options);
    const tables = options.sections === "schema" ? [] : await listTables(session, {
      counted: selection,
      timescale: inventory.timescaledb !== null,
      views: options.sections !== "data",
    });
    const major = Math.floor(inventory.source.server_version_num / 10_000);
    const tool = await ctx.clientTool("pg_dump", { major });
    const compression = options.compression ?? await defaultCompression(ctx, tool);
    await requireCompression(ctx, { tool, compression });
    const warnings = await foreseenWarnings(session, { options, selection, inventory });
    await makeDirectory(ctx, places);
    const { directory, bucket } = places;
    const reserved = await reserve(ctx, {
      kind: options.kind,
      database: inventory.source.database,
      directory,
      bucket,
    });
    const prepared: Prepared = {
      ...making,
      id: reserved.id,
      name,
      snapshot,
      inventory,
      selection,
      warnings,
      tables,
      tool,
      compression,
      created,
      workspace: createWorkspace(ctx, { places, id: reserved.id }),
    };
    try {
      return await writeAll(ctx, prepared);
    } finally {
      await reserved.release();
    }
  } catch (error) {
    throw snapshot.explained(error);
  } finally {
    making.signal.removeEventListener("abort", lost);
    await snapshot.close();
    ended.resolve();
    await watching;
  }
}

async function makeDirectory(ctx: Context, { directory }: Places): Promise<void> {
  if (directory === undefined || await ctx.files.inspect(directory.path) !== undefined) return;
  try {
    await ctx.files.makeDirectory(directory.path, { private: true });
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "already_exists") throw error;
  }
}

async function writeAll(ctx: Context, prepared: Prepared): Promise<Made> {
  const { workspace, signal } = prepared;
  let published: string[] = [];
  try {
    const manifest = await writeFiles(ctx, prepared);
    signal.throwIfAborted();
    // From here on there is a backup on this machine, whatever becomes of the upload.
    published = await publishLocally(prepared, manifest);
    return await publishInBucket(ctx, { prepared, manifest, published });
  } catch (error) {
    if (published.length === 0) await workspace.discard();
    else await workspace.withdraw();
    throw error;
  } finally {
    ctx.progress(null);
  }
}

/** Writes all files of a backup; their manifest is yet to be written. */
async function writeFiles(ctx: Context, prepared: Prepared): Promise<Manifest> {
  const { options, snapshot, tables, inventory, warnings } = prepared;
  const writing = await writeDump(ctx, prepared, createDumpProgress(ctx, tables));
  // Counted while pg_dump reads the same snapshot.
  const counting = countRows(ctx, {
    session: snapshot.session,
    tables,
    fingerprint: options.fingerprint,
  });
  let counted = false;
  counting.then(() => counted = true, (error) => writing.stop(error));
  writing.stored.catch(async () => {
    if (!counted) await cancel(ctx, snapshot);
  });
  // Without the lock a migration may have begun, and the dump be in its way.
  const lost = () => void writing.stop(prepared.signal.reason);
  prepared.signal.addEventListener("abort", lost, { once: true });
  if (prepared.signal.aborted) lost();
  let facts: Manifest["tables"];
  let stored: Written;
  try {
    [facts, stored] = await settled(counting, writing.stored);
  } finally {
    prepared.signal.removeEventListener("abort", lost);
  }
  const globals = options.globals
    ? await (await import("./globals.ts")).writeGlobals(ctx, prepared)
    : undefined;
  return manifestOf(prepared, ctx.tool, {
    files: [...stored.files, ...globals === undefined ? [] : [globals]],
    plaintext: stored.plaintext,
    args: writing.args,
    globals: globals?.name ?? null,
    tables: facts,
    warnings: [
      ...warnings,
      ...worthTelling(writing.messages.warnings, {
        whole: options.tables.length === 0,
        timescale: inventory.timescaledb !== null,
      }),
      ...await changedMeanwhile(ctx, inventory),
    ],
    finished: ctx.now(),
  });
}

/** Ends the count of rows, or what comes before it: the server would go on, and nobody wants it any more. */
async function cancel(ctx: Context, { session }: Snapshot): Promise<void> {
  try {
    await ctx.db.query("SELECT pg_catalog.pg_cancel_backend($1)", [session.pid]);
  } catch (error) {
    ctx.log.debug(`Cannot cancel the snapshot's statement: ${error}`);
  }
}

/** Both results, or the first failure once both have ended. */
async function settled<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const failures: unknown[] = [];
  const note = (error: unknown) => void failures.push(error);
  first.catch(note);
  second.catch(note);
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === "fulfilled" && b.status === "fulfilled") return [a.value, b.value];
  throw failures[0];
}

async function watch(
  ctx: Context,
  { name, over }: { readonly name: string; readonly over: Promise<unknown> },
): Promise<void> {
  let session: Session | undefined;
  try {
    session = await ctx.db.session({ notices: "drop" });
    await watchLocks(ctx, { session, name, over });
  } catch (error) {
    // It only tells; what is wrong with the server ends the dump by itself.
    ctx.log.debug(`Cannot watch who waits for the dump: ${error}`);
  } finally {
    await session?.close();
  }
}

async function changedMeanwhile(ctx: Context, { migrations }: Inventory): Promise<string[]> {
  let session: Session | undefined;
  try {
    session = await ctx.db.session({ notices: "drop" });
    const now = await readMigrations(session);
    if (JSON.stringify(now) === JSON.stringify(migrations)) return [];
    return ["Migrations were applied while the dump ran: the backup holds the state before them"];
  } catch (error) {
    // The dump is whole: that a server takes no more sessions just now is no reason to lose it.
    if (!(error instanceof OperationError)) throw error;
    return [`Whether migrations were applied while the dump ran is not known: ${error.message}`];
  } finally {
    await session?.close();
  }
}

interface WrittenFacts extends Written {
  readonly args: readonly string[];
  readonly globals: string | null;
  readonly tables: Manifest["tables"];
  readonly warnings: readonly string[];
  readonly finished: number;
}

function manifestOf(
  { id, options, inventory, selection, tool, compression, snapshot, created }: Prepared,
  program: Context["tool"],
  { files, plaintext, args, globals, tables, warnings, finished }: WrittenFacts,
): Manifest {
  const whole = options.kind === "full" || options.kind === "data";
  const parts = {
    kind: options.kind,
    source: { ...inventory.source, snapshot: snapshot.id },
    client: { program: "pg_dump", version: tool.version, path: tool.path },
    format: options.format,
    compression,
    files,
    encryption: options.recipients.length === 0
      ? null
      : { method: "age" as const, recipients: options.recipients },
    globals,
    roles: inventory.roles,
    timescaledb: inventory.timescaledb,
  };
  return sealed({
    schema: MANIFEST_SCHEMA,
    id,
    ...parts,
    created_at: new Date(created).toISOString(),
    finished_at: new Date(finished).toISOString(),
    tool: program,
    host: hostname(),
    arguments: args,
    selection: {
      tables: selection.tables,
      exclude: selection.exclude,
      resolved_tables: selection.resolved_tables,
      resolved_exclude: selection.resolved_exclude,
      resolved_exclude_rows: selection.resolved_exclude_rows,
    },
    plaintext,
    extensions: inventory.extensions,
    tables,
    sequences: whole ? inventory.sequences : [],
    large_objects: whole ? inventory.largeObjects : 0,
    migrations: inventory.migrations,
    note: options.note ?? null,
    warnings,
    // The clock may have been set back meanwhile.
    duration_ms: Math.max(0, finished - created),
    restore_by_hand: restoreByHand(parts),
  });
}

async function publishLocally(
  { places: { directory }, id }: Prepared,
  manifest: Manifest,
): Promise<string[]> {
  if (directory === undefined) return [];
  await requireStored(directory.store, manifest);
  await directory.store.create(`${id}${MANIFEST_SUFFIX}`, manifestText(manifest));
  return [directory.store.title];
}

async function publishInBucket(
  ctx: Context,
  { prepared: { places: { bucket }, id, workspace }, manifest, published }: {
    readonly prepared: Prepared;
    readonly manifest: Manifest;
    readonly published: readonly string[];
  },
): Promise<Made> {
  if (bucket === undefined) return { manifest, locations: published, uploadFailure: undefined };
  try {
    ctx.progress({ label: "Uploading the rest of the backup" });
    await workspace.complete();
    await requireStored(bucket.store, manifest);
    workspace.announce(`${id}${MANIFEST_SUFFIX}`);
    await bucket.store.create(`${id}${MANIFEST_SUFFIX}`, manifestText(manifest));
  } catch (error) {
    // What is complete on this machine stays, and is told of; a signal is told as what it is.
    if (published.length === 0 || !(error instanceof OperationError)) throw error;
    await workspace.withdraw();
    return { manifest, locations: published, uploadFailure: error };
  }
  const locations = [...published, bucket.store.title];
  return { manifest, locations, uploadFailure: undefined };
}
