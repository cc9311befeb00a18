/** `verify`: looks at the live installation, and changes nothing. */
import { type Context, DatabaseError, OperationError, type Result } from "../../core/plugin.ts";
import type { Check, Finding, Reached, Status, Subject } from "./check.ts";
import { CHECK_NAMES, type CheckName } from "./names.ts";
import { reach } from "./reach.ts";
import { CHECKS } from "./registry.ts";

/** What is asked for. */
export interface VerifyOptions {
  /** The only checks to make; all when it is empty. */
  readonly only: readonly CheckName[];
  readonly skip: readonly CheckName[];
  /** Whether warnings count as problems too. */
  readonly strict: boolean;
}

/** One check's finding with its name. */
export interface NamedFinding extends Finding {
  readonly name: CheckName;
}

/**
 * Makes the checks, one after the other; one that fails does not keep the next from being made.
 *
 * @throws OperationError of kind `connection` when the server cannot be reached or is lost
 */
export async function verify(context: Context, options: VerifyOptions): Promise<Result> {
  const names = chosen(options);
  let reaching: Promise<Reached> | undefined;
  const subject: Subject = { context, reach: () => reaching ??= reach(context) };
  const findings: NamedFinding[] = [];
  for (const name of names) {
    context.progress({ label: `Checking ${name}`, done: findings.length, total: names.length });
    findings.push({ name, ...await findingOf(CHECKS[name], subject) });
  }
  context.progress(null);
  return resultOf(findings, { database: context.db.target.database, strict: options.strict });
}

function chosen({ only, skip }: VerifyOptions): CheckName[] {
  const names = CHECK_NAMES.filter((name) =>
    (only.length === 0 || only.includes(name)) && !skip.includes(name)
  );
  if (names.length > 0) return names;
  throw new OperationError("No check is left: --skip names all that --only asks for", {
    kind: "usage",
    code: "usage",
  });
}

async function findingOf(check: Check, subject: Subject): Promise<Finding> {
  if (check.needs === "nothing") return await foundBy(() => check.run(subject), subject);
  // Without a connection the run ends.
  const { server, exists } = await subject.reach();
  if (server === undefined || (check.needs === "database" && !exists)) {
    return {
      status: "skipped",
      message: server === undefined
        ? "No database of the server lets this role in"
        : "The database does not exist",
    };
  }
  return await foundBy(() => check.run(server), subject);
}

/** What a check finds, or else what it throws, as a finding. */
async function foundBy(run: () => Promise<Finding>, subject: Subject): Promise<Finding> {
  try {
    return await run();
  } catch (error) {
    subject.context.signal.throwIfAborted();
    // A bug is told as one.
    if (!(error instanceof OperationError)) throw error;
    if (error.kind === "connection") {
      // Where the server has been lost, or was never reached, this ends the run; what is left is
      // one more connection that it refused.
      const { server } = await subject.reach();
      await server?.session.query("SELECT 1");
    }
    return failureOf(error);
  }
}

const INSUFFICIENT_PRIVILEGE = "42501";

function failureOf(error: OperationError): Finding {
  const { message, hint, code } = error;
  const remedy = hint === undefined ? {} : { remedy: hint };
  if (!(error instanceof DatabaseError)) {
    return { status: "failed", message, ...remedy, details: { code } };
  }
  const { sqlstate, message: told } = error.server;
  if (sqlstate === INSUFFICIENT_PRIVILEGE) {
    return { status: "skipped", message: `The role may not look: ${told}`, details: { sqlstate } };
  }
  return {
    status: "failed",
    message: `The server reports: ${told} (SQLSTATE ${sqlstate})`,
    ...remedy,
    details: { code, sqlstate },
  };
}

/** The result of all findings. */
export function resultOf(
  findings: readonly NamedFinding[],
  { database, strict }: { readonly database: string; readonly strict: boolean },
): Result {
  const count = (wanted: Status) => findings.filter(({ status }) => status === wanted).length;
  const counts = {
    ok: count("ok"),
    warnings: count("warning"),
    failed: count("failed"),
    skipped: count("skipped"),
  };
  const problems = findings
    .filter(({ status }) => status === "failed" || (strict && status === "warning"))
    .map(({ name, message }) => `${name}: ${message}`);
  return {
    data: { database, checks: findings, ...counts },
    text: textOf(findings, counts),
    ...(problems.length === 0 ? {} : { problems }),
  };
}

interface Counts {
  readonly ok: number;
  readonly warnings: number;
  readonly failed: number;
  readonly skipped: number;
}

const STATUS_WIDTH = "warning".length;

function textOf(findings: readonly NamedFinding[], counts: Counts): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const indent = " ".repeat(STATUS_WIDTH + 2 + width + 2);
  const lines = findings.flatMap(({ status, name, message, remedy }) => [
    `${status.padEnd(STATUS_WIDTH)}  ${name.padEnd(width)}  ${printable(message)}`,
    ...(remedy?.split("\n").map((line) => `${indent}${printable(line)}`) ?? []),
  ]);
  return [...lines, "", summaryOf(findings.length, counts)].join("\n");
}

/** One line without control characters: names and messages of the server must not steer the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}

function summaryOf(total: number, { ok, warnings, failed, skipped }: Counts): string {
  const parts = [
    `${ok} ok`,
    warnings === 1 ? "1 warning" : `${warnings} warnings`,
    `${failed} failed`,
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return `${total === 1 ? "1 check" : `${total} checks`}: ${parts.join(", ")}`;
}
