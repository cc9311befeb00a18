/**
 * Client programs that fail as they are told: the real ones, wrapped in a script that runs what a
 * variable says, of pg_dump `FAULT`. They are found by `PG_BIN_DIR`.
 */
import { dirname, join } from "node:path";
import { until } from "../cli/project.ts";
import { clientTools } from "../database.ts";

/** A directory of client programs. */
export interface Shim extends AsyncDisposable {
  readonly directory: string;
  /** What a run is given to meet a fault. */
  env(fault: string): Readonly<Record<string, string>>;
  /** A dump that is held after some bytes, by default in its middle, until it is let go. */
  hold(bytes?: number): Hold;
  /**
   * The same for a fault of the test's own, which tells that it is reached, and waits. Beside
   * `FAULT` there are `FAULT_GLOBALS`, for pg_dumpall, `FAULT_RESTORE`, for pg_restore, `FAULT_PSQL`,
   * and `FAULT_VERSION`, which comes before anything is dumped or counted.
   */
  holdAt(fault: (flag: string) => Readonly<Record<string, string>>): Hold;
}

/** A run that is held. */
export interface Hold {
  readonly env: Readonly<Record<string, string>>;
  /** Waits until the run is there. */
  reached(): Promise<void>;
  release(): Promise<void>;
}

/** The words of a fault that is held where they stand. */
export function holdHere(flag: string): string {
  return `: >"${flag}.reached"; until [ -e "${flag}" ]; do sleep 0.01; done`;
}

/** So early that the rest does not fit the pipe, and pg_dump waits for it, however it compresses. */
const MIDDLE = 20_000;

/**
 * What a fault is written with, in bash. `$directory` is where a dump in the directory format goes,
 * `$args` what pg_dump is given.
 */
const WORDS = `
# All of the dump, and pg_dump's own end.
whole() { "$real" "\${args[@]}"; }
# The first bytes of the dump; pg_dump is ended by the pipe.
first() { "$real" "\${args[@]}" | head -c "$1"; }
# All of the dump, held after some bytes until a file is there; \`$2.reached\` tells that they are out.
held() {
  "$real" "\${args[@]}" | { head -c "$1"; : >"$2.reached"; until [ -e "$2" ]; do sleep 0.01; done; cat; }
  return "\${PIPESTATUS[0]}"
}
# pg_dump, killed when a directory has some bytes.
upto() {
  "$real" "\${args[@]}" & pid=$!
  while kill -0 $pid 2>/dev/null && [ "$(cat "$directory"/* 2>/dev/null | wc -c)" -lt "$1" ]; do :; done
  kill -KILL $pid 2>/dev/null && wait $pid 2>/dev/null
  exit 137
}
# All of what comes by standard input, held after some bytes until a file is there.
fed() {
  { head -c "$1"; : >"$2.reached"; until [ -e "$2" ]; do sleep 0.01; done; cat; } | "$real" "\${args[@]}"
}
# The same to the end of the line: what then ends there looks whole.
lines() {
  {
    head -c "$1"; IFS= read -r line; printf '%s\n' "$line"
    : >"$2.reached"; until [ -e "$2" ]; do sleep 0.01; done; cat
  } | "$real" "\${args[@]}"
}
die() { kill -KILL $$; }
hang() { exec sleep 1000; }
`;

/** Makes the directory. */
export async function makeShim(): Promise<Shim> {
  const tools = await clientTools();
  if (tools === undefined) throw new Error("There are no client programs");
  const directory = await Deno.makeTempDir({ prefix: "observatory-shim-" });
  for (const name of ["psql", "pg_restore", "pg_dump", "pg_dumpall"]) {
    const real = join(dirname(tools.pgDump), name);
    await Deno.writeTextFile(join(directory, name), scriptFor(real), { mode: 0o755 });
  }
  const env = (fault: string) => ({ PG_BIN_DIR: directory, FAULT: fault });
  const holdAt: Shim["holdAt"] = (fault) => {
    const flag = join(directory, crypto.randomUUID());
    return {
      env: fault(flag),
      reached: () =>
        until("the run is held", () => Deno.stat(`${flag}.reached`).then(() => true, () => false)),
      release: () => Deno.writeTextFile(flag, ""),
    };
  };
  return {
    directory,
    env,
    holdAt,
    hold: (bytes = MIDDLE) => holdAt((flag) => env(`held ${bytes} ${flag}`)),
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

/** What they are asked beside their work is answered by the real ones. */
function scriptFor(real: string): string {
  return `#!/usr/bin/env bash
real='${real}'
args=("$@")
for word in "$@"; do
  case $word in
    --version) eval "\${FAULT_VERSION:-}"; exec "$real" "$@" ;;
    --host=/nowhere) exec "$real" "$@" ;;
    --file=*) directory=\${word#--file=} ;;
  esac
done
${WORDS}
case $0 in
  */pg_dump) eval "\${FAULT:-whole}" ;;
  */pg_restore) eval "\${FAULT_RESTORE:-whole}" ;;
  */psql) eval "\${FAULT_PSQL:-whole}" ;;
  *) eval "\${FAULT_GLOBALS:-whole}" ;;
esac
`;
}
