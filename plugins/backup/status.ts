/** `backup status`: whether the newest backup is new enough; the one line that a monitor needs. */
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { readCatalogue } from "../repository/catalogue.ts";
import type { Level } from "../repository/levels.ts";
import { type Listed, listedOf, newestFull, troublesOf } from "../repository/listed.ts";
import { type Places, withStores } from "../repository/stores.ts";
import {
  ageText,
  DURATION_FORM,
  durationText,
  parseDuration,
  timeText,
} from "../repository/times.ts";
import { dataOf, whereText } from "./list.ts";

/** What is asked for. */
export interface StatusOptions extends Places {
  readonly database: string;
  /** Such as `26h`; without it any age will do. */
  readonly maxAge: string | undefined;
  /** The least level at which the newest one must be known to be good. */
  readonly level: Level | undefined;
}

/**
 * Looks for the newest full backup of a database.
 *
 * @returns that it is too old, or that there is none, as a problem
 * @throws OperationError of kind `usage` when the age cannot be read
 */
export async function status(context: Context, options: StatusOptions): Promise<Result> {
  const { database, level, maxAge } = options;
  const limit = limitOf(maxAge);
  const catalogues = await withStores(
    context,
    options,
    (stores) => Promise.all(stores.map(readCatalogue)),
  );
  for (const trouble of troublesOf(catalogues, { database })) context.log.warn(trouble);
  const now = context.now();
  const newest = newestFull(listedOf(catalogues), { database, now, level });
  const where = catalogues.map(({ title }) => title).join(" and ");
  const what = `full backup of database "${database}"` +
    (level === undefined ? "" : ` that is verified (${level})`);
  const stale = newest !== undefined && limit !== undefined && now - newest.time > limit;
  return {
    data: {
      database,
      newest: newest === undefined ? null : dataOf(newest, now),
      max_age_seconds: limit === undefined ? null : limit / 1000,
      required_level: level ?? null,
      ok: newest !== undefined && !stale,
    },
    text: newest === undefined ? `No ${what} in ${where}` : lineOf(newest, now),
    ...problemsOf(
      newest === undefined
        ? `There is no ${what} in ${where}`
        : stale
        ? `The newest ${what} is ${ageText(now - newest.time)} old; ` +
          `at most ${durationText(limit)} are allowed`
        : undefined,
    ),
  };
}

function lineOf({ id, time, level, copies }: Listed, now: number): string {
  return `${id}: of ${timeText(time)} UTC, ${ageText(now - time)} old, ` +
    `${level === null ? "not verified" : `verified (${level})`}, ${whereText(copies)}`;
}

function problemsOf(problem: string | undefined): Pick<Result, "problems"> {
  return problem === undefined ? {} : { problems: [problem] };
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const limit = parseDuration(text);
  if (limit !== undefined) return limit;
  throw new OperationError(
    `The value "${text}" of --max-age is not a length of time, ${DURATION_FORM}`,
    { kind: "usage", code: "usage" },
  );
}
