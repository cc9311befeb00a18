/** `reset`: the five steps, and what is left when one of them fails. */
import { type Context, OperationError, type Result, type Session } from "../../core/plugin.ts";
import { withServerLock } from "../database/changes.ts";
import { refuseBusy } from "../database/refusals.ts";
import { inspect, type ResetOptions } from "./plan.ts";
import { recreate, type Recreation, takeUp, temporaryName } from "./recreate.ts";

/** How far a reset is; what has been done before is done. */
type Step = "begin" | "recreate" | "migrate" | "seed";

/**
 * Resets the target database.
 *
 * @throws OperationError of the step that failed, with the state that it left and the command that
 *   continues
 */
export async function reset(context: Context, options: ResetOptions): Promise<Result> {
  const { db, dryRun } = context;
  const { database } = db.target;
  const session = await db.maintenance({ notices: "drop" });
  if (dryRun) return await wouldBe(session, database);
  const state: Recreation = { terminated: 0, dropped: false };
  const at: { step: Step } = { step: "begin" };
  const lock = {
    key: `reset:${database}`,
    purpose: `reset of "${database}"`,
    wait: options.wait,
  };
  try {
    return await withServerLock(context, lock, async (signal) => {
      // Looked at anew: the confirmation may have taken its time.
      const { facts, rights: { serverVersion } } = await inspect(session, database);
      refuseBusy(database, { facts, verb: "reset" });
      signal.throwIfAborted();
      const backedUp = options.backupFirst && facts !== undefined
        ? await context.run("backup")
        : undefined;
      signal.throwIfAborted();
      at.step = "recreate";
      if (facts === undefined) await takeUp(context, session, database);
      else await recreate(context, session, { facts, serverVersion, state });
      signal.throwIfAborted();
      at.step = "migrate";
      const migrated = await context.run("migrate");
      signal.throwIfAborted();
      at.step = "seed";
      const seeded = options.seed ? await context.run("seed", seedCall(options)) : undefined;
      context.log.success("Database reset completed successfully");
      return {
        data: {
          database,
          reset: true,
          existed: facts !== undefined,
          lost_bytes: facts?.size ?? null,
          terminated_connections: state.terminated,
          backup: backedUp?.data ?? null,
          migrate: migrated.data,
          seed: seeded?.data ?? null,
        },
        text: [backedUp?.text, migrated.text, seeded?.text].filter((text) => text !== undefined)
          .join("\n"),
        problems: [...migrated.problems ?? [], ...seeded?.problems ?? []],
      };
    });
  } catch (error) {
    throw brokenOff(error, { context, database, state, step: at.step, options });
  } finally {
    await session.close();
  }
}

/** What `--dry-run` gives to programs; for people the plan has been shown. */
async function wouldBe(session: Session, database: string): Promise<Result> {
  const { facts } = await inspect(session, database);
  return {
    data: {
      database,
      reset: false,
      existed: facts !== undefined,
      bytes: facts?.size ?? null,
      connections: facts?.connections ?? [],
      owner: facts?.owner ?? null,
    },
  };
}

function seedCall({ env }: ResetOptions): { flags: Record<string, string> } {
  return { flags: env === undefined ? {} : { env } };
}

function brokenOff(
  error: unknown,
  { context, database, state, step, options }: {
    context: Context;
    database: string;
    state: Recreation;
    step: Step;
    options: ResetOptions;
  },
): unknown {
  const untouched = step === "begin" || step === "recreate" && !state.dropped;
  if (untouched) return error;
  const seed = options.seed
    ? ` && observatory seed${options.env === undefined ? "" : ` --env ${options.env}`}`
    : "";
  const [left, next] = step === "recreate"
    ? [
      `"${database}" is dropped, and its empty successor stands ready as "${
        temporaryName(database)
      }"`,
      "observatory reset",
    ]
    : step === "migrate"
    ? [
      `"${database}" is dropped and created anew; \`observatory migrate status\` tells which migrations are applied`,
      `observatory migrate${seed}`,
    ]
    : [
      `"${database}" is dropped, created anew and migrated; not all of its seeds are loaded`,
      `observatory seed${options.env === undefined ? "" : ` --env ${options.env}`}`,
    ];
  if (!(error instanceof OperationError)) {
    // A signal, or a bug: told as it is, after what is known of the database.
    context.log.warn(`The reset was broken off: ${left}; to go on: ${next}`);
    return error;
  }
  return new OperationError(error.message, {
    // The codes of these say that nothing was done.
    kind: error.kind === "refused" || error.kind === "usage" ? "failed" : error.kind,
    code: error.code,
    excerpt: [error.excerpt, `The reset was broken off: ${left}`].filter((text) => text).join("\n"),
    hint: [error.hint, `To go on: ${next}`].filter((text) => text).join("\n      "),
    details: { ...error.details, reset_step: step, continue_with: next },
    cause: error,
  });
}
