/** A restore into a new database, which takes the name of the old one when it is whole. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { createScratch } from "../database/scratch.ts";
import { swapIn } from "../database/swap.ts";
import { compareWith } from "./compare.ts";
import { compares } from "./describe.ts";
import { restoreInto } from "./into.ts";
import type { Prepared } from "./prepare.ts";
import type { Done } from "./restore.ts";

/**
 * Restores beside the old database, or where there is none. Whatever fails before the names are
 * swapped leaves the old one as it was.
 *
 * @throws OperationError `restore_differs` when what was restored is not what the manifest tells
 */
export async function restoreBeside(ctx: Context, prepared: Prepared): Promise<Done> {
  const { source, target, mode } = prepared;
  const { database, facts } = target;
  const scratch = await createScratch(ctx, {
    purpose: "restore",
    database,
    ...(facts === undefined ? {} : { like: facts }),
    ...(source.manifest === null ? {} : { source: source.manifest.source }),
  });
  try {
    ctx.log.info(`Restoring ${source.title} into "${scratch.name}"...`);
    const ran = await restoreInto(ctx, { ...prepared, database: scratch.name });
    const differences = source.manifest !== null && compares(prepared)
      ? await compareWith(ctx, {
        database: scratch.name,
        manifest: source.manifest,
        parts: prepared.parts,
      })
      : undefined;
    requireSame(differences, prepared);
    const { kept } = await swapIn(ctx, {
      database,
      scratch,
      of: source.title,
      wait: prepared.options.lockWait,
    });
    if (mode === "swap") ctx.log.info(`"${database}" is the restored database now`);
    return { ...ran, differences, kept };
  } catch (error) {
    await scratch.drop();
    throw error;
  }
}

function requireSame(
  differences: readonly string[] | undefined,
  { source, target, mode }: Prepared,
): void {
  const [first, ...others] = differences ?? [];
  if (first === undefined) return;
  throw new OperationError(
    `Cannot restore ${source.title}: what was restored is not what was backed up: ${first}`,
    {
      code: "restore_differs",
      excerpt: [
        ...others,
        mode === "swap" ? `"${target.database}" is as it was` : `"${target.database}" was not made`,
      ].join("\n"),
      hint: "Take another backup; --no-compare restores this one all the same",
      details: { differences },
    },
  );
}
