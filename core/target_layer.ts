/**
 * What a target does to the sources of the configuration. It ranks as the flags do, which fill what
 * it leaves out and must not contradict it. What lower sources say of where a database is does not
 * apply to it: a variable of the shell must not lead the run over a fleet elsewhere, nor half of it.
 * A role, a password, certificates and all the rest do.
 */
import type { Findings, Source, TargetSource } from "./config_sources.ts";
import type { Layer } from "./connection_layers.ts";
import type { ParameterName } from "./postgres/connection_string.ts";
import { NAMING } from "./targets.ts";

const SERVER = ["DATABASE_URL", "DB_HOST", "PGHOST", "PGHOSTADDR", "PGSERVICE"];
const DATABASE = ["DATABASE_URL", "DB_NAME", "PGDATABASE", "PGSERVICE"];

/** Puts a target, whose secrets are read already, beside the flags. */
export function withTarget(
  [flags, ...lower]: readonly Source[],
  { target, source }: { target: TargetSource; source: Source },
  { problems }: Findings,
): Source[] {
  const url = flags?.get("DATABASE_URL");
  if (url !== undefined && source.get("DATABASE_URL") !== undefined) {
    problems.push({
      message: `${url.origin} and ${target.place} both name the database`,
      hint: "Give --database-url or --targets",
    });
  }
  for (const name of ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER"]) {
    const given = flags?.get(name);
    const own = source.get(name);
    if (given === undefined || own === undefined || given.value === own.value) continue;
    problems.push({ message: `${given.origin} and ${name} of ${target.place} differ` });
  }
  return [
    { kind: "flags", get: (name) => flags?.get(name) ?? source.get(name) },
    ...lower.map(({ kind, get }): Source => ({
      kind,
      hidden: get,
      get: (name) => NAMING.includes(name) ? undefined : get(name),
    })),
  ];
}

/** Finds what the target and the flags leave open and a source that does not apply would have said. */
export function findOpen(
  { target, sources, layers }: {
    target: TargetSource;
    sources: readonly Source[];
    layers: readonly Layer[];
  },
  { problems }: Findings,
): void {
  const own = layers.filter(({ rank }) => rank === 0);
  const names = (part: ParameterName) => own.some(({ values }) => values.has(part));
  const hint = "Write which one it is: ";
  if (!names("host") && !names("hostaddr")) {
    const found = findHidden(sources, SERVER);
    if (found !== undefined) {
      problems.push({
        message: `${target.place} names no server, and ${found} does not apply to targets`,
        hint: `${hint}host=NAME in the line, or --host`,
      });
    }
  }
  if (!names("dbname")) {
    const found = findHidden(sources, DATABASE);
    // A connection string without one means the role's own; anything else would be a guess.
    if (found !== undefined || own.every(({ kind }) => kind !== "url")) {
      problems.push({
        message: `${target.place} names no database` +
          (found === undefined ? "" : `, and ${found} does not apply to targets`),
        hint: `${hint}dbname=NAME in the line, or --dbname`,
      });
    }
  }
}

function findHidden(sources: readonly Source[], variables: readonly string[]): string | undefined {
  for (const { hidden } of sources) {
    for (const variable of variables) {
      const found = hidden?.(variable);
      if (found !== undefined) return `${variable} (${found.origin})`;
    }
  }
  return undefined;
}
