/** What a program is built from, as git knows it. */

/** The commit, and its date such as 2026-01-31. */
export interface BuildFacts {
  readonly commit: string;
  readonly date: string;
}

/**
 * The commit that is built and its date, for `--version`; named where there is no repository.
 *
 * @param paths what of the project is built: a change in it is told
 */
export async function buildFacts(
  project: string,
  paths: readonly string[],
): Promise<BuildFacts> {
  const named = Deno.env.get("OBSERVATORY_COMMIT") ?? "";
  const day = Deno.env.get("OBSERVATORY_COMMIT_DATE") || new Date().toISOString().slice(0, 10);
  if (named !== "") return { commit: named.slice(0, 7), date: day };
  const head = await git(project, ["log", "-1", "--format=%h %cs"]);
  const [commit, date] = head?.split(" ") ?? [];
  if (commit === undefined || date === undefined) {
    return { commit: "unknown", date: new Date().toISOString().slice(0, 10) };
  }
  const changed = await git(project, ["status", "--porcelain", "--", ...paths]);
  return { commit: changed === "" ? commit : `${commit}-modified`, date };
}

/** What git prints; undefined when there is no git, or no repository. */
export async function git(
  project: string,
  args: readonly string[],
): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: [...args],
      cwd: project,
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
