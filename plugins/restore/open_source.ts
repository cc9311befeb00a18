/** A dump that was found, opened: recognised, with its table of contents, and ready to be read. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { readIdentities } from "../repository/decryption.ts";
import { asDamage, damaged } from "./damage.ts";
import type { Found } from "./find_source.ts";
import { pathIn } from "./find_dump.ts";
import { type Opened, streamOf, verifySource } from "./read_source.ts";
import type { Source } from "./source.ts";
import { readTableOfContents } from "./table_of_contents.ts";
import { unwrap } from "./unwrap.ts";

/** A source that is open. */
export interface OpenSource {
  readonly source: Source;
  /** Removes what was downloaded. */
  readonly close: () => Promise<void>;
}

/**
 * Opens what was found.
 *
 * @param options.identity a file with secret keys of age
 * @throws OperationError `unknown_contents`, `no_identity`, `backup_damaged`
 */
export async function openSource(
  ctx: Context,
  { found, identity }: { readonly found: Found; readonly identity: string | undefined },
): Promise<OpenSource> {
  const opened = await recogniseFound(ctx, { found, identity });
  const { contents } = opened;
  const verify = once(() => verifySource(ctx, opened));
  const download = once(async () => {
    const { downloadSource } = await import("./download.ts");
    return await downloadSource(ctx, opened);
  });
  const downloads = found.store.kind !== "local" || contents.wrapping.length > 0;
  const source: Source = {
    title: found.title,
    location: found.store.title,
    kind: found.store.kind,
    manifest: found.manifest,
    contents,
    size: found.files.reduce((sum, { size }) => sum + size, 0),
    archive: opened.archive,
    warnings: found.warnings,
    downloads,
    verify: verify.run,
    async stream(options = {}) {
      // Without a manifest nothing else tells whether it is whole.
      if (found.manifest === null) await verify.run();
      return streamOf(ctx, { ...opened, took: options.took });
    },
    async path() {
      if (contents.format === "plain") throw new Error("A script is read as a stream");
      if (contents.wrapping.includes("age")) throw onDisk(found.title);
      if (downloads) return (await download.run()).path;
      await verify.run();
      return pathIn(found.store, found.directory ?? found.main.name);
    },
  };
  return {
    source,
    async close() {
      const made = await download.started()?.catch(() => undefined);
      await made?.remove();
    },
  };
}

async function recogniseFound(
  ctx: Context,
  { found, identity }: { readonly found: Found; readonly identity: string | undefined },
): Promise<Opened> {
  const { store, main: { name, version }, title, directory } = found;
  const keys = once(() => identitiesFor(ctx, { title, identity }));
  const read = () => store.read(name, { offset: 0, version });
  const identities = keys.run;
  try {
    if (directory !== null) {
      const archive = await readTableOfContents(await read(), { format: "directory" });
      return {
        found,
        contents: { format: "directory", wrapping: [] },
        archive,
        identities,
        verified: {},
      };
    }
    const { contents, stream } = await unwrap(await read(), { title, identities });
    if (contents.format === "plain") {
      await stream.cancel();
      return { found, contents, archive: null, identities, verified: {} };
    }
    const archive = await readTableOfContents(stream, { format: contents.format });
    return { found, contents, archive, identities, verified: {} };
  } catch (error) {
    if (found.manifest !== null && hasCode(error, "unknown_contents")) {
      throw damaged(title, { reason: `${name} is no dump`, cause: error });
    }
    throw asDamage(error, title);
  }
}

async function identitiesFor(
  ctx: Context,
  { title, identity }: { readonly title: string; readonly identity: string | undefined },
): Promise<readonly string[]> {
  if (identity !== undefined) return await readIdentities(ctx, identity);
  throw new OperationError(`Cannot read ${title}: it is encrypted`, {
    kind: "usage",
    code: "no_identity",
    hint: "Give the file with the secret key by --identity",
  });
}

/** Work that is done once, by whoever asks first. */
function once<T>(
  work: () => Promise<T>,
): { readonly run: () => Promise<T>; readonly started: () => Promise<T> | undefined } {
  let result: Promise<T> | undefined;
  return { run: () => result ??= work(), started: () => result };
}

function onDisk(title: string): OperationError {
  return new OperationError(`Cannot restore ${title} by several jobs: it is encrypted`, {
    kind: "refused",
    code: "encrypted",
    hint: "Leave out --jobs: what is decrypted is streamed, and never written to a disk",
  });
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof OperationError && error.code === code;
}
