/**
 * What runs have left that broke off: of a backup that was never finished, or of one whose removal
 * was not. Only what is known as ours is.
 */
import type { NamedObject } from "./catalogue.ts";
import { TOMBSTONE_SUFFIX } from "./names.ts";
import { parseManifest } from "./read_manifest.ts";
import type { Store, StoredObject } from "./store.ts";

/** What is left of one backup. */
export interface Leftover {
  readonly id: string;
  /**
   * `removed`: its manifest has been taken away, and what it told of has not. `unfinished`: it has
   * no manifest yet, or never will. `beside`: markers beside a backup that has one.
   */
  readonly kind: "removed" | "unfinished" | "beside";
  /** What of it is there, in the order in which it is to be removed: the last one tells whose the others are. */
  readonly files: readonly StoredObject[];
  /** When any of it was last written, in milliseconds since 1970. */
  readonly modified: number;
}

/** What a group of files is seen with. */
interface Around {
  readonly id: string;
  /** What the backup's manifest names; undefined while there is none. */
  readonly names: ReadonlySet<string> | undefined;
  readonly texts: ReadonlyMap<string, string>;
  readonly store: Store;
}

/**
 * Finds in the files of one backup what is left over, and dumps that are not known as ours.
 *
 * @throws OperationError `manifest_newer` or `manifest_invalid`, of one that was to be removed
 */
export async function leftoverOf(
  group: readonly NamedObject[],
  { id, names, texts, store }: Around,
): Promise<{ leftover?: Leftover; foreign: readonly NamedObject[] }> {
  const of = (...roles: NamedObject["role"][]) => group.filter(({ role }) => roles.includes(role));
  const data = of("data", "globals").filter(({ name }) => names?.has(name) !== true);
  const markers = [...of("partial"), ...of("started")];
  const tombstones = of("tombstone");
  if (names !== undefined) {
    // A tombstone beside it may be that of a removal that goes on: it goes with the backup.
    return leftoverAnd(data, { id, kind: "beside", files: markers });
  }
  const tombstone = texts.get(`${id}${TOMBSTONE_SUFFIX}`);
  if (tombstone !== undefined) {
    const told = new Set(
      parseManifest(tombstone, id).files.flatMap(({ name }) => [name, directoryOf(name)]),
    );
    const files = [...data.filter(({ name }) => told.has(name)), ...of("verification"), ...markers];
    const foreign = data.filter(({ name }) => !told.has(name));
    return leftoverAnd(foreign, { id, kind: "removed", files: [...files, ...tombstones] });
  }
  const { ours, foreign } = await divide(data, { store, begun: of("started").length > 0 });
  const results = foreign.length === 0 ? of("verification") : [];
  return leftoverAnd(foreign, {
    id,
    kind: "unfinished",
    files: [...ours, ...results, ...markers],
  });
}

/** The directory that a file is a member of: without members it stands there itself. */
function directoryOf(name: string): string {
  return name.slice(0, name.lastIndexOf("/") + 1);
}

function leftoverAnd(
  foreign: readonly NamedObject[],
  { id, kind, files }: Omit<Leftover, "modified" | "files"> & { files: readonly NamedObject[] },
): { leftover?: Leftover; foreign: readonly NamedObject[] } {
  if (files.length === 0) return { foreign };
  const modified = Math.max(...files.map((file) => file.modified));
  const plain = files.map((file): StoredObject => ({
    name: file.name,
    size: file.size,
    modified: file.modified,
  }));
  return { foreign, leftover: { id, kind, files: plain, modified } };
}

/**
 * Divides dumps without a manifest. Where the place keeps with a file who wrote it, that counts;
 * elsewhere the marker of a run does. Of a directory one member is asked for.
 */
async function divide(
  data: readonly NamedObject[],
  { store, begun }: { store: Store; begun: boolean },
): Promise<{ ours: NamedObject[]; foreign: NamedObject[] }> {
  const known = new Map<string, boolean>();
  const ours: NamedObject[] = [];
  const foreign: NamedObject[] = [];
  for (const object of data) {
    const whole = object.name.replace(/\/.*$/s, "/");
    const own = known.get(whole) ?? await store.isOurs?.(object.name) ?? begun;
    known.set(whole, own);
    (own ? ours : foreign).push(object);
  }
  return { ours, foreign };
}
