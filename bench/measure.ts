/** Times whole processes in turn and compares their medians. */

/** One thing that is measured. */
export interface Subject {
  readonly name: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs before each measured run, unmeasured: a fresh database, say. */
  readonly prepare?: () => Promise<void>;
  /** Runs after each measured run, and throws when it did not do its work. */
  readonly check?: () => Promise<void>;
}

/** What was measured of one subject. */
export interface Measurement {
  readonly name: string;
  /** Median, least and most wall time, in milliseconds. */
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** Median of user plus system time, in milliseconds. */
  readonly processor: number;
  /** Median of the peak resident memory, in MiB. */
  readonly memory: number;
  /** Wall time of each round, in milliseconds. */
  readonly walls: readonly number[];
}

// Prints what the kernel accounted for the finished process; Debian's package is `time`.
const TIMER = "/usr/bin/time";

/**
 * Measures all subjects, interleaved: one round runs each once, after one round unmeasured; every
 * other round in the reverse order, so that what warms up or tires falls on all of them.
 */
export async function measure(
  subjects: readonly Subject[],
  rounds: number,
): Promise<Measurement[]> {
  const samples = subjects.map((): Sample[] => []);
  for (let round = -1; round < rounds; round++) {
    const order = [...subjects.entries()];
    if (round % 2 === 1) order.reverse();
    for (const [index, subject] of order) {
      await subject.prepare?.();
      const sample = await runOnce(subject);
      await subject.check?.();
      if (round >= 0) samples[index]?.push(sample);
    }
  }
  return subjects.map(({ name }, index) => summary(name, samples[index] ?? []));
}

interface Sample {
  readonly wall: number;
  readonly processor: number;
  readonly memory: number;
}

async function runOnce(subject: Subject): Promise<Sample> {
  const [program = "", ...args] = subject.command;
  const facts = await Deno.makeTempFile();
  const started = performance.now();
  const { code, stderr } = await new Deno.Command(TIMER, {
    args: ["-f", "%U %S %M", "-o", facts, program, ...args],
    env: subject.env ?? {},
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  const wall = performance.now() - started;
  const [user, system, kibibytes] =
    (await Deno.readTextFile(facts)).trim().split("\n").at(-1)?.split(" ").map(Number) ?? [];
  await Deno.remove(facts);
  if (code !== 0) {
    throw new Error(
      `${subject.name} ended with exit code ${code}: ${
        new TextDecoder().decode(stderr).slice(-2000)
      }`,
    );
  }
  return { wall, processor: ((user ?? 0) + (system ?? 0)) * 1000, memory: (kibibytes ?? 0) / 1024 };
}

function summary(name: string, samples: readonly Sample[]): Measurement {
  const walls = samples.map(({ wall }) => wall);
  return {
    name,
    median: median(walls),
    least: Math.min(...walls),
    most: Math.max(...walls),
    processor: median(samples.map(({ processor }) => processor)),
    memory: median(samples.map(({ memory }) => memory)),
    walls,
  };
}

/** A ratio of two subjects with how sure it is. */
export interface Ratio {
  /** The median of the ratios of each round. */
  readonly median: number;
  /** Its interval of 95 %, by drawing from the rounds again and again. */
  readonly low: number;
  readonly high: number;
}

const DRAWS = 2000;

/** Compares two subjects round by round, which a machine that slows down for a while bears. */
export function ratioOf(measured: Measurement, base: Measurement): Ratio {
  const ratios = measured.walls.map((wall, round) => wall / (base.walls[round] ?? NaN));
  const medians = Array.from(
    { length: DRAWS },
    () => median(ratios.map(() => ratios[Math.floor(Math.random() * ratios.length)] ?? NaN)),
  ).sort((a, b) => a - b);
  return {
    median: median(ratios),
    low: medians[Math.floor(DRAWS * 0.025)] ?? NaN,
    high: medians[Math.floor(DRAWS * 0.975)] ?? NaN,
  };
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = sorted.length % 2 === 1
    ? [sorted[middle], sorted[middle]]
    : [sorted[middle - 1], sorted[middle]];
  return (low + high) / 2;
}

/** Prints one suite: each subject beside the first one. */
export function report(
  title: string,
  measured: readonly Measurement[],
  notes: readonly string[] = [],
): void {
  const [first] = measured;
  const width = Math.max(...measured.map(({ name }) => name.length));
  console.log(`\n${title}`);
  console.log(
    `${"".padEnd(width)}   median ms (least-most)   processor ms   peak MiB   ratio to the first`,
  );
  for (const { name, median, least, most, processor, memory } of measured) {
    const wall = `${median.toFixed(1)} (${least.toFixed(1)}-${most.toFixed(1)})`;
    console.log(
      `${name.padEnd(width)}   ${wall.padEnd(23)}  ${processor.toFixed(0).padStart(12)}   ${
        memory.toFixed(0).padStart(8)
      }   ` +
        (median / (first?.median ?? NaN)).toFixed(2),
    );
  }
  for (const note of notes) console.log(note);
}
