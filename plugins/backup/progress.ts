/** How far a dump is, guessed from the sizes of the tables that are done. */
import type { Context } from "../../core/plugin.ts";
import type { CountedTable } from "../repository/counts.ts";

/** Follows one dump. */
export interface DumpProgress {
  /** A table's rows are being written now; the name as pg_dump says it. */
  readonly table: (name: string) => void;
  /** So many bytes more have been written. */
  readonly took: (bytes: number) => void;
  end(): void;
}

/** Makes the follower. */
export function createDumpProgress(
  ctx: Context,
  tables: readonly CountedTable[],
): DumpProgress {
  const sizes = new Map(tables.map(({ schema, name, size }) => [`${schema}.${name}`, size]));
  const total = tables.reduce((sum, { size }) => sum + size, 0);
  let current = "";
  let currentSize = 0;
  let done = 0;
  let written = 0;
  let writtenBefore = 0;
  const show = () => {
    // What the current table has given so far, by what those before it have given for their size.
    const ratio = writtenBefore > 0 && done > 0 ? done / writtenBefore : 1;
    const part = Math.min(currentSize, (written - writtenBefore) * ratio);
    ctx.progress({
      label: current === "" ? "Dumping" : `Dumping ${current} (${mebibytes(written)} written)`,
      ...(total === 0 ? {} : { done: Math.min(total, done + part), total, unit: "bytes" as const }),
    });
  };
  return {
    table(name) {
      done += currentSize;
      writtenBefore = written;
      current = name;
      currentSize = sizes.get(name) ?? 0;
      show();
    },
    took(bytes) {
      written += bytes;
      show();
    },
    end: () => ctx.progress(null),
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
