/** `seed`: loads the files that are new or have changed. */
import type { Context, Result } from "../../core/plugin.ts";
import type { Environment, SeedFile } from "./files.ts";
import { type Ledger, readLedger } from "./ledger.ts";
import type { Loaded } from "./load.ts";
import type { RowCounts } from "./merge.ts";
import { asLines, asObjects } from "./shown_rows.ts";
import { type Reason, reasonFor, type Wanted, wantedFiles, withAdvice } from "./wanted.ts";

/** What is asked for. */
export interface SeedOptions {
  readonly directory: string | undefined;
  readonly environment: string | undefined;
  readonly only: readonly string[];
  /** Whether files are loaded that have not changed. */
  readonly rerun: boolean;
  /** Seconds to wait while another run seeds. */
  readonly wait: number;
}

/**
 * Loads what is new or has changed, file by file in the order of the names.
 *
 * @throws OperationError of the first file that fails, with the place in it; those before it stay
 */
export async function seed(context: Context, options: SeedOptions): Promise<Result> {
  const wanted = await wantedFiles(context, options);
  if (context.dryRun) {
    const { preview } = await import("./preview.ts");
    return await withAdvice(() => preview(context, wanted, options));
  }
  const { name } = wanted.environment;
  return await withAdvice(() =>
    context.db.withLock(
      { key: "seed", purpose: "seeds", wait: options.wait },
      async (signal) => {
        context.log.info(`Seeding database for environment "${name}"...`);
        warnOfProduction(context, wanted.environment);
        const ledger = await readLedger(context);
        const done = await loadAll(context, wanted, { ledger, rerun: options.rerun, signal });
        context.log.success("Seeding completed successfully");
        return resultOf(context, wanted, done);
      },
    )
  );
}

function warnOfProduction({ config, log }: Context, { name, asked }: Environment): void {
  if (!asked || name === "production" || config.get("ENVIRONMENT") !== "production") return;
  log.warn(`ENVIRONMENT is production, but the seeds of "${name}" are loaded, as --env says`);
}

/** What was done with one file. */
interface Done {
  readonly file: SeedFile;
  readonly reason: Reason;
  readonly loaded: Loaded | undefined;
}

async function loadAll(
  context: Context,
  { files, environment }: Wanted,
  { ledger, rerun, signal }: {
    readonly ledger: Ledger;
    readonly rerun: boolean;
    readonly signal: AbortSignal;
  },
): Promise<Done[]> {
  const done: Done[] = [];
  let loaded = 0;
  try {
    for (const file of files) {
      signal.throwIfAborted();
      const reason = await reasonFor(context, file, { ledger, rerun });
      if (reason === "unchanged") {
        done.push({ file, reason, loaded: undefined });
        continue;
      }
      // What loads is itself loaded when there is something to load.
      const { loadFile } = await import("./load.ts");
      const options = { ledger, environment: environment.name, loadedBefore: loaded };
      done.push({ file, reason, loaded: await loadFile(context, file, options) });
      loaded++;
    }
    return done;
  } catch (error) {
    showBeforeEnd(context, done);
    throw error;
  }
}

/** What files gave is not given again, so a run that fails after them still has to tell it. */
function showBeforeEnd({ log }: Context, done: readonly Done[]): void {
  for (const { file, loaded } of done) {
    if (loaded?.shown === undefined) continue;
    log.warn(
      [`${file.path} is loaded and gave this, which is not shown again:`, ...asLines(loaded.shown)]
        .join("\n"),
    );
  }
}

function resultOf({ db }: Context, wanted: Wanted, done: readonly Done[]): Result {
  const lines = done.flatMap(linesOf);
  return {
    data: {
      database: db.target.database,
      environment: wanted.environment.name,
      directory: wanted.directory,
      files: done.map(toldOf),
    },
    text: (lines.length === 0 ? ["Nothing to load: there are no seed files"] : lines).join("\n"),
    changed: done.some(({ loaded }) => loaded !== undefined),
  };
}

function toldOf({ file, reason, loaded }: Done): Record<string, unknown> {
  return {
    file: file.name,
    reason,
    loaded: loaded !== undefined,
    ...(loaded === undefined ? {} : { duration_ms: Math.round(loaded.duration) }),
    ...loaded?.counts,
    ...(loaded?.shown === undefined ? {} : {
      rows: asObjects(loaded.shown),
      ...(loaded.shown.more === 0 ? {} : { more_rows: loaded.shown.more }),
    }),
  };
}

function linesOf({ file, loaded }: Done): string[] {
  if (loaded === undefined) return [`Unchanged ${file.name}`];
  const time = `${Math.round(loaded.duration)} ms`;
  const { counts, shown } = loaded;
  if (counts === undefined) {
    return [
      `Ran ${file.name} (${time})`,
      ...(shown === undefined ? [] : asLines(shown)).map(indented),
    ];
  }
  return [`Loaded ${file.name}: ${countsText(counts)} (${time})`];
}

function countsText({ inserted, updated, untouched }: RowCounts): string {
  const parts = [[inserted, "inserted"], [updated, "updated"], [untouched, "left alone"]] as const;
  const [first, ...others] = parts.filter(([count]) => count > 0);
  if (first === undefined) return "no rows";
  const [count, done] = first;
  return [
    `${count} ${count === 1 ? "row" : "rows"} ${done}`,
    ...others.map(([count, done]) => `${count} ${done}`),
  ].join(", ");
}

function indented(line: string): string {
  return `  ${line}`.trimEnd();
}
