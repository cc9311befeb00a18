/** Whether the database has the schema that the migrations give it. */
import { OperationError } from "../../core/plugin.ts";
import type { Check, Finding, Server } from "./check.ts";

/** What `migrate status` returns, as far as it counts here. */
export interface MigrationStatus {
  readonly applied: number;
  readonly pending: number;
  readonly last_applied_at: string | null;
  readonly problems: readonly MigrationProblem[];
}

/** What `migrate status` has found wrong. */
export interface MigrationProblem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** What `migrate` itself only warns of. */
const HARMLESS: ReadonlySet<string> = new Set(["out_of_order", "unversioned_file"]);

/** The number of problems that are told one by one. */
const TOLD = 3;

/** What `migrate status` tells. */
export const migrations: Check = {
  needs: "database",
  async run({ context }: Server) {
    try {
      // With --exit-code it returns what it finds instead of logging it.
      const { data } = await context.run("migrate status", { flags: { "exit-code": true } });
      return judgeMigrations(data as MigrationStatus);
    } catch (error) {
      if (!(error instanceof OperationError) || error.code !== "not_found") throw error;
      return {
        status: "warning",
        message: error.message,
        remedy: error.hint ?? "Set MIGRATIONS_DIR",
      };
    }
  },
};

/** Judges the state of the migrations. */
export function judgeMigrations(status: MigrationStatus): Finding {
  const { applied, pending, problems } = status;
  const details = {
    applied,
    pending,
    last_applied_at: status.last_applied_at,
    problems: problems.map(({ code, message }) => ({ code, message })),
  };
  const broken = problems.filter(({ code }) => !HARMLESS.has(code));
  const counts = `${applied} applied, ${pending} pending`;
  if (problems.length === 0 && pending === 0) {
    return { status: "ok", message: counts, details };
  }
  const grave = broken.length > 0 ? broken : problems;
  const told = grave.slice(0, TOLD).map(({ message }) => message);
  const more = grave.length > TOLD ? [`${grave.length - TOLD} more problems`] : [];
  const hints = new Set(grave.flatMap(({ hint }) => hint ?? []));
  // What is broken comes first: until it is mended `migrate` refuses to run.
  const next = broken.length === 0 && pending > 0 ? ["Run `observatory migrate`"] : [];
  return {
    status: broken.length > 0 ? "failed" : "warning",
    message: [counts, ...told, ...more].join("; "),
    remedy: [...hints, ...next].join("\n"),
    details,
  };
}
