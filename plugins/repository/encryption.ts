/** Encryption by age: for recipients, whose keys are not on the machine that makes backups. */
import { OperationError } from "../../core/plugin.ts";
import { loadAge } from "./packages.ts";

/**
 * Makes sure that the recipients can be encrypted for, before anything is.
 *
 * @throws OperationError of kind `usage` that names the first one that cannot
 */
export async function requireRecipients(recipients: readonly string[]): Promise<void> {
  const { Encrypter } = await loadAge();
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    // Whoever confuses the two must not find the secret in a log.
    if (/^AGE-SECRET-KEY/i.test(recipient)) {
      throw unusable("an identity was given, which is the secret that decrypts", recipient, false);
    }
    try {
      encrypter.addRecipient(recipient);
    } catch (error) {
      throw unusable(error instanceof Error ? error.message : String(error), recipient, true);
    }
  }
}

function unusable(reason: string, recipient: string, shown: boolean): OperationError {
  return new OperationError(
    `Cannot encrypt for ${shown ? JSON.stringify(recipient) : "this recipient"}: ${reason}`,
    {
      kind: "usage",
      code: "bad_recipient",
      hint: "A recipient begins with age1; `age-keygen` makes one with its identity, " +
        "which is kept elsewhere",
    },
  );
}

/** Encrypts a stream; what it fails with, the encrypted one fails with too. */
export async function encryptFor(
  recipients: readonly string[],
  data: ReadableStream<Uint8Array>,
): Promise<ReadableStream<Uint8Array>> {
  const { Encrypter } = await loadAge();
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  return await encrypter.encrypt(data);
}
