/** What a plugin in its worker may use before it is ended, and who watches that. */

import nodeTimers from "node:timers";

/** The limits of one plugin. */
export interface GuestLimits {
  /** Milliseconds in which it must be loaded. */
  readonly load: number;
  /** Milliseconds of its own that a hook or a plan may take; waiting for the host does not count. */
  readonly hook: number;
  /** Milliseconds that it may go without answering, which it does between any two of its steps. */
  readonly silence: number;
  /** Milliseconds of its own that it may go on once the run is to end. */
  readonly grace: number;
  /** Bytes by which the process may grow while it works. */
  readonly memory: number;
}

/** The limits where nothing else is said. */
export const GUEST_LIMITS: GuestLimits = {
  load: 5_000,
  hook: 60_000,
  silence: 60_000,
  grace: 3_000,
  memory: 1 << 30,
};

/** The variable that sets the limit of memory, in MiB. */
export const MEMORY_VARIABLE = "OBSERVATORY_PLUGIN_MEMORY_MB";
/** The variable that sets the limits of hooks, plans and silence, in seconds. */
export const SECONDS_VARIABLE = "OBSERVATORY_PLUGIN_SECONDS";

/** The limits, as the environment sets them. */
export function limitsOf(env: Readonly<Record<string, string | undefined>>): GuestLimits {
  const memory = wholeNumber(env[MEMORY_VARIABLE]);
  const seconds = wholeNumber(env[SECONDS_VARIABLE]);
  return {
    ...GUEST_LIMITS,
    ...(memory === undefined ? {} : { memory: memory * 2 ** 20 }),
    ...(seconds === undefined ? {} : { hook: seconds * 1000, silence: seconds * 1000 }),
  };
}

function wholeNumber(text = ""): number | undefined {
  return /^[1-9]\d{0,6}$/.test(text) ? Number(text) : undefined;
}

/** How often memory is looked at: what allocates fastest takes about 5 MiB in a millisecond. */
const SAMPLE_MILLISECONDS = 20;

interface Watched {
  readonly limit: number;
  base: number;
  exceeded(): void;
}

// Of several at work, the one that began last is at work now: the others wait for it.
const watched: Watched[] = [];
let sampling: ReturnType<typeof setInterval> | undefined;

/**
 * Watches the memory of the process while a plugin works; the runtime itself would end the process.
 *
 * @param exceeded is called when the process has grown by more than the limit
 * @returns what ends the watch
 */
export function watchMemory(limit: number, exceeded: () => void): () => void {
  const entry: Watched = { limit, base: Deno.memoryUsage().rss, exceeded };
  watched.push(entry);
  sampling ??= setInterval(sample, SAMPLE_MILLISECONDS);
  return () => {
    const index = watched.indexOf(entry);
    if (index >= 0) watched.splice(index, 1);
    if (watched.length > 0) return;
    clearInterval(sampling);
    sampling = undefined;
  };
}

function sample(): void {
  const { rss } = Deno.memoryUsage();
  const last = watched.at(-1);
  if (last === undefined || rss - last.base <= last.limit) return;
  watched.pop();
  // What it has taken is none of theirs, and not free at once.
  for (const entry of watched) entry.base = rss;
  last.exceeded();
}

/**
 * Watches the memory of the process after a plugin was ended that may go on all the same: the
 * runtime interrupts a worker that never pauses only after two seconds, and since 2.8 not at all.
 *
 * @param runaway is called once, when the process has grown by more than the limit since now
 */
export function watchRunaway(limit: number, runaway: () => void): void {
  const base = Deno.memoryUsage().rss;
  // The global one gives a number or an object, as the program is compiled or not.
  const timer = nodeTimers.setInterval(() => {
    if (Deno.memoryUsage().rss - base <= limit) return;
    nodeTimers.clearInterval(timer);
    runaway();
  }, SAMPLE_MILLISECONDS);
  // Nothing waits for it.
  timer.unref();
}

/** Work of a plugin that is waited for. */
export interface TimedWork {
  /** Milliseconds of its own that it may take; undefined when it may take as long as it wants. */
  readonly limit: number | undefined;
  /** Whether the run is to end. */
  readonly ending: () => boolean;
  /** How many calls of the host it waits for. */
  waiting: number;
}

/** How a plugin has gone beyond its time. */
export type Overrun = "slow" | "silent" | "ending";

/** The clock of one plugin. */
export interface GuestClock {
  /** Counts the time of some work; what it returns ends that. */
  count(work: TimedWork): () => void;
  /** The plugin has answered. */
  answered(): void;
}

/**
 * Makes a clock. It counts its own ticks and asks nothing how late it is, so that the time in which
 * the process was stopped, or the machine asleep, is nobody's.
 *
 * @param options.ask asks the plugin to answer
 * @param options.overrun is told which work took too long
 */
export function createClock(
  limits: GuestLimits,
  { ask, overrun }: { ask(): void; overrun(how: Overrun, work: TimedWork): void },
): GuestClock {
  const used = new Map<TimedWork, { own: number; ending: number }>();
  const tick = Math.max(
    5,
    Math.min(250, Math.min(limits.load, limits.hook, limits.silence, limits.grace) / 4),
  );
  let ticking: ReturnType<typeof setInterval> | undefined;
  let silent = 0;
  let asked = false;

  function count(): void {
    for (const [work, time] of used) {
      if (work.waiting === 0) time.own += tick;
      if (work.waiting === 0 && work.ending()) time.ending += tick;
      if (time.ending >= limits.grace) return overrun("ending", work);
      if (work.limit !== undefined && time.own >= work.limit) return overrun("slow", work);
      silent += asked ? tick / used.size : 0;
      if (silent >= limits.silence) return overrun("silent", work);
    }
    if (asked) return;
    asked = true;
    ask();
  }
  return {
    count(work) {
      used.set(work, { own: 0, ending: 0 });
      ticking ??= setInterval(count, tick);
      return () => {
        used.delete(work);
        if (used.size > 0) return;
        clearInterval(ticking);
        ticking = undefined;
        silent = 0;
        asked = false;
      };
    },
    answered() {
      silent = 0;
      asked = false;
    },
  };
}
