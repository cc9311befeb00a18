/**
 * Metrics of backups in a file for the textfile collector of Prometheus' node exporter: whole or
 * not at all, without timestamps. What a failed run cannot tell keeps the value of the last good one.
 */
import { type Context, OperationError } from "../../core/plugin.ts";
import type { Manifest } from "../repository/manifest.ts";

/** How a run ended. */
export interface RunFacts {
  readonly database: string;
  readonly exit: number;
  /** Milliseconds since 1970. */
  readonly started: number;
  readonly ended: number;
  /** Undefined when no backup was made. */
  readonly manifest: Manifest | undefined;
}

interface Metric {
  readonly name: string;
  readonly help: string;
  /** Undefined where this run has nothing to tell. */
  readonly value: (facts: RunFacts) => number | undefined;
}

const METRICS: readonly Metric[] = [
  {
    name: "observatory_backup_last_attempt_timestamp_seconds",
    help: "When the last backup ended, well or not",
    value: ({ ended }) => ended / 1000,
  },
  {
    name: "observatory_backup_last_exit_code",
    help: "The exit code of the last backup",
    value: ({ exit }) => exit,
  },
  {
    name: "observatory_backup_last_success_timestamp_seconds",
    help: "When the snapshot of the last good backup was taken",
    value: ({ manifest }) => manifest && Date.parse(manifest.created_at) / 1000,
  },
  {
    name: "observatory_backup_duration_seconds",
    help: "How long the last good backup took",
    value: ({ manifest, started, ended }) => manifest && (ended - started) / 1000,
  },
  {
    name: "observatory_backup_size_bytes",
    help: "The size of the last good backup, as it is stored",
    value: ({ manifest }) => manifest?.files.reduce((sum, { size }) => sum + size, 0),
  },
  {
    name: "observatory_backup_tables",
    help: "The tables in the last good backup",
    value: ({ manifest }) => manifest?.tables.length,
  },
  {
    name: "observatory_backup_rows",
    help: "The rows in the last good backup, where they were counted",
    value: ({ manifest }) =>
      manifest === undefined || manifest.tables.some(({ rows }) => rows === null)
        ? undefined
        : manifest.tables.reduce((sum, { rows }) => sum + (rows ?? 0), 0),
  },
];

/** Writes the file; what goes wrong is told in a warning. */
export async function writeMetrics(
  ctx: Pick<Context, "files" | "log">,
  path: string,
  facts: RunFacts,
): Promise<void> {
  try {
    const known = samplesIn(await textOf(ctx, path));
    await ctx.files.create(path, metricsText(facts, known), { replace: true });
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    ctx.log.warn(`Cannot leave metrics: ${error.message}`);
  }
}

/**
 * The file's text: the samples of this run, and those of before that it has no value for.
 *
 * @param known values by name and labels, as the file has them
 */
export function metricsText(facts: RunFacts, known: ReadonlyMap<string, string>): string {
  const kind = facts.manifest?.kind;
  const lines = METRICS.flatMap(({ name, help, value }) => {
    const samples = new Map([...known].filter(([key]) => key.startsWith(`${name}{`)));
    const number = value(facts);
    // Attempts are told by the database alone: one that failed early is of no kind yet.
    const labels = { database: facts.database, ...ofKind(name) ? { kind: kind ?? "" } : {} };
    if (number !== undefined) samples.set(`${name}{${labelsText(labels)}}`, String(number));
    if (samples.size === 0) return [];
    return [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} gauge`,
      ...[...samples].map(([key, text]) => `${key} ${text}`),
    ];
  });
  return `${lines.join("\n")}\n`;
}

function ofKind(name: string): boolean {
  return !/_last_(attempt|exit)_/.test(name);
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels).map(([name, value]) => {
    const escaped = value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    return `${name}="${escaped}"`;
  }).join(",");
}

/** Reads the samples of a file that was written here. */
export function samplesIn(text: string): Map<string, string> {
  const samples = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, key, value] = /^(observatory_\w+\{.*\}) (\S+)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) samples.set(key, value);
  }
  return samples;
}

async function textOf(ctx: Pick<Context, "files">, path: string): Promise<string> {
  try {
    const [bytes] = await ctx.files.readAll([path]);
    return new TextDecoder().decode(bytes);
  } catch (error) {
    if (error instanceof OperationError && error.code === "not_found") return "";
    throw error;
  }
}
