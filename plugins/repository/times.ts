/** Lengths of time and the calendar, in UTC and for people. */

/** Milliseconds of each. */
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** A month and a year count as their longest, so that nothing goes too early. */
const UNITS: Readonly<Record<string, number>> = {
  h: HOUR,
  d: DAY,
  w: 7 * DAY,
  m: 31 * DAY,
  y: 366 * DAY,
};

/** How a length of time is written, for messages. */
export const DURATION_FORM = "such as 26h, 30d, 2w, 6m (months) or 1y";

/**
 * Reads a length of time such as `26h`, `30d` or `1y6m`: hours, days, weeks, months of 31 days and
 * years of 366.
 *
 * @returns milliseconds; undefined for everything else, and for nothing at all
 */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d{1,6}[hdwmy])+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, digits, unit = ""] of text.matchAll(/(\d+)([hdwmy])/g)) {
    sum += Number(digits) * (UNITS[unit] ?? 0);
  }
  return sum === 0 ? undefined : sum;
}

/** A length of time in whole days or hours, such as `30 days`. */
export function durationText(milliseconds: number): string {
  const [size, name] = milliseconds % DAY === 0 ? [DAY, "day"] : [HOUR, "hour"];
  const count = Math.round(milliseconds / size);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

/** How old something is, in the one unit that fits, such as `5 min`, `26 h` or `12 d`. */
export function ageText(milliseconds: number): string {
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes < 0) return "in the future";
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 72 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / (24 * 60))} d`;
}

/** A moment for people, to the second, such as `2024-01-01 12:00:00`; in UTC. */
export function timeText(time: number): string {
  return new Date(time).toISOString().slice(0, 19).replace("T", " ");
}

/** The periods that a moment is in. */
export interface Periods {
  /** Such as `2024-01-31`. */
  readonly daily: string;
  /** The ISO week, such as `2024-W05`. */
  readonly weekly: string;
  /** Such as `2024-01`. */
  readonly monthly: string;
  /** Such as `2024`. */
  readonly yearly: string;
}

/** Finds the periods that a moment is in, in UTC. */
export function calendar(time: number): Periods {
  const day = new Date(time).toISOString().slice(0, 10);
  return { daily: day, weekly: isoWeek(time), monthly: day.slice(0, 7), yearly: day.slice(0, 4) };
}

/** An ISO week belongs to the year that its Thursday is in. */
function isoWeek(time: number): string {
  const date = new Date(time);
  const thursday = new Date(time + (4 - (date.getUTCDay() || 7)) * DAY);
  const year = thursday.getUTCFullYear();
  const week = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * DAY)) + 1;
  return `${year}-W${String(week).padStart(2, "0")}`;
}
