/**
 * The manifest of a backup: what makes it one. It is written last, when every byte it tells of is
 * where it says, and never again; what has no manifest is no backup.
 */

/** The version of the manifest's form. */
export const MANIFEST_SCHEMA = 1;

/** What a manifest's file name ends with; the backup's id stands before it. */
export const MANIFEST_SUFFIX = ".manifest.json";

/**
 * What a backup holds. A `partial` one leaves tables out, by a pattern; it and the others than
 * `full` never stand for a full one.
 */
export type BackupKind = "full" | "schema" | "data" | "partial";

/** How a backup is written: by pg_dump's own formats. */
export type BackupFormat = "custom" | "plain" | "directory";

/** How its data are compressed. */
export type CompressionMethod = "none" | "gzip" | "lz4" | "zstd";

/** A backup as its manifest describes it. Times are ISO 8601 in UTC, sizes in bytes. */
export interface Manifest {
  readonly schema: typeof MANIFEST_SCHEMA;
  /** Such as `llm_observatory_backup_20240101_120000`, with `_schema` or `_data`; its files begin with it. */
  readonly id: string;
  readonly kind: BackupKind;
  /** When the snapshot was taken: the moment whose data it holds. */
  readonly created_at: string;
  readonly finished_at: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** The machine's name. */
  readonly host: string;
  readonly source: Source;
  readonly client: { readonly program: string; readonly version: string; readonly path: string };
  /** The arguments of pg_dump; none holds a secret. */
  readonly arguments: readonly string[];
  readonly selection: Selection;
  readonly format: BackupFormat;
  readonly compression: {
    readonly method: CompressionMethod;
    /** Null where the method has none, or its own default. */
    readonly level: number | null;
  };
  /** Every file of the backup, by its name beside the manifest; hashed as it is stored. */
  readonly files: readonly StoredFile[];
  /** What pg_dump wrote, where that is not what is stored: before encryption. */
  readonly plaintext: { readonly size: number; readonly sha256: string } | null;
  readonly encryption: {
    readonly method: "age";
    readonly recipients: readonly string[];
  } | null;
  /** The file with roles and tablespaces, among `files`; null when they were not asked for. */
  readonly globals: string | null;
  /** Roles that must exist for owners and privileges to be restored. */
  readonly roles: readonly string[];
  readonly extensions: readonly Extension[];
  readonly timescaledb: Timescale | null;
  readonly tables: readonly TableFacts[];
  readonly sequences: readonly SequenceFacts[];
  readonly large_objects: number;
  readonly migrations: Migrations | null;
  readonly note: string | null;
  readonly warnings: readonly string[];
  readonly duration_ms: number;
  /** What restores it without this program, a shell line each. */
  readonly restore_by_hand: readonly string[];
  /**
   * The SHA-256 of all the other members as JSON without spaces, in their order: what the dump's own
   * hash is for the dump. Never left out: a manifest whose checksum has lost its name is a changed one.
   */
  readonly checksum: string;
}

/** One file of a backup. */
export interface StoredFile {
  /** Relative to the manifest's place; members of a directory are `ID.dir/toc.dat`. */
  readonly name: string;
  readonly size: number;
  /** In lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** The database that was dumped. */
export interface Source {
  /** What tells the cluster from every other one; null where the role may not ask. */
  readonly system_identifier: string | null;
  readonly database: string;
  readonly database_oid: number;
  readonly server_version: string;
  /** Such as 150018. */
  readonly server_version_num: number;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** Whose rules order texts; null on servers below 15. */
  readonly locale: Locale | null;
  readonly owner: string;
  /** Of the whole database on the server. */
  readonly size: number;
  /** Whether it was read from a standby. */
  readonly in_recovery: boolean;
  /** The exported snapshot that the dump and the counts share. */
  readonly snapshot: string;
  /** Where the write-ahead log was. */
  readonly lsn: string | null;
}

/** The default collation of a database, where it is not the operating system's. */
export interface Locale {
  readonly provider: "libc" | "icu" | "builtin";
  /** Such as `en-US`; null for libc, whose names are `collate` and `ctype`. */
  readonly name: string | null;
  /** Of ICU: what is ordered in another way than its locale has it. */
  readonly rules: string | null;
}

/** Providers as `pg_database` has them. */
export const PROVIDER_LETTERS: Readonly<Record<Locale["provider"], string>> = {
  libc: "c",
  icu: "i",
  builtin: "b",
};

/** What of the database was asked for; empty lists for all of it. */
export interface Selection {
  /** The patterns as they were given. */
  readonly tables: readonly string[];
  readonly exclude: readonly string[];
  /** The tables that they stand for, quoted as SQL writes them, partitions and chunks included. */
  readonly resolved_tables: readonly string[];
  readonly resolved_exclude: readonly string[];
  /** Tables whose definition is kept and whose rows are left out. */
  readonly resolved_exclude_rows: readonly string[];
}

/** An extension of the database. */
export interface Extension {
  readonly name: string;
  readonly version: string;
  readonly schema: string;
}

/** What TimescaleDB keeps there. */
export interface Timescale {
  readonly version: string;
  readonly hypertables: readonly {
    readonly schema: string;
    readonly name: string;
    readonly chunks: number;
    readonly compressed_chunks: number;
  }[];
  readonly continuous_aggregates: readonly { readonly schema: string; readonly name: string }[];
  readonly jobs: readonly {
    readonly id: number;
    readonly owner: string;
    readonly procedure: string;
  }[];
}

/** A table whose rows are in the dump. */
export interface TableFacts {
  readonly schema: string;
  readonly name: string;
  /** `hypertable` stands for all its chunks. */
  readonly kind: "table" | "hypertable" | "materialized view";
  /** The rows in the dump's own snapshot; null when they were not counted. */
  readonly rows: number | null;
  /** Bytes on the server, without indexes. */
  readonly size: number;
  /** The same for the same rows in any order; null when it was not asked for. */
  readonly fingerprint: string | null;
}

/** A sequence. Its value is no part of the snapshot: the dump's is this one or a later one. */
export interface SequenceFacts {
  readonly schema: string;
  readonly name: string;
  /** Null when it was never used. */
  readonly last_value: string | null;
}

/** What was applied in the snapshot, by sqlx's table. */
export interface Migrations {
  readonly applied: number;
  readonly last: {
    readonly version: string;
    readonly description: string;
    /** In lower-case hexadecimal digits. */
    readonly checksum: string;
  } | null;
}
