/** `migrate check`: finds what is wrong with the files, without a database. */
import type { Context, Result } from "../../core/plugin.ts";
import { planMigrations } from "./plan.ts";
import { refuse } from "./problems.ts";
import { readScripts } from "./script.ts";
import { directoriesOf, readSource } from "./source.ts";
import { told } from "./told.ts";

/** What is asked for. */
export interface CheckOptions {
  readonly directories: readonly string[];
  readonly strict: boolean;
}

/**
 * Checks every file as a run on an empty database would before it applies the first.
 *
 * @throws OperationError of kind `refused` that tells everything found
 */
export async function check(context: Context, options: CheckOptions): Promise<Result> {
  const source = await readSource(context, directoriesOf(context, options.directories));
  const plan = planMigrations({
    files: source.files,
    history: undefined,
    checksumOf: () => undefined,
    bytesOf: () => undefined,
    ignoreMissing: true,
    strict: options.strict,
  });
  const { problems, warnings } = await readScripts(plan.pending, {
    files: context.files,
    contents: source.contents,
    firstWhileSent: false,
  });
  for (const warning of [...plan.warnings, ...warnings]) context.log.warn(warning);
  refuse([...plan.problems, ...problems]);
  const count = plan.pending.length;
  return {
    data: { migrations: plan.pending.map(told) },
    text: count === 1 ? "1 migration can be applied" : `${count} migrations can be applied`,
  };
}
