/**
 * Results of verifications, and what they say together of a backup. A result is a file of its own
 * beside the manifest, which is never rewritten, and is none itself either.
 */
import { OperationError } from "../../core/plugin.ts";
import { type Level, LEVELS } from "./levels.ts";
import { readJson, unreadable } from "./read_manifest.ts";
import { list, moment, object, oneOf, text, truth } from "./shape.ts";
import type { Store } from "./store.ts";

/** The version of a result's form. */
export const VERIFICATION_SCHEMA = 1;

/** One verification of a backup. Times are ISO 8601 in UTC. */
export interface VerificationResult {
  readonly schema: typeof VERIFICATION_SCHEMA;
  /** The backup's id. */
  readonly backup: string;
  readonly level: Level;
  readonly ok: boolean;
  readonly started_at: string;
  readonly finished_at: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** The machine's name. */
  readonly host: string;
  /** What was found, a sentence each; empty when nothing was. */
  readonly findings: readonly string[];
}

const RESULT = object({
  backup: text(/./),
  level: oneOf(...LEVELS),
  ok: truth,
  started_at: moment,
  finished_at: moment,
  tool: object({ name: text(), version: text() }),
  host: text(),
  findings: list(text()),
});

/** The name of a result's file; the time is in milliseconds since 1970. */
export function verificationName(id: string, time: number): string {
  const digits = new Date(time).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return `${id}.verify-${digits}.json`;
}

/**
 * Keeps a result beside its backup, under the name of the second in which it was finished, or of one
 * soon after that is still free.
 *
 * @returns the file's name
 */
export async function saveVerification(store: Store, result: VerificationResult): Promise<string> {
  const contents = `${JSON.stringify(result, null, 2)}\n`;
  const taken = new Set((await store.list()).map(({ name }) => name));
  for (let time = Date.parse(result.finished_at);; time += 1000) {
    const name = verificationName(result.backup, time);
    if (taken.has(name)) continue;
    try {
      await store.create(name, contents);
      return name;
    } catch (error) {
      if (!(error instanceof OperationError) || error.code !== "already_exists") throw error;
    }
  }
}

/**
 * Reads a result.
 *
 * @param id the backup's id, as the file is named
 * @throws OperationError `verification_newer` or `verification_invalid`, with the `reason` among its
 *   details
 */
export function parseVerification(contents: string, id: string): VerificationResult {
  const value = readJson(contents, { id, schema: VERIFICATION_SCHEMA, what: "verification" });
  const wrong = RESULT(value, "");
  if (wrong !== undefined) throw unreadable("verification", { id, reason: wrong });
  // The check above has looked at every member.
  const result = value as VerificationResult;
  if (result.backup !== id) {
    const reason = `it is of another backup, "${result.backup}"`;
    throw unreadable("verification", { id, reason });
  }
  return result;
}

/** What is known of a backup from its verifications. */
export interface Verified {
  /** The highest level at which it is known to be good; null for none. */
  readonly level: Level | null;
  /** When that was found, ISO 8601 in UTC. */
  readonly at: string | null;
  /** The latest result that tells of damage; null while there is none. */
  readonly damage: VerificationResult | null;
  /** The oldest first. */
  readonly results: readonly VerificationResult[];
}

/**
 * What the results say together. A backup is good at the highest level whose latest result is so,
 * unless a later one of that or a lower level says otherwise; it is damaged when the latest result
 * of a level is not good, and none of that or a higher level was good later.
 */
export function knownFrom(found: readonly VerificationResult[]): Verified {
  const results = [...found].sort(byTime);
  const latest = LEVELS.map((level) => results.findLast((result) => result.level === level));
  const isLater = (one: VerificationResult, than: VerificationResult) =>
    results.indexOf(one) > results.indexOf(than);
  const good = latest.findLast((result, at) =>
    result?.ok === true &&
    !latest.slice(0, at).some((lower) => lower?.ok === false && isLater(lower, result))
  );
  const damage = latest.filter((result, at) =>
    result?.ok === false &&
    !latest.slice(at).some((higher) => higher?.ok === true && isLater(higher, result))
  ).filter((result) => result !== undefined).sort(byTime).at(-1);
  return {
    level: good?.level ?? null,
    at: good?.finished_at ?? null,
    damage: damage ?? null,
    results,
  };
}

/** By their ends; of those that ended together, the bad ones count as the later ones. */
function byTime(a: VerificationResult, b: VerificationResult): number {
  return Date.parse(a.finished_at) - Date.parse(b.finished_at) || Number(b.ok) - Number(a.ok);
}
