/**
 * The collection of what broken-off runs have left. Nothing that has a manifest is touched, and
 * nothing that is not known as ours.
 */
import { OperationError } from "../../core/plugin.ts";
import { type Catalogue, readCatalogue } from "./catalogue.ts";
import type { Leftover } from "./leftovers.ts";
import { fileRole, parseBackupName } from "./names.ts";
import { removeFiles } from "./remove.ts";
import type { Store, StoredObject, StoredUpload } from "./store.ts";
import { DAY } from "./times.ts";

/** What was written within that time may be the work of a run that goes on. */
export const LEFT_ALONE = DAY;

/** How leftovers are collected. */
export interface CollectOptions {
  /** The current time in milliseconds since 1970. */
  now(): number;
  /** Only tells. */
  readonly dryRun: boolean;
  /** Ends the work between two removals. */
  readonly signal: AbortSignal;
}

/** One leftover, and what became of it. */
export interface Collected {
  readonly id: string;
  readonly kind: Leftover["kind"] | "upload";
  /** The names of its files; of an upload, what the file was to be called. */
  readonly names: readonly string[];
  /** Bytes; null where the place does not tell. */
  readonly bytes: number | null;
  /** When any of it was last written, in milliseconds since 1970. */
  readonly modified: number;
  readonly action: "remove" | "keep";
  readonly reason: string;
  /** Whether it is gone. */
  readonly removed: boolean;
}

/** What a collection did in one place. */
export interface CollectReport {
  readonly place: Store["kind"];
  readonly title: string;
  readonly leftovers: readonly Collected[];
  /** What could not be removed, a sentence each. */
  readonly problems: readonly string[];
}

/** What all leftovers of a place are looked at with. */
interface Around {
  readonly store: Store;
  readonly options: CollectOptions;
  readonly catalogue: Catalogue;
  readonly uploads: readonly StoredUpload[];
}

/**
 * Collects what runs have left in one place: what a removal has left at once, the rest when nothing
 * of it was written for a day.
 *
 * @throws OperationError when the place cannot be read
 */
export async function collectGarbage(
  store: Store,
  options: CollectOptions,
): Promise<CollectReport> {
  const catalogue = await readCatalogue(store);
  const uploads = (await store.listUploads?.() ?? [])
    .filter(({ name }) => parseBackupName(name) !== undefined);
  const around = { store, options, catalogue, uploads };
  const leftovers: Collected[] = [];
  const problems: string[] = [];
  for (const each of [...catalogue.leftovers, ...uploads]) {
    const judged = "uploadId" in each ? judgeUpload(each, around) : judgeFiles(each, around);
    if (judged.action === "keep" || options.dryRun) {
      leftovers.push(judged);
      continue;
    }
    options.signal.throwIfAborted();
    try {
      leftovers.push({
        ...judged,
        ...("uploadId" in each ? await abort(each, around) : await remove(each, around)),
      });
    } catch (error) {
      // A place that cannot be reached is no matter of this one leftover.
      if (!(error instanceof OperationError) || error.kind === "connection") throw error;
      leftovers.push(judged);
      problems.push(`Cannot remove what is left of "${judged.id}": ${error.message}`);
    }
  }
  return { place: store.kind, title: store.title, leftovers, problems };
}

/** Whether a leftover is to be collected, and why or why not. */
export function judgeLeftover(
  { id, kind, files, modified }: Leftover,
  { now, uploads }: { now: number; uploads: readonly StoredUpload[] },
): Pick<Collected, "action" | "reason"> {
  // A new backup of the name of a removed one is a run like every other.
  const begun = files.some(({ name }) => isMarker(name));
  if (kind === "removed" && !begun) {
    return { action: "remove", reason: "its removal broke off" };
  }
  const written = uploads.filter(({ name }) => parseBackupName(name)?.id === id)
    .map((upload) => upload.modified);
  const latest = Math.max(modified, ...written);
  if (now - latest < LEFT_ALONE) return { action: "keep", reason: "written within the last day" };
  return {
    action: "remove",
    reason: kind === "beside" ? "left beside a finished backup" : "its run broke off",
  };
}

function isMarker(name: string): boolean {
  const role = fileRole(parseBackupName(name)?.rest ?? "");
  return role === "started" || role === "partial";
}

function judgeFiles(leftover: Leftover, { options, uploads }: Around): Collected {
  const { id, kind, files, modified } = leftover;
  return {
    id,
    kind,
    names: files.map(({ name }) => name),
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    modified,
    ...judgeLeftover(leftover, { now: options.now(), uploads }),
    removed: false,
  };
}

function judgeUpload({ name, modified }: StoredUpload, { options, catalogue }: Around): Collected {
  const id = parseBackupName(name)?.id ?? name;
  // Other files of the same backup may be written just now: all are the work of one run.
  const beside = catalogue.leftovers.find((leftover) => leftover.id === id)?.modified ?? modified;
  const old = options.now() - Math.max(modified, beside) >= LEFT_ALONE;
  return {
    id,
    kind: "upload",
    names: [name],
    bytes: null,
    modified,
    action: old ? "remove" : "keep",
    reason: old ? "its run broke off" : "written within the last day",
    removed: false,
  };
}

type Outcome = Partial<Collected>;

async function abort(upload: StoredUpload, { store }: Around): Promise<Outcome> {
  await store.abortUpload?.(upload);
  return { removed: true };
}

async function remove(
  { id, kind, files }: Leftover,
  { store, catalogue }: Around,
): Promise<Outcome> {
  // A run may have gone on meanwhile, or have finished.
  if (stateOf(await store.list(), id) !== stateOf(catalogue.objects, id)) {
    return { action: "keep", reason: "it changed just now" };
  }
  const names: string[] = [];
  for (const { name } of files) {
    if (await isOurs(store, { name, kind })) names.push(name);
  }
  await removeFiles(store, names);
  return { removed: true, names };
}

/** Whether a file of a leftover is known as ours: of a directory only one member was asked for. */
async function isOurs(
  store: Store,
  { name, kind }: { name: string; kind: Leftover["kind"] },
): Promise<boolean> {
  if (kind !== "unfinished" || store.isOurs === undefined) return true;
  return !name.includes("/") || isMarker(name) || await store.isOurs(name);
}

function stateOf(objects: readonly StoredObject[], id: string): string {
  return objects.filter(({ name }) => parseBackupName(name)?.id === id)
    .map(({ name, size, modified }) => `${name}\t${size}\t${modified}`).join("\n");
}
