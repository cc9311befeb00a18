/** Everything that stands against an operation, told at once. */
import { OperationError } from "../../core/plugin.ts";

/** What is collected. */
export interface Refusal {
  /**
   * @param reason what is wrong, as the end of a sentence
   * @param hint what to do about it
   */
  add(reason: string, hint: string, details?: Readonly<Record<string, unknown>>): void;
  /** Takes what a check refuses among the rest; everything else that it throws passes. */
  attempt(check: () => void): void;
  /** @throws OperationError of kind `refused` when there is anything */
  settle(): void;
}

/** Starts a collection. */
export function createRefusal(what: string): Refusal {
  const reasons: string[] = [];
  const hints: string[] = [];
  let details: Record<string, unknown> = {};
  const add: Refusal["add"] = (reason, hint, more = {}) => {
    reasons.push(reason);
    if (hint !== "") hints.push(hint);
    details = { ...details, ...more };
  };
  return {
    add,
    attempt(check) {
      try {
        check();
      } catch (error) {
        if (!(error instanceof OperationError) || error.kind !== "refused") throw error;
        // The reason is the end of a sentence here.
        const reason = error.message.replace(/^(?:Refused: )?Cannot [^:]*: /, "")
          .replace(/; nothing was changed$/, "");
        add(reason, error.hint ?? "", error.details);
      }
    },
    settle() {
      if (reasons.length === 0) return;
      throw new OperationError(`Refused: ${what}: ${reasons.join("; ")}; nothing was changed`, {
        kind: "refused",
        code: "restore_refused",
        hint: hints.join("\n      "),
        details: { ...details, reasons },
      });
    },
  };
}

/** Some names for people, and how many more there are. */
export function listed(names: readonly string[], most = 5): string {
  const more = names.length - most;
  return names.slice(0, most).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
