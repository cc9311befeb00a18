/**
 * The table of all settings: the variables of the replaced system's manual
 * ("Environment Variables"), and libpq's variables as lower names for the
 * connection (PostgreSQL documentation, "Environment Variables" of libpq).
 *
 * There is no built-in default for the password. The manual's `postgres` is a
 * default of the container image and stands in its defaults file; outside the
 * image a password that nobody set would only keep the password file from being
 * asked.
 */
import type { ParameterName } from "./postgres/connection_string.ts";

/** One setting. */
export interface Setting {
  /** The environment variable's name. */
  readonly name: string;
  /** One line for help texts. */
  readonly summary: string;
  readonly default?: string;
  /** A whole number within these limits, both included. */
  readonly range?: readonly [minimum: number, maximum: number];
  /** The only values accepted, in lower case; the case of the value does not matter. */
  readonly choices?: readonly string[];
  /** Other spellings of a value, in lower case, with what they stand for. */
  readonly spellings?: Readonly<Record<string, string>>;
  /** Whether it is masked wherever it is shown; `NAME_FILE` then names a file that holds it. */
  readonly secret?: boolean;
  /** The flag that sets it for one run, when its name is not the setting's in kebab case. */
  readonly flag?: string;
  /** The part of the connection it stands for. */
  readonly parameter?: ParameterName;
  /** A variable that counts where this one is not set in the same source. */
  readonly lower?: string;
  /** Whether it is shown only where it is set. */
  readonly quiet?: boolean;
}

/** All settings, in the order shown. */
export const SETTINGS: readonly Setting[] = [
  { name: "DATABASE_URL", summary: "The database, as a URL or as keywords", secret: true },
  {
    name: "DB_HOST",
    summary: "The server's name, address or socket directory",
    default: "localhost",
    flag: "host",
    parameter: "host",
    lower: "PGHOST",
  },
  {
    name: "DB_PORT",
    summary: "The server's port",
    default: "5432",
    flag: "port",
    parameter: "port",
    lower: "PGPORT",
  },
  {
    name: "DB_NAME",
    summary: "The database's name",
    default: "llm_observatory",
    flag: "dbname",
    parameter: "dbname",
    lower: "PGDATABASE",
  },
  {
    name: "DB_USER",
    summary: "The role to connect as",
    default: "postgres",
    flag: "user",
    parameter: "user",
    lower: "PGUSER",
  },
  {
    name: "DB_PASSWORD",
    summary: "The role's password",
    secret: true,
    parameter: "password",
    lower: "PGPASSWORD",
  },
  {
    name: "MIGRATIONS_DIR",
    summary: "The directory of the migrations",
    default: "./migrations",
  },
  { name: "SEEDS_DIR", summary: "The directory of the seeds", default: "./seeds" },
  { name: "SCRIPTS_DIR", summary: "The directory of the scripts", default: "./scripts" },
  { name: "BACKUPS_DIR", summary: "The directory of the backups", default: "./backups" },
  { name: "DATA_DIR", summary: "The directory of the data files", default: "./data" },
  { name: "PLUGINS_DIR", summary: "The directory of the user's plugins" },
  {
    name: "PLUGINS_OWNER",
    summary: "The number of one more user whose plugins are trusted",
    quiet: true,
  },
  {
    name: "PG_BIN_DIR",
    summary: "The directory of the client programs of PostgreSQL, instead of looking for them",
    quiet: true,
  },
  {
    name: "LOG_LEVEL",
    summary: "The least level of the lines on stderr",
    default: "info",
    choices: ["debug", "info", "warn", "error"],
    spellings: { trace: "debug", warning: "warn" },
  },
  { name: "RUST_LOG", summary: "Accepted and ignored" },
  {
    name: "AUDIT_TABLE",
    summary: "Whether the database keeps a row of each command that writes or destroys",
    default: "on",
    choices: ["on", "off"],
    spellings: { true: "on", yes: "on", "1": "on", false: "off", no: "off", "0": "off" },
  },
  { name: "AUDIT_LOG", summary: "The file that gets a line of each of them", quiet: true },
  {
    name: "BACKUP_RETENTION_DAYS",
    summary: "How many days backups are kept",
    default: "30",
    range: [0, 36500],
  },
  ...retention("", "in BACKUPS_DIR"),
  {
    name: "BACKUP_ENCRYPT",
    summary: "Whom backups are encrypted for: recipients of age, separated by spaces",
    quiet: true,
  },
  { name: "BACKUP_METRICS_FILE", summary: "Where backups leave metrics", quiet: true },
  {
    name: "ENVIRONMENT",
    summary: "The environment's name; production asks for stricter confirmation",
    default: "development",
    spellings: {
      prod: "production",
      production: "production",
      dev: "development",
      development: "development",
    },
  },
  { name: "AWS_ACCESS_KEY_ID", summary: "The access key's name", secret: true },
  { name: "AWS_SECRET_ACCESS_KEY", summary: "The access key's secret", secret: true },
  { name: "AWS_SESSION_TOKEN", summary: "The session's token", secret: true, quiet: true },
  {
    name: "AWS_REGION",
    summary: "The region of the bucket",
    default: "us-east-1",
    lower: "AWS_DEFAULT_REGION",
  },
  {
    name: "AWS_ENDPOINT_URL_S3",
    summary: "The address of an S3 service",
    flag: "endpoint-url",
    lower: "AWS_ENDPOINT_URL",
    quiet: true,
  },
  { name: "S3_BACKUP_BUCKET", summary: "The bucket of the backups" },
  {
    name: "S3_BACKUP_PREFIX",
    summary: "What the keys of the backups begin with",
    default: "backups/",
  },
  {
    name: "S3_BACKUP_RETENTION_DAYS",
    summary: "How many days backups are kept in the bucket",
    range: [0, 36500],
    quiet: true,
  },
  ...retention("S3_", "in the bucket"),
  ...libpq("hostaddr", "PGHOSTADDR", "The address to connect to instead of looking up the name"),
  ...libpq("passfile", "PGPASSFILE", "The password file instead of ~/.pgpass"),
  ...libpq("service", "PGSERVICE", "The section of the service file to use"),
  ...libpq("servicefile", "PGSERVICEFILE", "The service file instead of ~/.pg_service.conf"),
  ...libpq("sslmode", "PGSSLMODE", "How the connection is protected", "prefer"),
  ...libpq("sslrootcert", "PGSSLROOTCERT", "The file of trusted certificates, or system"),
  ...libpq("sslcert", "PGSSLCERT", "The file of the client's certificate"),
  ...libpq("sslkey", "PGSSLKEY", "The file of the client's key"),
  ...libpq("sslnegotiation", "PGSSLNEGOTIATION", "How TLS is begun"),
  ...libpq("channel_binding", "PGCHANNELBINDING", "Whether the login is bound to the TLS channel"),
  ...libpq("require_auth", "PGREQUIREAUTH", "The ways to log in that are accepted"),
  ...libpq("application_name", "PGAPPNAME", "The name shown in pg_stat_activity", "observatory"),
  ...libpq("options", "PGOPTIONS", "Options for the server process"),
  ...libpq("connect_timeout", "PGCONNECT_TIMEOUT", "Seconds to wait for each host"),
  ...libpq("target_session_attrs", "PGTARGETSESSIONATTRS", "Which of several hosts will do"),
];

/** What is kept of the backups in one place, instead of so many days. */
function retention(prefix: string, where: string): Setting[] {
  const counts = ["last", "daily", "weekly", "monthly", "yearly"].map((what): Setting => ({
    name: `${prefix}BACKUP_KEEP_${what.toUpperCase()}`,
    summary: `How many ${what} backups are kept ${where}`,
    range: [0, 100_000],
    quiet: true,
  }));
  return [
    ...counts,
    {
      name: `${prefix}BACKUP_KEEP_WITHIN`,
      summary: `How far before the newest one backups are kept ${where}, such as 30d`,
      quiet: true,
    },
    {
      name: `${prefix}BACKUP_MIN_KEEP`,
      summary: `How many backups are kept ${where} whatever else is said`,
      range: [1, 100_000],
      quiet: true,
    },
  ];
}

/** A setting of libpq's own; one that has a default is always in force, so it is shown too. */
function libpq(parameter: ParameterName, name: string, summary: string, value?: string): Setting[] {
  return [{
    name,
    summary,
    parameter,
    quiet: true,
    ...(value === undefined ? {} : { default: value }),
  }];
}

/** The settings by name, the lower names included. */
export const SETTING_BY_NAME: ReadonlyMap<string, Setting> = new Map(
  SETTINGS.flatMap((setting): [string, Setting][] => [
    [setting.name, setting],
    ...(setting.lower === undefined ? [] : [[setting.lower, setting] as [string, Setting]]),
  ]),
);

/** The flag that sets a setting, with its dashes, as origins name it. */
export function flagOf(name: string): string {
  return `--${SETTING_BY_NAME.get(name)?.flag ?? name.toLowerCase().replaceAll("_", "-")}`;
}
