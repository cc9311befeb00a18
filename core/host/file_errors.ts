/** Errors of the file system, in words: the action, the path and the reason. */
import { OperationError } from "../plugin.ts";

/** Does file work; what fails is told as `worded` tells it. */
export async function attempt<T>(
  action: string,
  path: string,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw inWords(error, { action, path });
  }
}

/** The same for what may not be there: undefined stands for that. */
export function optional<T>(
  action: string,
  path: string,
  work: () => T | Promise<T>,
): Promise<T | undefined> {
  return attempt(action, path, async () => {
    try {
      return await work();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  });
}

/** Whether there is nothing at a path. */
export function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

/**
 * Does file work without a wait.
 *
 * @param path tells which file it fails with
 * @throws OperationError that tells the action, the path and the reason
 */
export function worded<T>(action: string, path: () => string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw inWords(error, { action, path: path() });
  }
}

/** The system's name for an error, such as `ENOSPC`. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

function inWords(
  error: unknown,
  { action, path }: { readonly action: string; readonly path: string },
): OperationError {
  const [code, reason] = reasonOf(error);
  return new OperationError(`Cannot ${action} "${path}": ${reason}`, {
    code,
    cause: error,
    details: { path },
  });
}

function reasonOf(error: unknown): [code: string, reason: string] {
  const system = systemCode(error);
  if (system === "ENOSPC") return ["no_space", "no space is left on the disk"];
  if (system === "EDQUOT") return ["no_space", "the quota of the disk is used up"];
  if (error instanceof Deno.errors.NotFound) {
    return ["not_found", "there is no such file or directory"];
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return ["permission_denied", "permission is denied"];
  }
  if (error instanceof Deno.errors.AlreadyExists) return ["already_exists", "it exists already"];
  if (error instanceof Deno.errors.NotADirectory) {
    return ["not_a_directory", "it is not a directory"];
  }
  if (error instanceof Deno.errors.IsADirectory) return ["is_a_directory", "it is a directory"];
  return ["file_error", error instanceof Error ? error.message : String(error)];
}
