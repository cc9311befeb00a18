/** Whether restores have left databases behind: kept ones on purpose, others by runs that were killed. */
import { type Beside, isWork, listBeside } from "../database/beside.ts";
import { sizeText } from "../repository/size.ts";
import { ageText } from "../repository/times.ts";
import type { Check, Finding, Server } from "./check.ts";

/** What restores have left on the server. */
export const restores: Check = {
  needs: "server",
  async run({ context, session }: Server) {
    const { database } = context.db.target;
    return judgeRestores(await listBeside(session), { database, now: context.now() });
  },
};

/** Judges the databases beside others, at a time in milliseconds since 1970. */
export function judgeRestores(
  beside: readonly Beside[],
  { database, now }: { readonly database: string; readonly now: number },
): Finding {
  const kept = beside.filter(({ mark }) => !isWork(mark) && mark.database === database);
  const left = beside.filter(({ mark, alive }) => isWork(mark) && !alive);
  const details = {
    kept: kept.map(({ name, size, mark }) => ({ name, bytes: size, kept_at: mark.at })),
    left: left.map(({ name, size, mark }) => ({ name, bytes: size, made_at: mark.at })),
  };
  const told = ({ name, size, mark: { at } }: Beside) =>
    `"${name}" (${size === null ? "size unknown" : sizeText(size)}, ${
      ageText(now - Date.parse(at))
    } old)`;
  const messages = [
    ...kept.length === 0 ? [] : [`Kept by restores: ${kept.map(told).join(", ")}`],
    ...left.length === 0 ? [] : [`Left by runs that were killed: ${left.map(told).join(", ")}`],
  ];
  if (messages.length === 0) {
    return { status: "ok", message: "No database is left of a restore", details };
  }
  const remedies = [
    ...kept.length === 0 ? [] : [
      "observatory restore --finish drops what is kept; --undo brings it back",
    ],
    ...left.length === 0 ? [] : ["The next restore or backup verify drops what was left"],
  ];
  return {
    status: "warning",
    message: messages.join("; "),
    remedy: remedies.join("\n"),
    details,
  };
}
