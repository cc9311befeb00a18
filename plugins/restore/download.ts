/** Sources that pg_restore reads at any place, brought to this machine for that. */
import { randomBytes } from "node:crypto";
import { type Context, OperationError } from "../../core/plugin.ts";
import { backupId, fileWord, parseBackupName } from "../repository/names.ts";
import { sizeText } from "../repository/size.ts";
import { directoryOf } from "../repository/stores.ts";
import { asDamage } from "./damage.ts";
import { decodeAt } from "./decode.ts";
import type { Found } from "./find_source.ts";
import { checked, type Opened, streamOf } from "./read_source.ts";

/** What was brought here. */
export interface Downloaded {
  readonly path: string;
  /** Removes it. */
  remove(): Promise<void>;
}

/** Left on the disk beside what is downloaded. */
const SPARE_BYTES = 64 * 1024 * 1024;

/**
 * Downloads and unwraps a source into the directory of backups, for this user alone, under a name
 * that `backup gc` takes for a leftover.
 *
 * @throws OperationError `no_space` of kind `refused`; `backup_damaged`
 */
export async function downloadSource(ctx: Context, opened: Opened): Promise<Downloaded> {
  const { found } = opened;
  const parent = directoryOf(ctx.config);
  const total = found.files.reduce((sum, { size }) => sum + size, 0);
  await ctx.files.makeDirectory(parent, { private: true }).catch((error: unknown) => {
    if (!(error instanceof OperationError) || error.code !== "already_exists") throw error;
  });
  await requireRoom(ctx, { found, parent, total });
  const path = `${parent}/${partialName(ctx, found)}`;
  const remove = async () => {
    await ctx.files.remove(`${path}.partial`);
    await ctx.files.remove(path);
  };
  let done = 0;
  const took = (bytes: number) => {
    done += bytes;
    ctx.progress({ label: `Reading ${found.title}`, done, total, unit: "bytes" });
  };
  try {
    if (found.directory === null) {
      await ctx.files.save(path, streamOf(ctx, { ...opened, took }), { private: true });
    } else await saveDirectory(ctx, { found, path, took });
    ctx.progress(null);
    if (found.manifest === null) await decodeAt(ctx, { path, archive: opened.archive });
  } catch (error) {
    ctx.progress(null);
    await remove();
    throw asDamage(error, found.title);
  }
  return { path, remove };
}

async function saveDirectory(
  ctx: Context,
  { found, path, took }: {
    readonly found: Found;
    readonly path: string;
    readonly took: (bytes: number) => void;
  },
): Promise<void> {
  const { files, directory, manifest } = found;
  await ctx.files.makeDirectory(path, { private: true });
  for (const file of files) {
    if (file.name === manifest?.globals) continue;
    const member = file.name.slice(`${directory}/`.length);
    const data = ReadableStream.from(checked(ctx, { found, file, took }));
    await ctx.files.save(`${path}/${member}`, data, { private: true });
  }
}

function partialName(ctx: Context, { main, manifest, directory }: Found): string {
  const id = manifest?.id ?? parseBackupName(main.name)?.id ??
    backupId(fileWord(main.name.replace(/[./].*$/s, "")), "full", ctx.now());
  const random = randomBytes(4).toString("hex");
  return `${id}.restore-${random}${directory === null ? "" : ".dir"}.partial`;
}

async function requireRoom(
  ctx: Context,
  { found: { title }, parent, total }: {
    readonly found: Found;
    readonly parent: string;
    readonly total: number;
  },
): Promise<void> {
  const free = (await ctx.files.inspect(parent))?.disk.free;
  if (free === undefined || free >= total + SPARE_BYTES) return;
  throw new OperationError(
    `Cannot download ${title}: it has ${sizeText(total)}, and ${parent} has ${sizeText(free)} free`,
    {
      kind: "refused",
      code: "no_space",
      hint: "Make room there, set BACKUPS_DIR to another disk, or leave out --jobs so that " +
        "nothing is written to a disk",
      details: { needed: total, free },
    },
  );
}
