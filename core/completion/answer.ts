/**
 * What shells ask at each TAB: `observatory __complete SHELL -- WORD…`. It is answered from the
 * declarations and from what is on this machine. No database is asked, and nothing of a user's plugin
 * runs: what they declare is known since they were loaded last.
 */
import { OperationError, type Plugin } from "../plugin.ts";
import { buildCommandTree, type CommandTree } from "../command_tree.ts";
import type { Configuration } from "../config.ts";
import { pluginFlags } from "../early_flags.ts";
import type { UserPlugins } from "../loader.ts";
import { readConfiguration } from "../read_configuration.ts";
import type { Run } from "../run.ts";
import { loadUserPlugins } from "../user_plugins.ts";
import { type Answer, candidatesAt } from "./candidates.ts";
import { positionOf } from "./position.ts";
import { type Asked, isShell, readAsked, SHELLS, writeAnswer } from "./shells.ts";

/** What is known of a run when a shell asks. */
export interface Asking {
  readonly run: Run;
  /** What follows `__complete`: the shell's name, `--`, and what the shell tells of the line. */
  readonly words: readonly string[];
  readonly builtIns: readonly Plugin[];
}

/**
 * Answers a shell.
 *
 * @throws OperationError of kind `usage` for what no script of ours asks
 */
export async function answerShell({ run, words, builtIns }: Asking): Promise<number> {
  const [shell = "", ...rest] = words;
  if (!isShell(shell)) {
    throw new OperationError(`The shell is one of ${SHELLS.join(", ")}`, {
      kind: "usage",
      code: "usage",
    });
  }
  const asked = readAsked(shell, rest.slice(rest.indexOf("--") + 1));
  const answer = await answerLine(run, { asked, builtIns });
  run.host.stdout.write(writeAnswer(shell, { asked, answer }));
  return 0;
}

async function answerLine(
  run: Run,
  { asked: { words, current }, builtIns }: {
    readonly asked: Asked;
    readonly builtIns: readonly Plugin[];
  },
): Promise<Answer> {
  const flags = pluginFlags(words);
  const configuration = await readConfiguration(run.host, flags);
  const user = await declaredPlugins(run, { configuration, builtIns, flags });
  try {
    const tree = user?.tree ?? buildCommandTree(builtIns);
    const position = positionOf(words, current, {
      tree,
      ofPlugin: (name) => treeOf(user?.byPlugin.get(name)),
    });
    return await candidatesAt(position, {
      tree,
      builtIns,
      pluginNames: [...user?.byPlugin ?? []],
      context: { files: run.host.files, config: configuration },
      passedOver: (error) => passOver(run, error),
    });
  } finally {
    await user?.close();
  }
}

function treeOf(plugin: Plugin | undefined): CommandTree | undefined {
  return plugin && buildCommandTree([plugin]);
}

/** The users' plugins that were loaded before; none where they cannot be found. */
async function declaredPlugins(
  run: Run,
  source: {
    readonly configuration: Configuration;
    readonly builtIns: readonly Plugin[];
    readonly flags: Readonly<Record<string, unknown>>;
  },
): Promise<UserPlugins | undefined> {
  try {
    return await loadUserPlugins({ run, ...source, rememberedOnly: true });
  } catch (error) {
    passOver(run, error);
    return undefined;
  }
}

/** What is wrong is for the command itself to tell: nobody can read it beside a line being typed. */
function passOver(run: Run, error: unknown): void {
  if (!(error instanceof OperationError)) throw error;
  run.log.debug(error.message);
}
