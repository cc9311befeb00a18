/** A TimescaleDB server for tests, in a process of its own. */

import { join } from "node:path";
import { PROJECT } from "../tasks/build.ts";

/** A running TimescaleDB server. */
export interface Timescale extends AsyncDisposable {
  /** The URL of its only database, `postgres`; the extension is there to be created. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Ends it; safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Starts TimescaleDB (PostgreSQL 17, WASM) with an empty database: about three
 * seconds and half a gigabyte of memory. `tests/timescale_bridge.ts` tells what
 * its one session cannot do; it has no background workers either, and does not
 * preload the library, which `CREATE EXTENSION` then loads.
 *
 * @throws Error when it does not start
 */
export async function startTimescale(
  { share = false }: {
    /** Whether clients join a transaction that is open, as whoever uses an exported snapshot needs it. */
    readonly share?: boolean;
  } = {},
): Promise<Timescale> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--allow-all", join(PROJECT, "tests", "timescale_bridge.ts")],
      ...share ? ["--share"] : [],
    ],
    cwd: PROJECT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  const port = Number(value);
  if (!Number.isInteger(port) || port === 0) {
    await child.status;
    throw new Error("Cannot start TimescaleDB: the bridge ended before it told its port");
  }
  let stopping: Promise<void> | undefined;
  async function end(): Promise<void> {
    await child.stdin.close();
    await child.status;
    await reader.cancel();
  }
  function stop(): Promise<void> {
    stopping ??= end();
    return stopping;
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    host: "127.0.0.1",
    port,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
