/** A place where backups are kept: a directory, or a bucket below a prefix. */

/** One file of a store. */
export interface StoredObject {
  /** Relative to the store, such as `a.dump` or `a.dir/toc.dat`. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** When it was last written, in milliseconds since 1970. */
  readonly modified: number;
  /** What tells these contents from others of the name, where the place does. */
  readonly version?: string | undefined;
}

/** A part of a file. */
export interface Range {
  /** The first byte, from 0. */
  readonly offset: number;
  /** Bytes; to the end when left out. */
  readonly length?: number | undefined;
  /** What the file must still be, as it was listed; places that do not tell do not look. */
  readonly version?: string | undefined;
}

/** What can be done in a place where backups are kept. Names are relative to it. */
export interface Store {
  readonly kind: "local" | "s3";
  /** For messages: `./backups`, `s3://bucket/backups`. */
  readonly title: string;
  /**
   * Everything in it, sorted by name; the members of directory backups too, and of no other
   * directory. A directory backup without members stands there as `ID.dir/`. An empty list when the
   * place does not exist.
   *
   * @param prefix what the names begin with; by default everything
   */
  list(prefix?: string): Promise<StoredObject[]>;
  /**
   * One file, or a part of it.
   *
   * @throws OperationError `not_found`; `changed_while_read` when it is another one by now, as the
   *   stream does
   */
  read(name: string, range?: Range): Promise<ReadableStream<Uint8Array>>;
  /**
   * Several small files as text, in the order asked for.
   *
   * @throws OperationError `not_found`
   */
  readTexts(names: readonly string[]): Promise<string[]>;
  /**
   * Writes a new small file: whole and durable, or not at all.
   *
   * @throws OperationError `already_exists`, where the place can tell
   */
  create(name: string, contents: string): Promise<void>;
  /**
   * Removes a file; one that is not there is no error. `ID.dir/` is the directory itself, which is
   * removed when nothing is left in it.
   */
  remove(name: string): Promise<void>;
  /**
   * Gives a file another name, for good: it has the old one, the new one, or for a moment both. Where
   * the place cannot, this is left out.
   *
   * @throws OperationError `not_found` or `already_exists`
   */
  rename?(name: string, to: string): Promise<void>;
  /**
   * Whether this program wrote the file for the backup that its name tells, where that stands with
   * the file; false for one that is not there.
   */
  isOurs?(name: string): Promise<boolean>;
  /** Files whose writing has begun and not ended, where the place keeps such things apart. */
  listUploads?(): Promise<StoredUpload[]>;
  /** Gives one of them up, with what of it is there; one that has ended is no error. */
  abortUpload?(upload: StoredUpload): Promise<void>;
  /** Ends what is open, such as connections. */
  close?(): void;
}

/** A file whose writing has begun and not ended. */
export interface StoredUpload {
  /** What the file is to be called. */
  readonly name: string;
  /** What tells it from others for the same name. */
  readonly uploadId: string;
  /** When the last part of it came, or else when it was begun; in milliseconds since 1970. */
  readonly modified: number;
}
