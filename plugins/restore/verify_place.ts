/** Where backups are restored for a trial: a server that the user names, or a throw-away one. */
import { type Context, OperationError, type Session } from "../../core/plugin.ts";
import { collectScratch } from "../database/scratch.ts";
import type { Manifest } from "../repository/manifest.ts";
import { identifier } from "../sql/names.ts";
import { startThrowaway } from "./throwaway_server.ts";
import { requireTimescale } from "./timescale.ts";

/** A server for trials. */
export interface Place {
  /** Over a database of it that is not touched. */
  readonly context: Context;
  /** For people and programs: `localhost:5432`, or `throw-away`. */
  readonly title: string;
  /** Such as `15.18`. */
  readonly version: string;
  /** Such as 150018. */
  readonly serverVersion: number;
  /** Whether owners and privileges are restored: all roles are there, and may be given things. */
  readonly owners: boolean;
}

/** What must be restored there. */
export interface PlaceOptions {
  readonly manifest: Manifest;
  /** The connection string of a server; without one a throw-away server is started. */
  readonly on: string | undefined;
}

/** How long a server is waited for that does not answer. */
const WAIT_SECONDS = 10;

/**
 * Finds or starts a server that can take the backup, for as long as `work` takes.
 *
 * @throws OperationError of kind `refused` where there is none: that says nothing about the backup
 */
export async function withPlace<T>(
  ctx: Context,
  options: PlaceOptions,
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const { manifest, on } = options;
  if (on !== undefined) {
    const context = await ctx.at?.(on, { named: "--on" });
    if (context === undefined) throw new Error("Only built-ins reach other servers");
    const { host, port } = context.db.target;
    const place = await placeAt(context, { manifest, title: `${host}:${port}` });
    await collectScratch(context);
    return await work(place);
  }
  const server = await startThrowaway(ctx, {
    major: majorOf(manifest.source.server_version_num),
    size: manifest.tables.reduce((sum, { size }) => sum + size, 0),
    ...(manifest.timescaledb === null ? {} : { preload: "timescaledb" }),
  });
  try {
    const { context } = server;
    await createRoles(context, manifest);
    return await work(await placeAt(context, { manifest, title: "throw-away" }));
  } finally {
    await server.stop();
  }
}

function majorOf(version: number): number {
  return Math.floor(version / 10_000);
}

/** Roles that own what is restored: it may take a superuser to own it, an event trigger for one. */
async function createRoles({ db }: Context, manifest: Manifest): Promise<void> {
  const { rows } = await db.query<{ name: string }>(
    "SELECT rolname::text AS name FROM pg_catalog.pg_roles",
  );
  const there = new Set(rows.map(({ name }) => name));
  for (const role of rolesOf(manifest)) {
    if (!there.has(role)) await db.query(`CREATE ROLE ${identifier(role)} LOGIN SUPERUSER`);
  }
}

function rolesOf({ roles, timescaledb, source }: Manifest): Set<string> {
  return new Set([
    ...roles,
    source.owner,
    ...timescaledb?.jobs.map(({ owner }) => owner) ?? [],
  ].filter((role) => role !== "" && !role.startsWith("pg_")));
}

/** Looks at a server before it is given work. */
async function placeAt(
  context: Context,
  { manifest, title }: { readonly manifest: Manifest; readonly title: string },
): Promise<Place> {
  const session = await context.db.maintenance({ notices: "drop", wait: WAIT_SECONDS });
  try {
    const { rows: [row] } = await session.query<
      { version: string; number: number; superuser: boolean }
    >(
      `SELECT pg_catalog.current_setting('server_version') AS version,
         pg_catalog.current_setting('server_version_num')::int AS number,
         (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser`,
    );
    const { version = "", number = 0, superuser = false } = row ?? {};
    requireMajor({ manifest, title, number });
    await requireExtensions(session, { manifest, title });
    if (manifest.timescaledb !== null) {
      await requireTimescale(session, manifest.timescaledb.version);
    }
    const owners = superuser && await hasRoles(session, manifest);
    return { context, title, version, serverVersion: number, owners };
  } finally {
    await session.close();
  }
}

function requireMajor(
  { manifest: { id, source }, title, number }: {
    readonly manifest: Manifest;
    readonly title: string;
    readonly number: number;
  },
): void {
  const major = majorOf(source.server_version_num);
  if (majorOf(number) >= major) return;
  throw new OperationError(
    `Cannot restore ${id} for a trial on ${title}: it was dumped from PostgreSQL ${major}, ` +
      `and this is PostgreSQL ${majorOf(number)}`,
    {
      kind: "refused",
      code: "server_older",
      hint: `Name a server of PostgreSQL ${major} or newer by --on URL`,
      details: { dumped: major, server: majorOf(number) },
    },
  );
}

async function requireExtensions(
  session: Session,
  { manifest: { id, extensions, selection, kind }, title }: {
    readonly manifest: Manifest;
    readonly title: string;
  },
): Promise<void> {
  if (selection.tables.length > 0 || kind === "data") return;
  const { rows } = await session.query<{ name: string }>(
    "SELECT DISTINCT name::text AS name FROM pg_catalog.pg_available_extensions",
  );
  const available = new Set(rows.map(({ name }) => name));
  const missing = extensions.map(({ name }) => name).filter((name) => !available.has(name));
  if (missing.length === 0) return;
  throw new OperationError(
    `Cannot restore ${id} for a trial on ${
      title === "throw-away" ? "a throw-away server" : title
    }: it needs ${missing.map((name) => `"${name}"`).join(", ")}, not installed there`,
    {
      kind: "refused",
      code: "extension_missing",
      hint: "Install the extension's package, or name a server that has it by --on URL",
      details: { missing },
    },
  );
}

async function hasRoles(session: Session, manifest: Manifest): Promise<boolean> {
  const { rows } = await session.query<{ name: string }>(
    "SELECT rolname::text AS name FROM pg_catalog.pg_roles",
  );
  const there = new Set(rows.map(({ name }) => name));
  return [...rolesOf(manifest)].every((role) => there.has(role));
}
