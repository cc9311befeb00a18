/**
 * What is in a place where backups are kept, and what it is: backups are what manifests tell of, and
 * nothing else.
 */
import { createHash } from "node:crypto";
import { OperationError } from "../../core/plugin.ts";
import { type Leftover, leftoverOf } from "./leftovers.ts";
import type { Manifest } from "./manifest.ts";
import { type FileRole, fileRole, looksLikeDump, parseBackupName } from "./names.ts";
import { parseManifest } from "./read_manifest.ts";
import type { Store, StoredObject } from "./store.ts";
import {
  knownFrom,
  parseVerification,
  type VerificationResult,
  type Verified,
} from "./verification.ts";

/** A backup in one place. */
export interface Backup {
  readonly id: string;
  readonly manifest: Manifest;
  /** The same for the same manifest, to the byte. */
  readonly digest: string;
  readonly place: Store["kind"];
  /** The place, for messages. */
  readonly title: string;
  /** The moment whose data it holds, in milliseconds since 1970. */
  readonly time: number;
  /** Why it is none, though its manifest says so: a file is missing or has another size. */
  readonly broken: string | null;
  readonly verified: Verified;
  /** Why results of verifications cannot be read; empty when all can. */
  readonly unreadable: readonly string[];
  /** Bytes of its files as the manifest tells them. */
  readonly bytes: number;
  /** When its manifest was written, in milliseconds since 1970. */
  readonly modified: number;
  /** Names of the results of its verifications. */
  readonly results: readonly string[];
}

/** What a place holds. */
export interface Catalogue {
  readonly place: Store["kind"];
  readonly title: string;
  /** Whole ones and broken ones, the newest first. */
  readonly backups: readonly Backup[];
  /**
   * Dumps that no manifest tells of and that are not known to be ours, a directory as one: those of
   * the replaced system, or made by hand. They are counted here and nowhere else.
   */
  readonly unmanaged: { readonly names: readonly string[]; readonly bytes: number };
  /** What runs have left that broke off, or has not ended yet. */
  readonly leftovers: readonly Leftover[];
  /** Manifests that cannot be read; what belongs to them is left alone. */
  readonly unreadable: readonly {
    readonly id: string;
    readonly name: string;
    readonly reason: string;
  }[];
  /** What it was made from. */
  readonly objects: readonly StoredObject[];
}

/** A file with what its name tells of it. */
export interface NamedObject extends StoredObject {
  readonly id: string;
  readonly rest: string;
  readonly role: FileRole;
}

/** How often a place is looked at anew when it changes meanwhile. */
const ATTEMPTS = 5;

/** Reads what a place holds. */
export async function readCatalogue(store: Store): Promise<Catalogue> {
  for (let attempt = 1;; attempt++) {
    try {
      const catalogue = await readOnce(store);
      // A listing is not made at one moment: of what is published meanwhile it may hold a part.
      const broken = catalogue.backups.some((backup) => backup.broken !== null);
      if (!broken || attempt > 1) return catalogue;
    } catch (error) {
      // What is removed meanwhile is listed, and cannot be read.
      const gone = error instanceof OperationError && error.code === "not_found";
      if (!gone || attempt === ATTEMPTS) throw error;
    }
  }
}

async function readOnce(store: Store): Promise<Catalogue> {
  const objects = await store.list();
  const found = new Map<string, Omit<NamedObject, "role">[]>();
  const strange: StoredObject[] = [];
  for (const object of objects) {
    const parsed = parseBackupName(object.name);
    if (parsed === undefined) {
      if (looksLikeDump(object.name)) strange.push(object);
      continue;
    }
    const { id, rest } = parsed;
    const group = found.get(id) ?? [];
    found.set(id, group);
    group.push({ ...object, id, rest });
  }
  const groups = new Map([...found].map(([id, group]) => [id, withRoles(group)]));
  const texts = await readTexts(store, [...groups.values()].flat());
  const backups: Backup[] = [];
  const leftovers: Leftover[] = [];
  const unreadable: { id: string; name: string; reason: string }[] = [];
  const unmanaged: StoredObject[] = [...strange];
  for (const [id, group] of groups) {
    try {
      const backup = backupOf(group, { id, texts, store });
      const names = backup && new Set(backup.manifest.files.map(({ name }) => name));
      const { leftover, foreign } = await leftoverOf(group, { id, names, texts, store });
      if (backup !== undefined) backups.push(backup);
      if (leftover !== undefined) leftovers.push(leftover);
      unmanaged.push(...foreign);
    } catch (error) {
      const reason = reasonOf(error);
      if (reason === undefined) throw error;
      const name = group.find(({ role }) => role === "manifest" || role === "tombstone")?.name;
      unreadable.push({ id, name: name ?? id, reason });
    }
  }
  return {
    place: store.kind,
    title: store.title,
    backups: backups.sort(newestFirst),
    unmanaged: countUnmanaged(unmanaged),
    leftovers,
    unreadable,
    objects,
  };
}

/**
 * Files with their roles. On a disk where a file has one name only, a new one is there empty for a
 * moment, and stays so when its run is killed then.
 */
function withRoles(group: readonly Omit<NamedObject, "role">[]): NamedObject[] {
  const begun = group.some(({ rest }) => fileRole(rest) === "started");
  return group.map((object) => {
    const role = fileRole(object.rest);
    const written = role === "verification" || (role === "manifest" && begun);
    return { ...object, role: written && object.size === 0 ? "partial" : role };
  });
}

/** The newest first, and those of one moment in the order of their ids. */
export function newestFirst(
  a: { readonly time: number; readonly id: string },
  b: { readonly time: number; readonly id: string },
): number {
  return b.time - a.time || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** The texts of manifests, of what is left of them, and of results, by their names. */
async function readTexts(
  store: Store,
  objects: readonly NamedObject[],
): Promise<Map<string, string>> {
  const wanted = objects.filter(({ role }) =>
    role === "manifest" || role === "tombstone" || role === "verification"
  ).map(({ name }) => name);
  const texts = wanted.length === 0 ? [] : await store.readTexts(wanted);
  return new Map(wanted.map((name, index) => [name, texts[index] ?? ""]));
}

/**
 * The backup of a group of files; undefined where there is no manifest.
 *
 * @throws OperationError with the `reason` among its details
 */
function backupOf(
  group: readonly NamedObject[],
  { id, texts, store }: { id: string; texts: ReadonlyMap<string, string>; store: Store },
): Backup | undefined {
  const found = group.find(({ role }) => role === "manifest");
  if (found === undefined) return undefined;
  const contents = texts.get(found.name) ?? "";
  const manifest = parseManifest(contents, id);
  const results = group.filter(({ role }) => role === "verification").map(({ name }) => name);
  return {
    id,
    manifest,
    digest: createHash("sha256").update(contents).digest("hex"),
    place: store.kind,
    title: store.title,
    time: Date.parse(manifest.created_at),
    broken: whyBroken(manifest, group),
    ...readResults(results, { id, texts }),
    bytes: manifest.files.reduce((sum, { size }) => sum + size, 0),
    modified: found.modified,
    results,
  };
}

function readResults(
  names: readonly string[],
  { id, texts }: { id: string; texts: ReadonlyMap<string, string> },
): Pick<Backup, "verified" | "unreadable"> {
  const results: VerificationResult[] = [];
  const unreadable: string[] = [];
  for (const name of names) {
    try {
      results.push(parseVerification(texts.get(name) ?? "", id));
    } catch (error) {
      const reason = reasonOf(error);
      if (reason === undefined) throw error;
      unreadable.push(`Cannot read ${name}: ${reason}`);
    }
  }
  return { verified: knownFrom(results), unreadable };
}

/** Why something cannot be read, as its reader tells; undefined for every other failure. */
function reasonOf(error: unknown): string | undefined {
  const reason = error instanceof OperationError ? error.details["reason"] : undefined;
  return typeof reason === "string" ? reason : undefined;
}

function whyBroken({ files }: Manifest, group: readonly StoredObject[]): string | null {
  const sizes = new Map(group.map(({ name, size }) => [name, size]));
  const wrong = files.flatMap(({ name, size }) => {
    const found = sizes.get(name);
    if (found === undefined) return [`${name} is missing`];
    return found === size ? [] : [`${name} has ${found} bytes instead of ${size}`];
  });
  const [first, ...others] = wrong;
  if (first === undefined) return null;
  if (others.length === 0) return first;
  return `${first}, and ${others.length} more ${others.length === 1 ? "is" : "are"} wrong`;
}

/** Members of a directory count as the one dump that they are. */
function countUnmanaged(objects: readonly StoredObject[]): Catalogue["unmanaged"] {
  const names = new Set(objects.map(({ name }) => name.replace(/\/.*$/s, "/")));
  return {
    names: [...names].sort(),
    bytes: objects.reduce((sum, { size }) => sum + size, 0),
  };
}
