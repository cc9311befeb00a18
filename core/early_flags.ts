/** The flags that decide how a run speaks, read before anything else is known. */
import type { Host } from "./host.ts";
import type { LogLevel } from "./log.ts";

/** How a run speaks. */
export interface EarlyFlags {
  readonly json: boolean;
  /** The least level of the log; undefined where no flag decides it. */
  readonly level: LogLevel | undefined;
  readonly logFormat: "text" | "json";
  /** Whether lines on stderr have colours. */
  readonly colour: boolean;
}

/** The flags that must be known before a user's command can be found, by the names of flags. */
export function pluginFlags(args: readonly string[]): Record<string, unknown> {
  const end = args.indexOf("--");
  const words = args.slice(0, end === -1 ? args.length : end);
  const values = (name: string) =>
    words.flatMap((word, index) =>
      word === name
        ? words[index + 1] ?? []
        : word.startsWith(`${name}=`)
        ? word.slice(name.length + 1)
        : []
    );
  const last = ["env-file", "targets", "target-index"].flatMap((name) => {
    const value = values(`--${name}`).at(-1);
    return value === undefined ? [] : [[name, value]];
  });
  return {
    "plugin-dir": values("--plugin-dir"),
    "no-plugins": words.includes("--no-plugins"),
    ...Object.fromEntries(last),
  };
}

/** Whether a switch is given, alone or among short ones; behind `--` nothing is a switch. */
function hasSwitch(args: readonly string[], long: string, short?: string): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end === -1 ? args.length : end).some((word) =>
    word === long || (short !== undefined && /^-[A-Za-z]+$/.test(word) && word.includes(short))
  );
}

/** Reads what decides the form of the output, however wrong the rest of the line may be. */
export function earlyFlags(args: readonly string[], host: Host): EarlyFlags {
  const value = (name: string) => {
    const index = args.findIndex((word) => word === name || word.startsWith(`${name}=`));
    const word = args[index];
    return word === undefined
      ? undefined
      : word === name
      ? args[index + 1]
      : word.slice(name.length + 1);
  };
  const { NO_COLOR, FORCE_COLOR, TERM, LOG_FORMAT } = host.env;
  const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== "" && FORCE_COLOR !== "0";
  const color = value("--color") ?? (NO_COLOR ? "never" : forced ? "always" : "auto");
  const level: LogLevel | undefined = hasSwitch(args, "--quiet", "q")
    ? "warn"
    : hasSwitch(args, "--verbose")
    ? "debug"
    : undefined;
  return {
    json: hasSwitch(args, "--json"),
    level,
    logFormat: (value("--log-format") ?? LOG_FORMAT) === "json" ? "json" : "text",
    colour: color === "always" || (color === "auto" && host.stderr.isTerminal && TERM !== "dumb"),
  };
}
