/** Roles and extensions that a backup needs, before it misses them half-way. */
import { identifier } from "../sql/names.ts";
import type { SourceFacts } from "./facts.ts";
import type { RestoreOptions } from "./options.ts";
import type { Mode } from "./prepare.ts";
import { listed, type Refusal } from "./refusal.ts";
import type { Source } from "./source.ts";
import type { Entry } from "./table_of_contents.ts";
import type { Target } from "./target.ts";

/** What every database has from the start. */
const ALWAYS_THERE = "plpgsql";

/** What TimescaleDB's own checks look at. */
const TIMESCALE = "timescaledb";

/** Owners and grantees have to be there, and owners be one's own to act for. */
export function checkRoles(
  { source, target, options, entries }: {
    readonly source: Source;
    readonly target: Target;
    readonly options: RestoreOptions;
    readonly entries: readonly Entry[] | undefined;
  },
  refusal: Refusal,
): void {
  const { owners, others } = rolesOf(source, entries);
  const needed = new Set([
    ...(options.owners ? owners : []),
    ...(options.privileges ? others : []),
  ]);
  const missing = [...needed].filter((role) => !target.roles.has(role)).sort();
  if (missing.length > 0) {
    const statements = missing.slice(0, 5).map((role) => `CREATE ROLE ${identifier(role)};`);
    const globals = source.manifest?.globals;
    refusal.add(
      `the server has no role ${listed(missing.map((role) => `"${role}"`))}`,
      `Create what is missing: ${statements.join(" ")}${missing.length > 5 ? " …" : ""}` +
        (globals ? ` (as ${globals} has it)` : "") +
        "\n      Or restore without owners and privileges: --no-owner --no-privileges",
      { missing_roles: missing },
    );
  }
  if (target.rights.superuser || !options.owners) return;
  const strangers = [...owners].filter((role) => target.roles.get(role) === false).sort();
  if (strangers.length === 0) return;
  refusal.add(
    `role "${target.rights.user}" is no member of ${
      listed(strangers.map((role) => `"${role}"`))
    }, who own what is restored`,
    `GRANT ${strangers.map(identifier).join(", ")} TO ${
      identifier(target.rights.user)
    }, or restore with --no-owner`,
    { foreign_owners: strangers },
  );
}

/** Owners by the table of contents, and whoever else the manifest or the privileges name. */
function rolesOf(
  { manifest, archive }: Source,
  entries: readonly Entry[] | undefined,
): { readonly owners: ReadonlySet<string>; readonly others: ReadonlySet<string> } {
  const all = entries ?? archive?.entries ?? [];
  const owners = new Set(all.map(({ owner }) => owner).filter((owner) => owner !== ""));
  const granted = all.flatMap(({ kind, definition }) =>
    kind === "ACL" || kind === "DEFAULT ACL" || kind === "POLICY" ? granteesOf(definition) : []
  );
  if (archive === null) return { owners: new Set(manifest?.roles), others: new Set() };
  // The manifest tells of them all, where all is restored.
  const told = entries === undefined ? manifest?.roles ?? [] : [];
  const others = [...granted, ...told].filter((role) => !owners.has(role));
  return { owners, others: new Set(others) };
}

/** `… TO role`, `… FROM role` and `FOR ROLE role` of GRANT, REVOKE, ALTER DEFAULT PRIVILEGES and CREATE POLICY. */
function granteesOf(definition: string): string[] {
  const name = '(?:"(?:[^"]|"")+"|[\\p{L}_][\\p{L}\\p{N}_$]*)';
  const lists = definition.matchAll(
    new RegExp(`\\b(?:TO|FROM|FOR ROLE) (${name}(?:, ${name})*)`, "gu"),
  );
  return [...lists].flatMap(([, list = ""]) => [...list.matchAll(new RegExp(name, "gu"))])
    .map(([text]) => text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text)
    .filter((role) => !/^(public|current_user|session_user)$/i.test(role));
}

/** Extensions whose files the server lacks, or that the own role may not create. */
export function checkExtensions(
  { facts, target, mode, entries }: {
    readonly facts: SourceFacts;
    readonly target: Target;
    readonly mode: Mode;
    readonly entries: readonly Entry[];
  },
  refusal: Refusal,
): void {
  const brought = new Set(
    entries.filter(({ kind }) => kind === "EXTENSION").map(({ tag }) => tag),
  );
  const there = mode === "in place" ? target.contents?.extensions : undefined;
  const needed = facts.extensions.map(({ name }) => name).filter((name) =>
    name !== ALWAYS_THERE && name !== TIMESCALE && there?.has(name) !== true &&
    (entries.length === 0 || brought.has(name))
  );
  const missing = needed.filter((name) => !target.extensions.has(name));
  if (missing.length > 0) {
    refusal.add(
      `the server lacks the extension ${listed(missing.map((name) => `"${name}"`))}`,
      "Install its package on the server's machine; those of PostgreSQL itself are in " +
        "postgresql-contrib",
      { missing_extensions: missing },
    );
  }
  if (target.rights.superuser) return;
  const untrusted = needed.filter((name) => target.extensions.get(name)?.trusted === false);
  if (untrusted.length === 0) return;
  refusal.add(
    `only a superuser may create the extension ${listed(untrusted.map((name) => `"${name}"`))}`,
    "Restore as a superuser, or have one create it in the database and restore in place",
    { untrusted_extensions: untrusted },
  );
}

/** Tablespaces that are named in the backup, and that the server lacks. */
export function checkTablespaces(
  { target, options, entries }: {
    readonly target: Target;
    readonly options: RestoreOptions;
    readonly entries: readonly Entry[];
  },
  refusal: Refusal,
): void {
  if (!options.tablespaces) return;
  const named = new Set(entries.map(({ tablespace }) => tablespace).filter((each) => each !== ""));
  const missing = [...named].filter((each) => !target.tablespaces.has(each)).sort();
  if (missing.length === 0) return;
  refusal.add(
    `the server has no tablespace ${listed(missing.map((each) => `"${each}"`))}`,
    "Create it with CREATE TABLESPACE, or restore with --no-tablespaces",
    { missing_tablespaces: missing },
  );
}
