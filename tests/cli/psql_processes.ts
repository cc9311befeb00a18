/** What can be seen of the psql processes of one database, as any user of the machine sees them. */

/** A running psql. */
export interface PsqlProcess {
  readonly pid: number;
  /** Its command line, which everybody can read. */
  readonly words: readonly string[];
}

/** The psql processes whose environment names the database. */
export async function psqlProcesses(database: string): Promise<PsqlProcess[]> {
  const found: PsqlProcess[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const [words, environment] = await Promise.all([list(name, "cmdline"), list(name, "environ")]);
    if (!words[0]?.endsWith("psql") || !environment.includes(`PGDATABASE=${database}`)) continue;
    found.push({ pid: Number(name), words });
  }
  return found;
}

async function list(pid: string, file: string): Promise<string[]> {
  try {
    return (await Deno.readTextFile(`/proc/${pid}/${file}`)).split("\0").slice(0, -1);
  } catch {
    // It has ended meanwhile, or is another user's.
    return [];
  }
}

/** Whether a process is there. */
export async function isRunning(pid: number): Promise<boolean> {
  return (await list(String(pid), "cmdline")).length > 0;
}
