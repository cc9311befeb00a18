/** Decryption of backups by age. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { loadAge } from "./packages.ts";

/**
 * Reads the identities of a file as `age-keygen` writes it: a secret key in each line, and comments.
 *
 * @throws OperationError of kind `usage` when there is none in it
 */
export async function readIdentities(
  { files }: Pick<Context, "files">,
  path: string,
): Promise<string[]> {
  const [bytes] = await files.readAll([path]);
  const lines = new TextDecoder().decode(bytes).split(/\r?\n/).map((line) => line.trim());
  const identities = lines.filter((line) => line !== "" && !line.startsWith("#"));
  const wrong = identities.findIndex((line) => !/^AGE-SECRET-KEY-/i.test(line));
  if (identities.length > 0 && wrong < 0) return identities;
  throw new OperationError(`Cannot use "${path}" as an identity: it holds no secret key of age`, {
    kind: "usage",
    code: "bad_identity",
    hint: "`age-keygen` writes one; its line begins with AGE-SECRET-KEY-",
  });
}

/**
 * Decrypts a stream.
 *
 * @throws OperationError of kind `usage` when none of the identities is a recipient's; the stream
 *   fails with `bad_archive` where it was changed or cut
 */
export async function decryptWith(
  identities: readonly string[],
  data: ReadableStream<Uint8Array>,
): Promise<ReadableStream<Uint8Array>> {
  const { Decrypter } = await loadAge();
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  let plain: ReadableStream<Uint8Array>;
  try {
    plain = await decrypter.decrypt(data);
  } catch (error) {
    if (error instanceof OperationError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    if (!/no identity matched/.test(reason)) throw damaged(reason, error);
    throw new OperationError("Cannot decrypt the backup: it is encrypted for other identities", {
      kind: "usage",
      code: "other_identity",
      hint: "`observatory backup show` tells for whom",
      cause: error,
    });
  }
  return ReadableStream.from(worded(plain));
}

async function* worded(plain: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* plain;
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw damaged(error instanceof Error ? error.message : String(error), error);
  }
}

function damaged(reason: string, cause: unknown): OperationError {
  return new OperationError(`The encryption is damaged: ${reason}`, {
    code: "bad_archive",
    cause,
  });
}
