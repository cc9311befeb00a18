/** Finds PostgreSQL's client programs. */
import { withoutSecrets } from "./connection_environment.ts";
import type { Host } from "./host.ts";
import {
  type ClientTool,
  type ClientToolName,
  type ClientToolOptions,
  OperationError,
} from "./plugin.ts";
import { USUAL_PATH } from "./programs.ts";

/** What is looked with. */
export interface ClientToolsOptions {
  readonly host: Host;
  /** The only directory to look in for clients: the setting `PG_BIN_DIR`. */
  readonly directory?: string | undefined;
}

/** The client programs of this machine; what was asked once is remembered. */
export interface ClientTools {
  /** Finds one; see `Context.clientTool`. */
  find(name: ClientToolName, options?: ClientToolOptions): Promise<ClientTool>;
}

/** Makes the finder for one run. */
export function createClientTools(options: ClientToolsOptions): ClientTools {
  const found = new Map<ClientToolName, Promise<Candidate[]>>();
  return {
    async find(name, { major } = {}) {
      let candidates = found.get(name);
      if (candidates === undefined) found.set(name, candidates = search(name, options));
      return await choose(await candidates, { ...options, name, major });
    },
  };
}

/** A program that may be the one wanted. */
interface Candidate {
  readonly path: string;
  /** By its directory's name at first, then by what it says itself. */
  major: number | undefined;
  /** What it says itself; null when it says nothing of the kind. */
  version?: string | null;
}

/** Directories whose entries hold programs, with the names of those, and where in them. */
const PLACES: readonly { parent: string; entry: RegExp; below: string }[] = [
  { parent: "/usr/lib/postgresql", entry: /^(\d+)$/, below: "/bin" }, // Debian
  { parent: "/usr", entry: /^pgsql-(\d+)$/, below: "/bin" }, // Red Hat, from PostgreSQL
  { parent: "/usr/libexec", entry: /^postgresql(\d*)$/, below: "" }, // Alpine
  { parent: "/usr/lib", entry: /^postgresql(\d+)$/, below: "/bin" }, // SUSE
  { parent: "/opt/homebrew/opt", entry: /^(?:postgresql@(\d+)|libpq)$/, below: "/bin" },
  { parent: "/usr/local/opt", entry: /^(?:postgresql@(\d+)|libpq)$/, below: "/bin" },
  { parent: "/Applications/Postgres.app/Contents/Versions", entry: /^(\d+)$/, below: "/bin" },
  { parent: "/usr/local", entry: /^pgsql$/, below: "/bin" }, // built from source
];

/** How long a program may take to tell its version. */
const VERSION_MILLISECONDS = 10_000;

/** All programs of that name, each once: those on PATH first. */
async function search(
  name: ClientToolName,
  { host, directory }: ClientToolsOptions,
): Promise<Candidate[]> {
  // Who names a directory of clients need not have the server there.
  const everywhere = directory === undefined || name === "postgres";
  const places = [
    ...directory === undefined ? [] : [{ path: directory, major: undefined }],
    ...!everywhere ? [] : [
      ...(host.env["PATH"] ?? USUAL_PATH).split(":").filter((each) => each.startsWith("/"))
        .map((path) => ({ path, major: majorOf(path) })),
      ...(await Promise.all(PLACES.map((place) => entriesOf(host, place)))).flat(),
    ],
  ];
  const candidates: Candidate[] = [];
  for (const place of places) {
    const path = await realProgram(host, `${place.path.replace(/\/$/, "")}/${name}`);
    if (path === undefined || candidates.some((each) => each.path === path)) continue;
    candidates.push({ path, major: majorOf(path) ?? place.major });
  }
  return candidates;
}

/** The major in the name of a directory that packages put programs in. */
function majorOf(path: string): number | undefined {
  const digits = /\/(?:postgresql\/|pgsql-|postgresql@?)(\d+)(?:\/|$)/.exec(path)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

async function entriesOf(
  host: Host,
  { parent, entry, below }: (typeof PLACES)[number],
): Promise<{ path: string; major: number | undefined }[]> {
  let entries: readonly { readonly name: string }[];
  try {
    entries = await host.files.list(parent);
  } catch (error) {
    // Most machines have one or two of them.
    if (error instanceof OperationError) return [];
    throw error;
  }
  return entries.flatMap(({ name }) => {
    const match = entry.exec(name);
    if (match === null) return [];
    const major = match[1] ? Number(match[1]) : undefined;
    return [{ path: `${parent}/${name}${below}`, major }];
  });
}

/** The file to start; undefined when there is none, or only Debian's script that looks for one. */
async function realProgram(host: Host, path: string): Promise<string | undefined> {
  const file = await host.programs.find(path);
  if (!file?.executable) return undefined;
  const names = [path, file.realPath].map((each) => each.slice(each.lastIndexOf("/") + 1));
  if (names[1] === "pg_wrapper") return undefined;
  // A program that goes by another name acts by the name that it is started with.
  return names[0] === names[1] ? file.realPath : path;
}

/** The best of the candidates; asks as few of them for their version as it can. */
async function choose(candidates: readonly Candidate[], wanted: Wanted): Promise<ClientTool> {
  const { host, major: least } = wanted;
  const unknown = candidates.filter(({ major, version }) =>
    major === undefined && version !== null
  );
  await Promise.all(unknown.map((candidate) => ask(host, candidate)));
  for (;;) {
    let best: (Candidate & { major: number }) | undefined;
    for (const candidate of candidates) {
      if (!hasMajor(candidate) || candidate.major < (least ?? 0)) continue;
      const better = best === undefined ||
        (least === undefined ? candidate.major > best.major : candidate.major < best.major);
      if (better) best = candidate;
    }
    if (best === undefined) throw notFound(candidates, wanted);
    if (typeof best.version === "string") {
      return { path: best.path, version: best.version, major: best.major };
    }
    await ask(host, best);
  }
}

/** What is wanted, and of which machine. */
interface Wanted extends ClientToolsOptions {
  readonly name: ClientToolName;
  readonly major: number | undefined;
}

function hasMajor(candidate: Candidate): candidate is Candidate & { major: number } {
  return candidate.major !== undefined && candidate.version !== null;
}

async function ask(host: Host, candidate: Candidate): Promise<void> {
  const text = await versionText(host, candidate.path);
  // `psql (PostgreSQL) 15.18 (Debian 15.18-1)`, `pg_dump (PostgreSQL) 18beta1`
  const match = /\)\s+((\d+)[^\s]*)/.exec(text);
  candidate.version = match?.[1] ?? null;
  if (match !== null) candidate.major = Number(match[2]);
}

/** What a program answers to `--version`; nothing when it cannot be started. */
async function versionText(host: Host, path: string): Promise<string> {
  try {
    const program = await host.programs.spawn(path, {
      args: ["--version"],
      env: withoutSecrets(host.env),
      stdin: "none",
      stdout: "stream",
      stderr: "stream",
      group: true,
    });
    const timer = setTimeout(() => program.kill("SIGKILL"), VERSION_MILLISECONDS);
    const [text] = await Promise.all([
      new Response(program.stdout).text(),
      program.stderr.pipeTo(new WritableStream()),
      program.exit,
    ]);
    clearTimeout(timer);
    return text;
  } catch (error) {
    if (error instanceof OperationError) return "";
    throw error;
  }
}

function notFound(candidates: readonly Candidate[], wanted: Wanted): OperationError {
  const { name, major, directory } = wanted;
  const found = candidates.map(({ path, version, major }) => ({
    path,
    version: version ?? (version === null ? null : String(major)),
  }));
  const where = directory === undefined
    ? "on PATH or where packages put it"
    : `in "${directory}", which PG_BIN_DIR names`;
  const outdated = found.filter(({ version }) => version !== null);
  const known = (outdated.length > 0 ? outdated : found)
    .map(({ path, version }) =>
      version === null ? `${path} does not run` : `${path} is ${version}`
    );
  return new OperationError(
    (outdated.length > 0
      ? `Cannot find ${name} of version ${major} or newer`
      : `Cannot find ${name} ${where}`) + (known.length === 0 ? "" : `: ${known.join(", ")}`),
    {
      code: outdated.length > 0 ? "client_tool_outdated" : "client_tool_missing",
      hint: hintFor(wanted),
      details: { name, ...(major === undefined ? {} : { major }), found },
    },
  );
}

function hintFor({ major, directory }: Wanted): string {
  const packages = major === undefined
    ? "postgresql-client on Debian, Ubuntu and Alpine"
    : `postgresql-client-${major} or newer on Debian and Ubuntu (apt.postgresql.org has all), ` +
      `postgresql${major}-client on Alpine, postgresql${major} from yum.postgresql.org`;
  return `Install the package ${packages}; or ${
    directory === undefined ? "name its directory by PG_BIN_DIR" : "change PG_BIN_DIR"
  }`;
}
