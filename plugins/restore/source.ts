/** What is restored from: a backup or any dump, found, recognised and read. */
import type { Context } from "../../core/plugin.ts";
import type { Manifest } from "../repository/manifest.ts";
import type { Contents } from "./contents.ts";
import type { Archive } from "./table_of_contents.ts";

/** What is to be restored. */
export interface WantedSource {
  /** `latest`, a backup's id or one of its files, a path, or a key in the bucket; undefined with `at`. */
  readonly name: string | undefined;
  /** The newest full backup of the database of this moment or before it, in milliseconds since 1970. */
  readonly at?: number | undefined;
  readonly where?: "local" | "s3" | undefined;
  /** The directory instead of `BACKUPS_DIR`. */
  readonly directory?: string | undefined;
  /** The address of the S3 service instead of `AWS_ENDPOINT_URL_S3`. */
  readonly endpointUrl?: string | undefined;
  /** The database that `latest` and `at` are of. */
  readonly database: string;
  /** A file with secret keys of age. */
  readonly identity?: string | undefined;
}

/** A backup or dump that was found. */
export interface Source {
  /** For messages: the backup's id, or the path or key. */
  readonly title: string;
  /** The place, for messages: `./backups`, `s3://bucket/prefix`. */
  readonly location: string;
  readonly kind: "local" | "s3";
  /** Null for a dump that this program has not made. */
  readonly manifest: Manifest | null;
  readonly contents: Contents;
  /** Bytes as they are stored, of all files. */
  readonly size: number;
  /** The table of contents; null for SQL. */
  readonly archive: Archive | null;
  /** A sentence each, such as that there is no manifest. */
  readonly warnings: readonly string[];
  /** Whether `path` has to download or unwrap it, into the directory of backups. */
  readonly downloads: boolean;
  /**
   * Reads every byte, once however often it is called: compares hashes with the manifest's, and
   * decodes to its end what has none.
   *
   * @throws OperationError `backup_damaged`
   */
  verify(): Promise<void>;
  /**
   * The dump's own bytes, without encryption and compression around them; of a directory there is no
   * such stream. The last of them come when all are known to be right: else it fails with
   * `backup_damaged`, and who reads it never sees its end. Who does not read to the end, as
   * pg_restore where it takes a part of an archive, knows nothing: then `verify` comes first.
   *
   * @param options.took is told how many stored bytes have come, piece by piece
   */
  stream(
    options?: { readonly took?: (bytes: number) => void },
  ): Promise<ReadableStream<Uint8Array>>;
  /**
   * A path on this machine that pg_restore reads at any place, verified: the file or directory
   * itself, or a private copy that is removed when the work with the source ends.
   *
   * @throws OperationError `refused` for an encrypted one, whose plaintext never touches the disk, and
   *   where the disk has too little room; `backup_damaged`
   */
  path(): Promise<string>;
}

/**
 * Finds what is to be restored, and keeps it open for as long as `work` takes. A whole local copy
 * goes before one in the bucket.
 *
 * @throws OperationError `backup_not_found`, `backup_ambiguous`, `backup_unfinished`,
 *   `backup_damaged`, `manifest_invalid`; `unknown_contents`; `no_identity` for an encrypted one
 */
export async function withSource<T>(
  ctx: Context,
  wanted: WantedSource,
  work: (source: Source) => Promise<T>,
): Promise<T> {
  const { withFound } = await import("./find_source.ts");
  const { openSource } = await import("./open_source.ts");
  return await withFound(ctx, wanted, async (found) => {
    const { source, close } = await openSource(ctx, { found, identity: wanted.identity });
    try {
      return await work(source);
    } finally {
      await close();
    }
  });
}
