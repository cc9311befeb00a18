/** Whether TimescaleDB can take a dump with hypertables, on this server and in this database. */
import { type Context, OperationError } from "../../core/plugin.ts";
import type { Parts } from "./options.ts";
import type { Mode } from "./prepare.ts";
import type { Refusal } from "./refusal.ts";
import type { Source } from "./source.ts";
import type { Target } from "./target.ts";
import {
  requireFreeOfTimescale,
  requireJobOwners,
  requireTimescale,
  type TimescaleUse,
} from "./timescale.ts";

/**
 * Looks at the server, and at the database that is restored into as it is.
 *
 * @returns what is to be told before TimescaleDB is used
 */
export async function checkTimescale(
  ctx: Context,
  { source, target: { database }, mode, parts, timescale: { version } }: {
    readonly source: Source;
    readonly target: Target;
    readonly mode: Mode;
    readonly parts: Parts;
    readonly timescale: TimescaleUse;
  },
  refusal: Refusal,
): Promise<string[]> {
  const warnings = parts === "schema"
    ? [
      "Definitions alone make no hypertables: the tables are of no use until the rows follow (--data-only)",
    ]
    : [];
  const inPlace = mode === "in place";
  const session = inPlace
    ? await ctx.db.session({ database, notices: "drop" })
    : await ctx.db.maintenance({ notices: "drop" });
  try {
    if (inPlace) await requireFreeOfTimescale(session, { database, version });
    warnings.push(...(await requireTimescale(session, version)).warnings);
    if (parts !== "schema") await requireJobOwners(session, source.manifest);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    refusal.attempt(() => {
      throw error;
    });
  } finally {
    await session.close();
  }
  return warnings;
}
