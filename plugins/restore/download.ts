/** Sources that pg_restore reads at any place, brought to this machine for that. */
import { randomBytes } from "node:crypto";
import { type Context, OperationError } from "../../core/plugin.ts";
import { backupId, fileWord, parseBackupName } from "../repository/names.ts";
import { sizeText } from "../repository/size.ts";
import { localStore } from "../repository/local_store.ts";
import { directoryOf } from "../repository/stores.ts";
import { asDamage } from "./damage.ts";
import { decodeDirectory, decodeDump } from "./decode.ts";
import type { Found, FoundFile } from "./find_source.ts";
import { isLarge } from "./ranges.ts";
import { checked, type Opened, streamOf } from "./read_source.ts";

/** What was brought here. */
export interface Downloaded {
  readonly path: string;
  /** Removes it. */
  remove(): Promise<void>;
}

/** How many small files are read at a time. */
const READERS = 4;
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
  const name = partialName(ctx, found);
  const path = `${parent}/${name}`;
  const remove = async () => {
    await ctx.files.remove(`${path}.partial`);
    await ctx.files.remove(path);
  };
  const ranged = found.store.kind === "s3";
  let done = 0;
  const took = (bytes: number) => {
    done += bytes;
    ctx.progress({ label: `Reading ${found.title}`, done, total, unit: "bytes" });
  };
  try {
    if (found.directory === null) {
      const data = opened.contents.wrapping.length > 0
        ? streamOf(ctx, { ...opened, took, ranged })
        : ReadableStream.from(checked(ctx, { found, file: found.main, took, ranged }));
      await ctx.files.save(path, data, { private: true });
    } else await saveDirectory(ctx, { found, path, took });
    ctx.progress(null);
    if (found.manifest === null) await decodeLocal(ctx, { opened, parent, name });
  } catch (error) {
    ctx.progress(null);
    await remove();
    throw asDamage(error, found.title);
  }
  return { path, remove };
}

/** Small members several at a time, each large one in several ranges. */
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
  const members = files.filter(({ name }) => name !== manifest?.globals);
  const save = async (file: FoundFile) => {
    const member = file.name.slice(`${directory}/`.length);
    const data = ReadableStream.from(checked(ctx, { found, file, took, ranged: true }));
    await ctx.files.save(`${path}/${member}`, data, { private: true });
  };
  for (const member of members.filter(isLarge)) await save(member);
  const waiting = members.filter((file) => !isLarge(file)).values();
  let failed = false;
  const saveSome = async () => {
    // Each takes the next one from the same list.
    for (const member of waiting) {
      if (failed) return;
      await save(member).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const done = await Promise.allSettled(Array.from({ length: READERS }, saveSome));
  const first = done.find((each) => each.status === "rejected");
  if (first !== undefined) throw first.reason;
}

/** Decodes to its end what was brought here and has no manifest. */
async function decodeLocal(
  ctx: Context,
  { opened, parent, name }: {
    readonly opened: Opened;
    readonly parent: string;
    readonly name: string;
  },
): Promise<void> {
  const { found, archive } = opened;
  const store = localStore(ctx.files, parent);
  const here = { ...found, store };
  if (found.directory === null) {
    const size = (await ctx.files.inspect(`${parent}/${name}`))?.size ?? 0;
    const main = { name, size, sha256: null };
    await decodeDump(ctx, { ...opened, found: { ...here, main, files: [main] } });
    return;
  }
  const files = found.files.map((file): FoundFile => ({
    name: `${name}${file.name.slice(found.directory?.length)}`,
    size: file.size,
    sha256: null,
  }));
  await decodeDirectory(ctx, { found: { ...here, files, directory: name }, archive });
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
