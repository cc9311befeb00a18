/** What the server tells of itself and its sessions. */
import { printable, ProtocolError } from "./message_reader.ts";

/** Where a session stands with its transaction. */
export type TransactionStatus = "idle" | "in transaction" | "failed";

/** Reads the status that the server tells when it is ready. */
export function statusOf(code: number): TransactionStatus {
  switch (code) {
    case 0x49: // I
      return "idle";
    case 0x54: // T
      return "in transaction";
    case 0x45: // E
      return "failed";
    default:
      throw new ProtocolError(`a transaction status ${printable(code)} is unknown`);
  }
}

/** A version's number: 150018 for `15.18 (Debian)`, 170000 for `17beta1`, 90624 for `9.6.24`. */
export function versionNumber(version: string): number {
  const match = /^(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(version);
  const [major, minor, patch] = [1, 2, 3].map((group) => Number(match?.[group] ?? 0));
  if (major === undefined || minor === undefined || patch === undefined) return 0;
  return major >= 10 ? major * 10000 + minor : major * 10000 + minor * 100 + patch;
}
