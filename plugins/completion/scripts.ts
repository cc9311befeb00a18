/** The scripts that shells read, as text. */
import bash from "./observatory.bash" with { type: "text" };
import fish from "./observatory.fish" with { type: "text" };
import zsh from "./observatory.zsh" with { type: "text" };

/** The script of each shell. */
export const SCRIPTS: Readonly<Record<"bash" | "zsh" | "fish", string>> = { bash, zsh, fish };
