/** What a restore in place leaves of the tool's own state, which tells of the database that is there. */
import { OWN_SCHEMA } from "./bookkeeping.ts";
import type { Entry } from "./table_of_contents.ts";
import { keyOf, type TargetContents } from "./target.ts";

/** The table of who changed what, which the core keeps. */
const AUDIT = "audit";

/**
 * The entries without the audit where the target has its own, and without the schema it is in: it
 * goes on, and neither stands in the way of a restore nor is dropped by one.
 */
export function besideOwnState(
  entries: readonly Entry[],
  contents: TargetContents | undefined,
): readonly Entry[] {
  const has = (key: string) => contents?.objects.has(key) === true;
  if (!has(keyOf("schema", "", OWN_SCHEMA))) return entries;
  const audit = has(keyOf("relation", OWN_SCHEMA, AUDIT));
  const left = entries.filter((entry) => !isSchema(entry) && !(audit && isAudit(entry)));
  return left.length === entries.length ? entries : left;
}

/** With its comment and privileges, whose tags name it too. */
function isSchema({ kind, schema, tag }: Entry): boolean {
  return kind === "SCHEMA" && tag === OWN_SCHEMA ||
    schema === "" && tag === `SCHEMA ${OWN_SCHEMA}`;
}

function isAudit({ schema, tag }: Entry): boolean {
  return schema === OWN_SCHEMA &&
    (tag === AUDIT || tag.startsWith(`${AUDIT} `) || tag === `TABLE ${AUDIT}` ||
      tag.startsWith(`COLUMN ${AUDIT}.`));
}
