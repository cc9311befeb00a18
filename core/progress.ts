/** One line on the terminal that tells how far a long operation is. */
import type { OutputStream } from "./host.ts";
import type { Progress } from "./plugin.ts";
import { printable } from "./log.ts";

/** The progress line of one run. */
export interface ProgressLine {
  show(state: Progress | null): void;
  /** Removes the line, before something else is written. */
  clear(): void;
}

const REDRAW_MILLISECONDS = 100;

/** Makes a progress line; on anything but a terminal it shows nothing. */
export function createProgressLine(
  options: {
    stream: OutputStream;
    enabled: boolean;
    now: () => number;
    redact: (text: string) => string;
  },
): ProgressLine {
  let drawnAt = -Infinity;
  let visible = false;
  const clear = () => {
    if (visible) options.stream.write("\r\x1b[K");
    visible = false;
    drawnAt = -Infinity;
  };
  return {
    clear,
    show(state) {
      if (!options.enabled || !options.stream.isTerminal) return;
      if (state === null) return clear();
      const now = options.now();
      if (now - drawnAt < REDRAW_MILLISECONDS) return;
      drawnAt = now;
      visible = true;
      const line = printable(options.redact(progressText(state))).replaceAll("\n", " ");
      options.stream.write(`\r\x1b[K${line.slice(0, Math.max(10, options.stream.columns() - 1))}`);
    },
  };
}

/** The state in words: `Applying 0042_add_index · 12/40 (30 %)`. */
export function progressText({ label, done, total, unit }: Progress): string {
  if (done === undefined) return label;
  const show = (count: number) => unit === "bytes" ? byteText(count) : String(count);
  if (total === undefined || total === 0) return `${label} · ${show(done)}`;
  return `${label} · ${show(done)}/${show(total)} (${Math.floor(done / total * 100)} %)`;
}

/** A count of bytes with a binary unit: `1.5 MiB`. */
export function byteText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}
