/** The files of a backup that is being made: written, sent, and taken back when it fails. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { passing } from "../repository/chunks.ts";
import { type HashedPart, hashParts, hashWhole, type WholeHash } from "../repository/hashing.ts";
import type { StoredFile } from "../repository/manifest.ts";
import type { PlainCheck } from "../repository/plain_dump.ts";
import type { Bucket } from "./bucket.ts";
import type { Places } from "./places.ts";
import { memoryFor, SILENT_MEMORY, storeInBucket, storeLocally } from "./storing.ts";
import { type FileUpload, uploadFile } from "./uploading.ts";

/** The files of one backup under way. */
export interface Workspace {
  /**
   * Stores bytes as they come as one file of the backup: on this machine, in the bucket, or both.
   *
   * @param options.estimate how many bytes it may have, for the parts of its upload
   * @param options.whole of these bytes, where they are hashed already
   */
  store(
    name: string,
    data: AsyncIterable<Uint8Array>,
    options: { readonly estimate: number; readonly whole?: WholeHash | undefined },
  ): Promise<StoredFile>;
  /**
   * Takes a file that another program has written as one of the backup, and sends it.
   *
   * @throws OperationError what the check finds, too
   */
  adopt(
    name: string,
    file: { readonly path: string; readonly check: PlainCheck },
  ): Promise<StoredFile>;
  /** Notes a path to be removed when the backup fails. */
  mine(path: string): void;
  /** Notes that the manifest may be in the bucket from now on: it is the first to go then. */
  announce(manifest: string): void;
  /** Waits until everything is in the bucket. */
  complete(): Promise<void>;
  /** Takes back what is in the bucket or on its way there; what cannot be is told in a warning. */
  withdraw(): Promise<void>;
  /** Takes back everything likewise. */
  discard(): Promise<void>;
}

interface Sending {
  readonly name: string;
  complete(): Promise<void>;
  abort(): Promise<void>;
}

/** Makes a workspace. */
export function createWorkspace(
  ctx: Context,
  { places: { directory, bucket }, id }: { readonly places: Places; readonly id: string },
): Workspace {
  const paths: string[] = [];
  const sending: Sending[] = [];
  const there: string[] = [];
  let uploadFailure: { readonly error: unknown } | undefined;
  let announced: string | undefined;
  const start = (bucket: Bucket, name: string, estimate: number) =>
    bucket.startUpload(name, { estimate, backup: id });
  async function take(what: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      ctx.log.warn(
        `Cannot take back ${what}, which \`observatory backup gc\` removes later: ${
          error instanceof Error ? error.message : String(error)
        }`,
      );
      return false;
    }
  }
  async function withdraw(): Promise<void> {
    if (bucket === undefined) return;
    for (const { name, abort } of sending) await take(`the upload of "${name}"`, abort);
    const manifest = announced;
    if (manifest !== undefined && !await take(`"${manifest}"`, () => bucket.takeBack(manifest))) {
      // Should it be there, then the backup is: without its files it would be a broken one.
      return;
    }
    for (const name of there) {
      // A service that does not do it now need not be asked for every member of a directory.
      if (!await take(`"${name}"`, () => bucket.takeBack(name))) return;
    }
  }
  /** Waits until an object is there. Unless it is another's, it may be there when that fails, too. */
  async function arrived(name: string, completing: Promise<void>): Promise<void> {
    try {
      await completing;
      there.push(name);
    } catch (error) {
      if (!(error instanceof OperationError && error.code === "already_exists")) there.push(name);
      throw error;
    }
  }
  /** Waits until a member is in the bucket, so that it need not stay on this machine. */
  async function sent(name: string, file: FileUpload): Promise<void> {
    try {
      await arrived(name, file.complete());
    } catch (error) {
      await file.abort();
      // What is complete on this machine is a backup all the same.
      if (directory === undefined || !(error instanceof OperationError)) throw error;
      uploadFailure ??= { error };
    }
  }
  return {
    async store(name, data, { estimate, whole }) {
      const upload = bucket && start(bucket, name, estimate);
      if (directory === undefined) {
        if (upload === undefined) throw new Error("A backup has to go somewhere");
        const { object } = upload;
        const memory = memoryFor(upload.partSize(0));
        if (memory > SILENT_MEMORY) {
          ctx.log.info(
            `The upload needs ${
              Math.ceil(memory / 2 ** 20)
            } MiB of memory for its parts, since no ` +
              "file is written that they could be read from",
          );
        }
        const stored = await storeInBucket(data, { ...upload, whole });
        sending.push({
          name,
          complete: async () => void await object.complete(),
          abort: () => object.abort(),
        });
        return { name, ...stored };
      }
      const path = `${directory.path}/${name}`;
      const { upload: file, ...stored } = await storeLocally(ctx.files, data, {
        path,
        upload,
        whole,
      });
      paths.push(path);
      if (file !== undefined) sending.push({ name, ...file });
      return { name, ...stored };
    },
    async adopt(name, { path, check }) {
      const facts = await ctx.files.inspect(path);
      const upload = bucket && uploadFailure === undefined
        ? start(bucket, name, facts?.size ?? 0)
        : undefined;
      const whole = hashWhole();
      const parts = upload && hashParts(upload.partSize);
      const file = upload &&
        uploadFile(
          upload.object,
          ({ offset, size }: HashedPart) => ctx.files.stream(path, { offset, length: size }),
        );
      try {
        for await (const chunk of passing(await ctx.files.stream(path))) {
          whole.take(chunk);
          await check.push(chunk);
          for (const part of parts?.take(chunk) ?? []) file?.add(part);
        }
        await check.end();
        const last = parts?.end();
        if (last !== undefined) file?.add(last);
      } catch (error) {
        await file?.abort();
        throw error;
      } finally {
        check.drop();
      }
      if (file !== undefined) await sent(name, file);
      return { name, size: whole.size, sha256: whole.digest() };
    },
    mine: (path) => void paths.push(path),
    announce: (manifest) => announced = manifest,
    async complete() {
      if (uploadFailure !== undefined) throw uploadFailure.error;
      for (const upload of sending) await arrived(upload.name, upload.complete());
    },
    withdraw,
    async discard() {
      for (const path of paths) await take(`"${path}"`, () => ctx.files.remove(path));
      await withdraw();
    },
  };
}
