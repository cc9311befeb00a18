/**
 * The database's parameters, gathered from all sources. Sources rank before
 * names; within one source DATABASE_URL comes before DB_*, those before a
 * service's section, and that before libpq's PG*. What a DATABASE_URL leaves out
 * is filled from the other names of its own source and of lower ones, with
 * these exceptions:
 *
 * - The port and the numeric address belong to the host: those of a source below
 *   the one whose DATABASE_URL names the host do not apply to it.
 * - A URL that names no database, where nothing else does either, means the
 *   user's own, as for libpq and sqlx. Without a URL it is `llm_observatory`.
 * - A URL without a host, where nothing else names one, means the server's
 *   socket where there is one, as for libpq and sqlx, and `localhost` otherwise.
 *
 * A higher source's DB_* or PG* that disagrees with a lower one's DATABASE_URL
 * on host, port or database is a problem, since mixing the two would reach a
 * database nobody meant. User and password may differ: a password injected over
 * a URL that holds another one, or none, is common and intended. Flags are
 * typed for this very run, so they replace parts of a URL without a question.
 */
import type { Findings, Found, Source } from "./config_sources.ts";
import { OperationError } from "./plugin.ts";
import {
  type ConnectionString,
  type ParameterName,
  parseConnectionString,
} from "./postgres/connection_string.ts";
import type { GivenValue } from "./postgres/parameters.ts";
import { SETTINGS } from "./settings.ts";

/** The parameters that one name or group of names of one source gives. */
export interface Layer {
  readonly kind: "url" | "own" | "service" | "libpq";
  /** Index of the source, 0 for flags. */
  readonly rank: number;
  readonly source: Source["kind"];
  readonly values: ReadonlyMap<ParameterName, GivenValue>;
}

/** A source's DATABASE_URL, taken apart. */
export interface UrlInForce {
  readonly found: Found;
  readonly rank: number;
  /** Absent when it could not be read; the problem is among the findings. */
  readonly parsed: ConnectionString | undefined;
}

/** A name with its origin, for messages: `DB_HOST (.env:3)`, and for flags the flag alone. */
export function nameWithOrigin(name: string, { origin, whole = false }: Found): string {
  return whole || origin.startsWith("--") || origin.startsWith(`${name}_FILE`)
    ? origin
    : `${name} (${origin})`;
}

/** Takes the highest DATABASE_URL apart; lower ones are replaced by it as a whole. */
export function readUrl(sources: readonly Source[], findings: Findings): UrlInForce | undefined {
  const rank = sources.findIndex((source) => source.get("DATABASE_URL") !== undefined);
  const found = sources[rank]?.get("DATABASE_URL");
  if (found === undefined) return undefined;
  try {
    const parsed = parseConnectionString(
      found.value.trim(),
      nameWithOrigin("DATABASE_URL", found),
    );
    findings.warnings.push(...parsed.warnings);
    return { found, rank, parsed };
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    findings.problems.push({
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
    return { found, rank, parsed: undefined };
  }
}

/** The layers of all sources without services, highest first. */
export function layersOf(sources: readonly Source[], url: UrlInForce | undefined): Layer[] {
  return sources.flatMap((source, rank) => {
    const layers: Layer[] = [];
    const place = { rank, source: source.kind };
    if (url?.rank === rank && url.parsed !== undefined) {
      const from = nameWithOrigin("DATABASE_URL", url.found);
      const values = [...url.parsed.values].map(([name, value]) =>
        [name, { value, from }] as const
      );
      layers.push({ kind: "url", ...place, values: new Map(values) });
    }
    const own = new Map<ParameterName, GivenValue>();
    const libpq = new Map<ParameterName, GivenValue>();
    for (const { parameter, name, lower } of SETTINGS) {
      if (parameter === undefined) continue;
      const names = name.startsWith("PG") ? [undefined, name] : [name, lower];
      for (const [index, variable] of names.entries()) {
        const found = variable === undefined ? undefined : source.get(variable);
        if (variable === undefined || found === undefined) continue;
        const from = nameWithOrigin(variable, found);
        (index === 0 ? own : libpq).set(parameter, { value: found.value, from });
      }
    }
    layers.push({ kind: "own", ...place, values: own }, { kind: "libpq", ...place, values: libpq });
    return layers;
  });
}

/** Merges layers, highest first; a host takes only what belongs to it along. */
export function mergeLayers(layers: readonly Layer[]): Map<ParameterName, GivenValue> {
  const merged = new Map<ParameterName, GivenValue>();
  const host = layers.find((layer) => layer.values.has("host"));
  for (const layer of layers) {
    for (const [name, given] of layer.values) {
      if (merged.has(name)) continue;
      // A host's port and address do not come from below the host: of a URL none does,
      // and no numeric address at all.
      const below = host !== undefined && layer.rank > host.rank;
      if (below && name === "port" && host.kind === "url") continue;
      if (below && name === "hostaddr") continue;
      merged.set(name, given);
    }
  }
  return merged;
}

const COMPARED = [
  { name: "host", what: "hosts" },
  { name: "hostaddr", what: "addresses" },
  { name: "port", what: "ports" },
  { name: "dbname", what: "databases" },
] as const;

/** Compared only where both stand on the line, or in a target: elsewhere another role is intended. */
const ROLE = { name: "user", what: "roles" } as const;

/**
 * Finds what higher sources say against the DATABASE_URL, and says so.
 *
 * @returns whether any of them disagrees
 */
export function findDisagreements(
  layers: readonly Layer[],
  { problems, warnings }: Findings,
): boolean {
  const before = problems.length;
  const url = layers.find((layer) => layer.kind === "url");
  for (const { name, what } of [...COMPARED, ROLE]) {
    // A flag settles what the sources below it disagree about.
    if (url?.rank !== 0 && layers.some(({ rank, values }) => rank === 0 && values.has(name))) {
      continue;
    }
    const stated = url?.values.get(name) ??
      (name === "hostaddr" ? url?.values.get("host") : undefined);
    for (const layer of layers) {
      const given = layer.values.get(name);
      if (url === undefined || stated === undefined || given === undefined) continue;
      // A flag may replace a part of a URL from elsewhere, but not contradict one beside it.
      const counts = layer.rank === 0
        ? url.rank === 0
        : name !== ROLE.name && layer.rank < url.rank;
      if (!counts || layer === url || agree(name, given.value, stated.value)) continue;
      problems.push({
        message: `${given.from} and ${stated.from} name different ${what}: ` +
          `"${given.value}" and "${stated.value}"`,
        hint: layer.rank === 0
          ? "Give one of the two only"
          : "Unset one of the two, or give --database-url",
      });
    }
  }
  if (url === undefined) findPassedOver(layers, warnings);
  return problems.length > before;
}

/** Warns where a PG* variable of a higher source takes the place of a lower one's DB_*. */
function findPassedOver(layers: readonly Layer[], warnings: string[]): void {
  for (const { name } of COMPARED) {
    const [first, ...lower] = layers.filter((layer) => layer.values.has(name));
    const passedOver = lower.find((layer) => layer.kind === "own");
    const used = first?.values.get(name);
    const unused = passedOver?.values.get(name);
    if (first?.kind !== "libpq" || used === undefined || unused === undefined) continue;
    if (used.value === unused.value) continue;
    // The image's defaults are there to be replaced.
    if (passedOver?.source === "defaults file") continue;
    warnings.push(`${used.from} is used instead of ${unused.from}, whose source ranks lower`);
  }
}

function agree(name: ParameterName, left: string, right: string): boolean {
  const normal = (text: string) =>
    name === "dbname" ? text : text.split(",").map((part) => part.trim().toLowerCase()).join(",");
  if (normal(left) === normal(right)) return true;
  // One port serves all hosts.
  return name === "port" && new Set(normal(`${left},${right}`).split(",")).size === 1;
}
