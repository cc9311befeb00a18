/** What shells need to complete command lines. */
import { command, definePlugin } from "../../core/plugin.ts";

const completion = command({
  summary: "Print the script by which a shell completes command lines",
  description:
    "At each TAB the shell asks this program, so that what is offered fits: commands, those of " +
    "plugins too, flags, choices, paths, backups, migrations, scripts. No database is asked for it, " +
    "and no plugin runs: its commands are offered once it has been loaded by a run.\n\n" +
    "bash: keep the script as ~/.local/share/bash-completion/completions/observatory, or read it " +
    "from ~/.bashrc; the package bash-completion is not needed for that.\n" +
    "zsh: keep it as _observatory in a directory of fpath, or read it from ~/.zshrc behind compinit.\n" +
    "fish: keep it as ~/.config/fish/completions/observatory.fish.",
  examples: [
    { line: "source <(observatory completion bash)", note: "in this bash, or in ~/.bashrc" },
    { line: "source <(observatory completion zsh)", note: "in this zsh, or in ~/.zshrc" },
    { line: "observatory completion fish | source", note: "in this fish" },
    {
      line: "observatory completion fish > ~/.config/fish/completions/observatory.fish",
      note: "in every fish",
    },
  ],
  effect: "read",
  database: "none",
  args: {
    "shell": { help: "The shell", required: true, choices: ["bash", "zsh", "fish"] },
  },
  async run(_context, { args: { shell } }) {
    const { SCRIPTS } = await import("./scripts.ts");
    const script = SCRIPTS[shell];
    return { data: { shell, script }, text: script };
  },
});

export default definePlugin({
  name: "completion",
  api: 1,
  summary: "Completion of command lines",
  commands: { "completion": completion },
});
