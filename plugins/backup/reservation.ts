/** A backup's name, taken before anything is written under it. */
import { hostname } from "node:os";
import { type Context, OperationError } from "../../core/plugin.ts";
import type { BackupKind } from "../repository/manifest.ts";
import { backupId, STARTED_SUFFIX } from "../repository/names.ts";
import type { Store } from "../repository/store.ts";

/** A name that nobody else takes. */
export interface Reservation {
  readonly id: string;
  /** Takes the marker away: the backup is published, or nothing of it is left. */
  release(): Promise<void>;
}

/**
 * Finds a name of this second, or of the next ones where others have been faster, and marks it.
 *
 * @param stores where no file of that name may be
 */
export async function reserve(
  ctx: Context,
  { kind, database, directory, stores }: {
    readonly kind: BackupKind;
    readonly database: string;
    /** Where the marker is written; undefined where no file is. */
    readonly directory: string | undefined;
    readonly stores: readonly Store[];
  },
): Promise<Reservation> {
  for (;;) {
    const id = backupId(database, kind, ctx.now());
    const taken = await Promise.all(
      stores.map(async (store) =>
        (await store.list(id)).some(({ name }) => /^[./]/.test(name.slice(id.length)))
      ),
    );
    if (!taken.includes(true) && (directory === undefined || await mark(ctx, { id, directory }))) {
      return {
        id,
        async release() {
          if (directory !== undefined) {
            await ctx.files.remove(`${directory}/${id}${STARTED_SUFFIX}`);
          }
        },
      };
    }
    await ctx.sleep(1000 - ctx.now() % 1000);
  }
}

async function mark(
  ctx: Context,
  { id, directory }: { readonly id: string; readonly directory: string },
): Promise<boolean> {
  const { pid } = await import("node:process");
  const marker = {
    backup: id,
    tool: ctx.tool,
    host: hostname(),
    pid,
    started_at: new Date(ctx.now()).toISOString(),
  };
  try {
    await ctx.files.create(
      `${directory}/${id}${STARTED_SUFFIX}`,
      `${JSON.stringify(marker)}\n`,
      { private: true },
    );
    return true;
  } catch (error) {
    if (error instanceof OperationError && error.code === "already_exists") return false;
    throw error;
  }
}
