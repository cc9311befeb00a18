/** Real shells on terminals of their own, in which the program is installed. */
import { join } from "node:path";
import { type Kind, programOf, type Run, startCommand, terminalMissing } from "./program.ts";

/** A directory with the program under its own name, for PATH. */
export interface Installed extends AsyncDisposable {
  readonly directory: string;
}

/** Installs the program. */
export async function installed(kind: Kind): Promise<Installed> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-installed-" });
  const { command, env } = await programOf(kind);
  const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;
  const lines = [
    "#!/bin/sh",
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`),
    `exec ${command.map(quoted).join(" ")} "$@"`,
    "",
  ];
  await Deno.writeTextFile(join(directory, "observatory"), lines.join("\n"), { mode: 0o755 });
  return {
    directory,
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

/** The shells that command lines are completed in. */
export type ShellName = "bash" | "zsh" | "fish";

/** Why a shell cannot be run on a terminal here; undefined when it can. */
export async function shellMissing(shell: ShellName): Promise<string | undefined> {
  try {
    await new Deno.Command(shell, { args: ["--version"], stdout: "null", stderr: "null" }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return `${shell} is not installed (package ${shell})`;
  }
  return await terminalMissing();
}

/** How a shell is started. */
export interface ShellOptions {
  readonly cwd: string;
  /** The directory of the program. */
  readonly program: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs lines in a shell without a terminal, and gives what they write; they must end with 0. */
export async function inShell(
  shell: ShellName,
  script: string,
  options: ShellOptions,
): Promise<string> {
  const run = await startCommand([shell, ...BARE[shell], "-c", script], settingsOf(options));
  await run.endInput();
  const { code, stdout, stderr } = await run.result();
  if (code !== 0 || stderr !== "") {
    throw new Error(`${shell} ends with ${code}: ${stderr}${stdout}`);
  }
  return stdout;
}

/** Starts a shell on a terminal. */
export async function startShell(shell: ShellName, options: ShellOptions): Promise<Run> {
  return await startCommand([shell, ...BARE[shell], "-i"], {
    ...settingsOf(options),
    terminal: true,
  });
}

/** Nobody's own settings are read. */
const BARE: Readonly<Record<ShellName, readonly string[]>> = {
  bash: ["--noprofile", "--norc"],
  zsh: ["-f"],
  fish: ["--no-config"],
};

function settingsOf({ cwd, program, env }: ShellOptions) {
  return {
    cwd,
    env: {
      PATH: `${program}:${Deno.env.get("PATH") ?? ""}`,
      LANG: "C.UTF-8",
      HISTFILE: "",
      ...env,
    },
  };
}
