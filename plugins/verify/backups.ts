/** Where backups go: the directory `BACKUPS_DIR` and the space around it. */
import { dirname } from "node:path";
import type { Context, FileFacts } from "../../core/plugin.ts";
import type { Check, Finding, Server, Subject } from "./check.ts";
import { sizeText } from "../repository/size.ts";

/** Whether backups can be written. */
export const backupsDirectory: Check = {
  needs: "nothing",
  async run({ context }: Subject) {
    const path = directoryOf(context);
    const facts = await context.files.inspect(path);
    if (facts !== undefined) return judgeDirectory(path, facts);
    return judgeAbsent(path, await nearest(context, path));
  },
};

/** Whether a backup has room there. */
export const diskSpace: Check = {
  needs: "database",
  async run({ context, session }: Server) {
    const facts = await nearest(context, directoryOf(context));
    if (facts === undefined) {
      return { status: "skipped", message: "The file system of the backups cannot be told" };
    }
    const { rows: [row] } = await session.query<{ size: bigint }>(
      "SELECT pg_database_size(current_database()) AS size",
    );
    return judgeSpace(facts.disk.free, Number(row?.size ?? 0n));
  },
};

function directoryOf({ config }: Context): string {
  return config.get("BACKUPS_DIR") ?? "./backups";
}

/** What is at a path, or else at the nearest directory above it that is there. */
async function nearest({ files }: Context, path: string): Promise<FileFacts | undefined> {
  for (let at = path;; at = dirname(at)) {
    const facts = await files.inspect(at);
    if (facts !== undefined || dirname(at) === at) return facts;
  }
}

/** Judges a directory for backups that is there. */
export function judgeDirectory(path: string, facts: FileFacts): Finding {
  const { kind, realPath, access, owner, self } = facts;
  const details = { path: realPath, owner, self, mode: facts.mode };
  if (kind !== "directory") {
    return {
      status: "failed",
      message: `The backups directory "${path}" is not a directory`,
      remedy: `Move the file away, or set BACKUPS_DIR`,
      details,
    };
  }
  if (access.write && access.execute) {
    return { status: "ok", message: `Backups can be written to ${realPath}`, details };
  }
  return {
    status: "failed",
    message: `Backups cannot be written to ${realPath}: user ${self.uid} may not, ` +
      `it belongs to ${owner.uid}:${owner.gid} with mode ${octal(facts.mode)}`,
    remedy: remedyOf(facts),
    details,
  };
}

/** What mends it: the owner, the mode, or neither where the file system forbids writing. */
function remedyOf({ realPath, owner, self, mode }: FileFacts): string {
  const path = shellWord(realPath);
  const ownerMay = (mode & 0o300) === 0o300;
  if (self.uid === 0 || (self.uid === owner.uid && ownerMay)) {
    return "Its file system is read-only or forbids it: mount it for writing, or set BACKUPS_DIR";
  }
  if (self.uid === owner.uid) return `chmod u+rwx ${path}`;
  return [`chown ${self.uid}:${self.gid} ${path}`, ...(ownerMay ? [] : [`chmod u+rwx ${path}`])]
    .join("\n");
}

/** Judges a directory that is not there by the nearest one above it. */
export function judgeAbsent(path: string, above: FileFacts | undefined): Finding {
  const details = { path, exists: false };
  if (above?.kind === "directory" && above.access.write && above.access.execute) {
    return {
      status: "warning",
      message: `The backups directory "${path}" does not exist; the first backup makes it`,
      remedy: `mkdir -p ${shellWord(path)}`,
      details,
    };
  }
  const message = `The backups directory "${path}" does not exist, and cannot be made`;
  if (above === undefined || above.kind !== "directory") {
    return {
      status: "failed",
      message: above === undefined ? message : `${message}: ${above.realPath} is not a directory`,
      remedy: "Set BACKUPS_DIR",
      details,
    };
  }
  const { uid, gid } = above.self;
  const word = shellWord(path);
  return {
    status: "failed",
    message: `${message} in ${above.realPath}: user ${uid} may not write there`,
    remedy: uid === 0
      ? "Set BACKUPS_DIR to a directory on a file system that is writable"
      : `As root: mkdir -p ${word} && chown ${uid}:${gid} ${word}\nOr set BACKUPS_DIR`,
    details,
  };
}

/**
 * Judges the room for backups, in bytes. A compressed dump is usually far smaller than its database,
 * but one that is not compressed may come near it.
 */
export function judgeSpace(free: number, database: number): Finding {
  const details = { free_bytes: free, database_bytes: database };
  const sizes = `${sizeText(free)} free for backups; the database has ${sizeText(database)}`;
  if (free >= database) return { status: "ok", message: sizes, details };
  return {
    status: "warning",
    message: `${sizes}, so a backup may not fit`,
    remedy: "Remove what is not needed there, or set BACKUPS_DIR to a larger disk",
    details,
  };
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

/** A word for the shell. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
