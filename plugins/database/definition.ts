/** The statements that make a database with another one's properties. */
import { identifier, literal } from "../sql/names.ts";
import type { DatabaseFacts, Privilege, Setting } from "./inspection.ts";

/** What CREATE DATABASE is told; the provider's default where it is undefined. */
export type Properties = Pick<
  DatabaseFacts,
  | "owner"
  | "encoding"
  | "collate"
  | "ctype"
  | "provider"
  | "locale"
  | "icuRules"
  | "tablespace"
  | "connectionLimit"
>;

/**
 * CREATE DATABASE with the old one's owner, encoding, locale, tablespace and connection limit.
 *
 * @param name what the new one is called
 * @param template the database that is copied
 */
export function createStatement(
  facts: Properties,
  { name, template }: { name: string; template: Pick<DatabaseFacts, "name" | "tablespace"> },
): string {
  const options = [
    `OWNER ${identifier(facts.owner)}`,
    `TEMPLATE ${identifier(template.name)}`,
    `ENCODING ${literal(facts.encoding)}`,
    ...localeOptions(facts),
    // Naming the tablespace takes a right that the template's own does not.
    ...(facts.tablespace === template.tablespace
      ? []
      : [`TABLESPACE ${identifier(facts.tablespace)}`]),
    ...(facts.connectionLimit === -1 ? [] : [`CONNECTION LIMIT ${facts.connectionLimit}`]),
  ];
  return `CREATE DATABASE ${identifier(name)} ${options.join(" ")}`;
}

function localeOptions({ provider, locale, icuRules, collate, ctype }: Properties): string[] {
  const libc = [`LC_COLLATE ${literal(collate)}`, `LC_CTYPE ${literal(ctype)}`];
  if (provider === "i") {
    return [
      "LOCALE_PROVIDER icu",
      ...(locale === undefined ? [] : [`ICU_LOCALE ${literal(locale)}`]),
      ...(icuRules === undefined ? [] : [`ICU_RULES ${literal(icuRules)}`]),
      ...libc,
    ];
  }
  if (provider === "b") {
    return [
      "LOCALE_PROVIDER builtin",
      ...(locale === undefined ? [] : [`BUILTIN_LOCALE ${literal(locale)}`]),
      ...libc,
    ];
  }
  return [...(provider === "c" ? ["LOCALE_PROVIDER libc"] : []), ...libc];
}

/** Whether a template fits: only the server's pristine one may be copied to another encoding or locale. */
export function fits(facts: DatabaseFacts, template: DatabaseFacts): boolean {
  return facts.encoding === template.encoding && facts.collate === template.collate &&
    facts.ctype === template.ctype && facts.provider === template.provider &&
    facts.locale === template.locale && facts.icuRules === template.icuRules;
}

/** Set on a database while TimescaleDB restores into it: what must not outlive that. */
const RESTORING = "timescaledb.restoring";

/** ALTER DATABASE and ALTER ROLE … IN DATABASE for every setting. */
export function settingStatements(settings: readonly Setting[], name: string): string[] {
  return settings.filter((each) => each.name !== RESTORING).map((each) => {
    const { role, name: setting, value } = each;
    const target = role === undefined
      ? `ALTER DATABASE ${identifier(name)}`
      : `ALTER ROLE ${identifier(role)} IN DATABASE ${identifier(name)}`;
    const values = LISTS.has(setting) ? listElements(value).map(literal) : [literal(value)];
    // A list that is empty is set as an empty text.
    return `${target} SET ${settingName(setting)} TO ${values.join(", ") || "''"}`;
  });
}

/**
 * The statements that give a database all that another one has beyond what CREATE DATABASE gives;
 * the comment is left out, and that it is a template.
 *
 * @param name and what else is known of the one that is changed
 */
export function propertyStatements(
  facts: DatabaseFacts,
  { name, owner, privileges }: Pick<DatabaseFacts, "name" | "owner" | "privileges">,
): string[] {
  const database = identifier(name);
  // An invalid database, whose dropping was broken off, has a limit of its own.
  const limit = Math.max(facts.connectionLimit, -1);
  return [
    ...facts.owner === owner
      ? []
      : [`ALTER DATABASE ${database} OWNER TO ${identifier(facts.owner)}`],
    `ALTER DATABASE ${database} RESET ALL`,
    ...settingStatements(facts.settings, name),
    ...facts.privileges === undefined && privileges !== undefined
      ? [`GRANT CONNECT, TEMPORARY ON DATABASE ${database} TO PUBLIC`]
      : privilegeStatements(facts.privileges, { name, owner: facts.owner }),
    `ALTER DATABASE ${database} CONNECTION LIMIT ${limit}`,
    ...facts.open ? [] : [`ALTER DATABASE ${database} ALLOW_CONNECTIONS false`],
  ];
}

/** Settings that the server keeps as lists of quoted names, of which each is given by itself. */
const LISTS: ReadonlySet<string> = new Set([
  "local_preload_libraries",
  "search_path",
  "session_preload_libraries",
  "shared_preload_libraries",
  "temp_tablespaces",
  "unix_socket_directories",
]);

/** The elements of a list as the server writes it: names, quoted where needed. */
export function listElements(value: string): string[] {
  const elements: string[] = [];
  for (const [, quoted, bare] of value.matchAll(/"((?:[^"]|"")*)"|([^",\s][^",]*)/g)) {
    elements.push(quoted === undefined ? (bare ?? "").trim() : quoted.replaceAll('""', '"'));
  }
  return elements;
}

/** Custom settings have names of several parts. */
function settingName(name: string): string {
  return name.split(".").map(identifier).join(".");
}

/** The statements that turn the privileges of a new database into the old one's. */
export function privilegeStatements(
  privileges: readonly Privilege[] | undefined,
  { name, owner }: { name: string; owner: string },
): string[] {
  if (privileges === undefined) return [];
  const on = `ON DATABASE ${identifier(name)}`;
  const grants = inOrder(privileges, owner).map(({ grantor, grantee, privilege, grantable }) => {
    const grant = `GRANT ${privilege} ${on} TO ${
      grantee === undefined ? "PUBLIC" : identifier(grantee)
    }${grantable ? " WITH GRANT OPTION" : ""}`;
    // Whose grant it is decides who can take it back; a statement's grantor is its current role.
    return grantor === owner ? [grant] : [`SET ROLE ${identifier(grantor)}`, grant, "RESET ROLE"];
  });
  return [`REVOKE ALL ${on} FROM PUBLIC, ${identifier(owner)}`, ...grants.flat()];
}

/** The owner's grants first, then those of roles that have the right to grant by then. */
function inOrder(privileges: readonly Privilege[], owner: string): Privilege[] {
  const ordered: Privilege[] = [];
  const waiting = [...privileges];
  const able = (grant: Privilege) =>
    grant.grantor === owner ||
    ordered.some((each) =>
      each.grantable && each.grantee === grant.grantor && each.privilege === grant.privilege
    );
  for (;;) {
    const next = waiting.findIndex(able);
    if (next < 0) return [...ordered, ...waiting];
    ordered.push(...waiting.splice(next, 1));
  }
}

/** COMMENT ON DATABASE. */
export function commentStatement(name: string, comment: string | undefined): string {
  return `COMMENT ON DATABASE ${identifier(name)} IS ${
    comment === undefined ? "NULL" : literal(comment)
  }`;
}
