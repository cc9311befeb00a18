/** The further levels of a verification: the backup is restored, compared, and asserted of. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { createScratch } from "../database/scratch.ts";
import { isAtLeast, type Level } from "../repository/levels.ts";
import type { Manifest } from "../repository/manifest.ts";
import { type Assertions, runAssertions } from "./assertions.ts";
import { compareDatabase } from "./compare.ts";
import { restoreInto } from "./into.ts";
import { type Source, type WantedSource, withSource } from "./source.ts";
import { usesTimescale } from "./timescale.ts";
import { type Place, withPlace } from "./verify_place.ts";

/** What is restored, where, and what is looked at then. */
export interface Trial {
  readonly manifest: Manifest;
  /** The copy of it that is verified. */
  readonly wanted: WantedSource;
  readonly level: Level;
  /** The connection string of a server; without one a throw-away server is started. */
  readonly on: string | undefined;
  /** How many tables and indexes at once. */
  readonly jobs: number;
  /** For the level `assert`. */
  readonly assertions: Assertions | undefined;
}

/** What a step has taken. */
export interface Step {
  readonly name: "read" | "server" | "restore" | "compare" | "assert";
  readonly duration_ms: number;
}

/** What came of a trial. */
export interface Tried {
  readonly findings: readonly string[];
  /** What was not compared, and differences that are to be expected. */
  readonly notes: readonly string[];
  readonly steps: readonly Step[];
  readonly server: { readonly title: string; readonly version: string };
}

/**
 * Restores a backup into a scratch database, and looks at it.
 *
 * @throws OperationError when it cannot be tried: that says nothing about the backup
 */
export async function tryRestore(ctx: Context, trial: Trial): Promise<Tried> {
  const { manifest, wanted, on } = trial;
  requireWhole(manifest);
  return await withSource(ctx, wanted, async (source) => {
    for (const warning of source.warnings) ctx.log.warn(warning);
    const started = ctx.now();
    return await withPlace(ctx, { manifest, on }, async (place) => {
      const server: Step = { name: "server", duration_ms: ctx.now() - started };
      return await examine(ctx, { trial, source, place, server });
    });
  });
}

function requireWhole({ id, kind }: Manifest): void {
  if (kind !== "data") return;
  throw new OperationError(
    `Cannot restore ${id} for a trial: it has rows alone, and no tables to put them in`,
    {
      kind: "usage",
      code: "rows_alone",
      hint: "--level read reads it to its end",
    },
  );
}

async function examine(
  ctx: Context,
  { trial, source, place, server }: {
    readonly trial: Trial;
    readonly source: Source;
    readonly place: Place;
    readonly server: Step;
  },
): Promise<Tried> {
  const { manifest, level, assertions } = trial;
  const { context } = place;
  const findings: string[] = [];
  const notes: string[] = [];
  const steps: Step[] = [server];
  const timed = async <T>(name: Step["name"], work: () => Promise<T>): Promise<T> => {
    const started = ctx.now();
    const done = await work();
    steps.push({ name, duration_ms: Math.max(0, ctx.now() - started) });
    return done;
  };
  const scratch = await createScratch(context, {
    purpose: "verify",
    database: manifest.source.database,
    source: manifest.source,
  });
  try {
    const database = scratch.name;
    ctx.log.info(`Restoring ${manifest.id} into "${database}" for a trial...`);
    const failure = await timed("restore", () => restoreFor({ trial, source, place, database }));
    if (failure !== undefined) findings.push(failure);
    else {
      if (isAtLeast(level, "compare")) {
        ctx.log.info("Comparing what was restored with the manifest...");
        const compared = await timed(
          "compare",
          () => compareDatabase(context, { database, manifest }),
        );
        findings.push(...compared.differences);
        notes.push(...compared.notes);
      }
      if (assertions !== undefined && isAtLeast(level, "assert")) {
        ctx.log.info(`Asserting ${assertions.path}...`);
        findings.push(
          ...await timed("assert", () => runAssertions(context, { database, assertions })),
        );
      }
    }
  } finally {
    await scratch.drop();
  }
  for (const note of notes) ctx.log.info(note);
  return { findings, notes, steps, server: { title: place.title, version: place.version } };
}

/** Restores; what is wrong with the backup is told, and all else thrown. */
async function restoreFor(
  { trial: { manifest, jobs, level }, source, place, database }: {
    readonly trial: Trial;
    readonly source: Source;
    readonly place: Place;
    readonly database: string;
  },
): Promise<string | undefined> {
  const { context, owners, serverVersion } = place;
  try {
    await restoreInto(context, {
      source,
      database,
      parts: "all",
      entries: undefined,
      jobs,
      // What fails is dropped as a whole.
      transaction: jobs === 1,
      disableTriggers: false,
      timescale: usesTimescale(source.archive, manifest),
      options: {
        clean: false,
        owners,
        privileges: owners,
        tablespaces: false,
        analyze: level === "assert",
      },
      target: { rights: { serverVersion } },
    });
    return undefined;
  } catch (error) {
    if (!isDamage(error)) throw error;
    // What a dump of single tables needs beside them is nowhere told.
    if (manifest.kind === "partial" && error.code === "restore_failed") {
      throw new OperationError(
        `Cannot restore ${manifest.id} for a trial: it holds a part, and what the part needs is not there: ${
          reasonOf(error)
        }`,
        {
          kind: "refused",
          code: "partial",
          hint: "--level read reads it to its end",
          ...(error.excerpt === undefined ? {} : { excerpt: error.excerpt }),
          cause: error,
        },
      );
    }
    if (error.excerpt !== undefined) context.log.debug(error.excerpt);
    return error.code === "backup_damaged"
      ? error.message
      : `It cannot be restored: ${reasonOf(error)}`;
  }
}

/** What the place is to blame for, in the server's words, or pg_restore's. */
const OF_THE_PLACE =
  /deadlock detected|No space left on device|could not (?:extend|write to|create) file|out of (?:shared )?memory|server closed the connection|connection to server|terminating connection|canceling statement|permission denied|must be (?:superuser|owner|member)|role ".*" does not exist|remaining connection slots/;

function isDamage(error: unknown): error is OperationError {
  if (!(error instanceof OperationError)) return false;
  if (error.code === "backup_damaged") return true;
  if (error.code !== "restore_failed" || error.kind !== "failed") return false;
  return error.details["signal"] === undefined && !OF_THE_PLACE.test(error.message);
}

function reasonOf({ message }: OperationError): string {
  return message.replace(/^Cannot restore into ".*?": /s, "");
}
