/**
 * Plugins that took all the time or memory they may while they were loaded. Each run would pay for
 * that again, so the next ones are told what came of it.
 */

import { OperationError } from "../plugin.ts";
import type { PluginCache } from "./cache.ts";

/** Milliseconds for which it is not tried again: long enough for a job of several commands. */
const KEPT = 10 * 60 * 1000;

/** What took time; any other failure is soon seen again. */
const COSTLY: ReadonlySet<string> = new Set(["plugin_hung", "plugin_memory"]);

type Failures = Pick<PluginCache, "recall" | "remember">;

/** Keeps why a plugin could not be loaded, if it took long to find out. */
export function keepFailure(
  cache: Failures,
  { hash, error }: { readonly hash: string; readonly error: unknown },
): void {
  if (!(error instanceof OperationError) || !COSTLY.has(error.code)) return;
  const { code, message } = error;
  cache.remember("failure", hash, { code, message, at: Date.now() });
}

/**
 * Why a plugin could not be loaded a short while ago.
 *
 * @param options.path its file, for what is told
 */
export function keptFailure(
  cache: Failures,
  { hash, path }: { readonly hash: string; readonly path: string },
): OperationError | undefined {
  const kept = cache.recall("failure", hash);
  if (typeof kept !== "object" || kept === null) return undefined;
  const { code, message, at } = kept as Record<string, unknown>;
  if (typeof code !== "string" || !COSTLY.has(code) || typeof message !== "string") {
    return undefined;
  }
  const ago = typeof at === "number" ? Date.now() - at : -1;
  if (ago < 0 || ago > KEPT) return undefined;
  return new OperationError(`${message}, ${ageOf(ago)} ago`, {
    code,
    hint: `It is tried again later, or by: observatory plugin check ${path}`,
  });
}

function ageOf(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
