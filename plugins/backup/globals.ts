/** Roles and tablespaces, which belong to the cluster and are in no dump of a database. */
import type { Context } from "../../core/plugin.ts";
import type { StoredFile } from "../repository/manifest.ts";
import { checkDump } from "./checking.ts";
import { startDump } from "./dump.ts";
import type { Prepared } from "./making.ts";
import { encrypt } from "./write.ts";

/** How large they may be, for an upload: they are never large. */
const ESTIMATE = 1 << 20;

/** Writes roles without their passwords, and tablespaces, as `pg_dumpall --globals-only` does. */
export async function writeGlobals(
  ctx: Context,
  { id, options, inventory, name, workspace }: Prepared,
): Promise<StoredFile> {
  const major = Math.floor(inventory.source.server_version_num / 10_000);
  const tool = await ctx.clientTool("pg_dumpall", { major });
  const dump = await startDump(ctx, {
    tool,
    // Reading passwords takes a superuser, and a backup with them would be worth as much as they are.
    args: ["--globals-only", "--no-role-passwords", "--no-password", "--verbose"],
    // It is in another database, where other backups may be made.
    name: `${name} globals`,
    stallTimeout: options.stallTimeout,
  });
  const { output } = checkDump(dump.output, {
    format: "plain",
    method: "none",
    script: "database cluster",
  });
  const encrypted = options.recipients.length > 0;
  const data = encrypted ? await encrypt(output, options.recipients) : output;
  return await workspace.store(`${id}.globals.sql${encrypted ? ".age" : ""}`, data, {
    estimate: ESTIMATE,
  });
}
