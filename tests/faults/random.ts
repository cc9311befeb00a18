/** Chance that can be had again: each test tells its seed when it fails. */

/** Gives numbers, the same ones for the same seed. */
export interface Chance {
  readonly seed: number;
  /** A whole number from 0 to below a limit. */
  below(limit: number): number;
}

/** Names the environment variable with a seed to repeat a failure with. */
const SEED_VARIABLE = "OBSERVATORY_FAULT_SEED";

/**
 * Runs work with chance; what it fails with tells the seed.
 *
 * @param seed a number of the test's own: its runs are the same each time
 */
export async function withChance<T>(
  seed: number,
  work: (chance: Chance) => Promise<T>,
): Promise<T> {
  const given = Deno.env.get(SEED_VARIABLE);
  const chance = chanceOf(given === undefined ? seed : Number(given));
  try {
    return await work(chance);
  } catch (error) {
    throw new Error(`Failed with ${SEED_VARIABLE}=${chance.seed}`, { cause: error });
  }
}

/** Marsaglia's xorshift of 32 bits. */
function chanceOf(seed: number): Chance {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return {
    seed,
    below(limit) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % limit;
    },
  };
}
