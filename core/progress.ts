/** How far a long operation is: one line on a terminal, and now and then a line of the log elsewhere. */
import type { OutputStream } from "./host.ts";
import type { Progress } from "./plugin.ts";
import { printable } from "./log.ts";

/** The progress line of one run. */
export interface ProgressLine {
  /** Shows a state; null tells that the operation is over. */
  show(state: Progress | null): void;
  /** Removes the line before one of the log is written; it comes again with what is then the state. */
  hide(): void;
  /** Removes the line, before somebody is asked, or at the end; the next state brings it again. */
  clear(): void;
}

/** How progress is shown. */
export interface ProgressOptions {
  readonly stream: OutputStream;
  /** Whether a line may be drawn where the stream is a terminal. */
  readonly enabled: boolean;
  readonly now: () => number;
  readonly redact: (text: string) => string;
  /** Writes a line of the log, where none is drawn. */
  readonly report: (text: string, state: Progress) => void;
  /** Does something later, unless the function that it returns is called before; by default a timer. */
  readonly after?: (milliseconds: number, work: () => void) => () => void;
}

const REDRAW_MILLISECONDS = 100;
const REPORT_MILLISECONDS = 30_000;
/** What the rate is measured over. */
const RATE_MILLISECONDS = 10_000;
/** In less than this, what is done comes in jumps. */
const SHORTEST_MILLISECONDS = 1000;
/** How far apart the points are that the rate is measured between. */
const POINT_MILLISECONDS = 500;

/** Makes a progress line. */
export function createProgressLine(options: ProgressOptions): ProgressLine {
  const { stream, now, after = timer } = options;
  const onTerminal = options.enabled && stream.isTerminal;
  const rate = createRate();
  let drawnAt = -Infinity;
  let visible = false;
  let reportedAt: number | undefined;
  let latest: Progress | undefined;
  let text = () => "";
  let stopWaiting: (() => void) | undefined;

  function hide(): void {
    if (visible) stream.write("\r\x1b[K");
    visible = false;
    drawnAt = -Infinity;
  }

  function clear(): void {
    stopWaiting?.();
    stopWaiting = undefined;
    hide();
  }

  function draw(line: string): void {
    visible = true;
    const shown = printable(options.redact(line));
    stream.write(`\r\x1b[K${shown.slice(0, Math.max(10, stream.columns() - 1))}`);
  }

  /** What is shown too soon is shown later, or it would stand for the state as long as nothing moves. */
  function wait(milliseconds: number): void {
    stopWaiting ??= after(milliseconds, () => {
      stopWaiting = undefined;
      update();
    });
  }

  function update(): void {
    if (latest === undefined) return;
    const time = now();
    if (onTerminal) {
      if (isWithin(REDRAW_MILLISECONDS, drawnAt, time)) {
        return wait(REDRAW_MILLISECONDS - (time - drawnAt));
      }
      drawnAt = time;
      return draw(text());
    }
    // What has just begun may be over soon.
    reportedAt ??= time;
    if (!isWithin(REPORT_MILLISECONDS, reportedAt, time)) {
      reportedAt = time;
      options.report(text(), latest);
    }
    // Also of what says nothing for long: whoever reads the log sees that it goes on.
    wait(REPORT_MILLISECONDS - (time - reportedAt));
  }

  return {
    hide,
    clear,
    show(state) {
      latest = state ?? undefined;
      if (state === null) {
        rate.reset();
        reportedAt = undefined;
        return clear();
      }
      const perSecond = rate.next(state, now());
      text = () => progressText(state, perSecond).replaceAll(/[\r\n]+/g, " ");
      update();
    },
  };
}

function timer(milliseconds: number, work: () => void): () => void {
  const id = setTimeout(work, milliseconds);
  return () => clearTimeout(id);
}

/** Not when the clock was set back meanwhile. */
function isWithin(milliseconds: number, since: number, now: number): boolean {
  return now >= since && now - since < milliseconds;
}

interface Rate {
  /** What is done in a second, of late; undefined as long as that cannot be told. */
  next(state: Progress, now: number): number | undefined;
  reset(): void;
}

interface Point {
  readonly at: number;
  readonly done: number;
  readonly unit: Progress["unit"];
}

function createRate(): Rate {
  /** The first is the newest one that is old enough, or the oldest. */
  let points: Point[] = [];
  let last: Point | undefined;
  const reset = () => {
    points = [];
    last = undefined;
  };
  return {
    reset,
    next({ done, unit }, now) {
      if (done === undefined) {
        reset();
        return undefined;
      }
      const point: Point = { at: now, done, unit };
      if (last !== undefined && !goesOn(last, point)) reset();
      last = point;
      const newest = points.at(-1);
      if (newest === undefined || now - newest.at >= POINT_MILLISECONDS) points.push(point);
      while (now - (points[1]?.at ?? now) >= RATE_MILLISECONDS) points.shift();
      const first = points[0] ?? point;
      const time = now - first.at;
      return time < SHORTEST_MILLISECONDS ? undefined : (done - first.done) / time * 1000;
    },
  };
}

/** Otherwise something else is done now, or the clock was set back. */
function goesOn(before: Point, now: Point): boolean {
  return now.done >= before.done && now.at >= before.at && now.unit === before.unit;
}

/**
 * The state in words: `Applying 0042_add_index · 12/40 (30 %)`, and with a rate, of bytes and rows,
 * `Dumping traces · 1.2 GiB/4.0 GiB (30 %) · 85.3 MiB/s · 0:33 left`.
 *
 * @param perSecond what is done in a second
 */
export function progressText(
  { label, done, total, unit }: Progress,
  perSecond?: number,
): string {
  if (done === undefined) return label;
  const show = (count: number) => unit === "bytes" ? byteText(count) : String(count);
  const parts = [
    label,
    total === undefined || total === 0
      ? show(done)
      : `${show(done)}/${show(total)} (${Math.floor(done / total * 100)} %)`,
  ];
  if (perSecond !== undefined && (unit === "bytes" || unit === "rows")) {
    const rate = Math.round(perSecond);
    parts.push(unit === "bytes" ? `${byteText(rate)}/s` : `${rate} rows/s`);
    const seconds = ((total ?? 0) - done) / perSecond;
    if (seconds > 0 && Number.isFinite(seconds)) parts.push(`${timeText(seconds)} left`);
  }
  return parts.join(" · ");
}

/** Hours, minutes and seconds: `0:33`, `12:05`, `3:07:09`. */
function timeText(duration: number): string {
  const seconds = Math.ceil(duration);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (count: number) => String(count).padStart(2, "0");
  const rest = two(seconds % 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

/** A count of bytes with a binary unit: `1.5 MiB`. */
export function byteText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}
