/** Retention carried out in one place: looked at, decided, and looked at again before each removal. */
import { OperationError } from "../../core/plugin.ts";
import { type Backup, type Catalogue, newestFirst, readCatalogue } from "./catalogue.ts";
import { MANIFEST_SUFFIX } from "./manifest.ts";
import { fileRole, parseBackupName } from "./names.ts";
import { removeBackup } from "./remove.ts";
import { candidateOf, type Decision, planRetention, type Policy } from "./retention.ts";
import type { Store, StoredObject } from "./store.ts";

/** How a place is pruned. */
export interface PruneOptions {
  readonly policy: Policy;
  /** The current time in milliseconds since 1970. */
  now(): number;
  /** Only decides. */
  readonly dryRun: boolean;
  /** Backups of other databases are left out. */
  readonly database?: string | undefined;
  /** The one that was just made: it stays, though a clock may have made it look older than others. */
  readonly made?: string | undefined;
  /** Ends the work between two removals. */
  readonly signal: AbortSignal;
}

/** What became of one backup. */
export interface Pruned {
  readonly backup: Backup;
  readonly action: Decision["action"];
  readonly reasons: readonly string[];
  /** Whether it is gone. */
  readonly removed: boolean;
}

/** What a pruning did. */
export interface PruneReport {
  readonly place: Store["kind"];
  readonly title: string;
  /** The newest first. */
  readonly backups: readonly Pruned[];
  /** What could not be removed or read, a sentence each. */
  readonly problems: readonly string[];
}

/** A place that changes each time that it is looked at is not pruned for ever. */
const ATTEMPTS = 20;

/**
 * Removes the backups of one place that a policy does not keep, the oldest first. What was decided
 * holds as long as nothing else changes there; otherwise it is decided anew.
 *
 * @throws OperationError when the place cannot be read
 */
export async function pruneStore(store: Store, options: PruneOptions): Promise<PruneReport> {
  const done = new Map<string, Pruned>();
  const problems = new Map<string, string>();
  for (let idle = 0;;) {
    const catalogue = await readCatalogue(store);
    const decided = decide(catalogue, options);
    const wanted = decided.filter(({ action, backup }) =>
      action === "remove" && !done.has(backup.digest)
    ).reverse();
    const before = done.size;
    const settled = options.dryRun || wanted.length === 0 ||
      await removeAll(store, wanted, { catalogue, options, done, problems });
    idle = done.size > before ? 0 : idle + 1;
    if (!settled && idle < ATTEMPTS) continue;
    if (!settled) problems.set("", `${store.title} goes on changing: not all was removed`);
    const rest = decided.filter(({ backup }) => !done.has(backup.digest));
    return {
      place: store.kind,
      title: store.title,
      backups: [...done.values(), ...rest].sort((a, b) => newestFirst(a.backup, b.backup)),
      problems: [...unreadableOf(catalogue), ...problems.values()],
    };
  }
}

function decide(catalogue: Catalogue, { policy, now, database, made }: PruneOptions): Pruned[] {
  const backups = catalogue.backups.filter(({ manifest }) =>
    database === undefined || manifest.source.database === database
  );
  const candidates = backups.map(candidateOf).map((each) =>
    each.id === made ? { ...each, held: each.held ?? "just made" } : each
  );
  const decisions = planRetention(candidates, { policy, now: now() });
  return backups.flatMap((backup, index) => {
    const decision = decisions[index];
    if (decision === undefined) return [];
    const { action, reasons } = decision;
    return [{ backup, action, reasons, removed: false }];
  });
}

/** Removes what was decided; false when the place changed meanwhile, and must be looked at anew. */
async function removeAll(
  store: Store,
  wanted: readonly Pruned[],
  { catalogue, options, done, problems }: {
    catalogue: Catalogue;
    options: PruneOptions;
    done: Map<string, Pruned>;
    problems: Map<string, string>;
  },
): Promise<boolean> {
  let expected = catalogue.objects;
  for (const each of wanted) {
    const { backup } = each;
    options.signal.throwIfAborted();
    const found = await store.list();
    if (stateOf(found) !== stateOf(expected)) return false;
    try {
      if (!await removeBackup(store, backup)) return false;
    } catch (error) {
      // A place that cannot be reached is no matter of this one backup.
      if (!(error instanceof OperationError) || error.kind === "connection") throw error;
      done.set(backup.digest, each);
      problems.set(backup.digest, `Cannot remove backup "${backup.id}": ${error.message}`);
      return false;
    }
    done.set(backup.digest, { ...each, removed: true });
    const gone = namesOf(backup);
    expected = found.filter(({ name }) => !gone.has(name));
  }
  return true;
}

function namesOf({ id, manifest, results }: Backup): Set<string> {
  return new Set([
    `${id}${MANIFEST_SUFFIX}`,
    ...manifest.files.map(({ name }) => name),
    ...results,
  ]);
}

/**
 * What a decision rests on: which manifests, results and dumps there are. They are never rewritten,
 * so that a listing tells whether they are the same. What runs write meanwhile changes nothing before
 * its manifest is there.
 */
function stateOf(objects: readonly StoredObject[]): string {
  const lines = objects.flatMap(({ name, size, modified }) => {
    const parsed = parseBackupName(name);
    const role = parsed && fileRole(parsed.rest);
    return role === undefined || role === "partial" || role === "started" || role === "other"
      ? []
      : [`${name}\t${size}\t${modified}`];
  });
  return lines.sort().join("\n");
}

function unreadableOf({ unreadable, title }: Catalogue): string[] {
  return unreadable.map(({ name, reason }) => `Cannot read ${name} in ${title}: ${reason}`);
}
