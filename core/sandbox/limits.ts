/** What a plugin in its worker may use before it is ended. */

/** The limits of one plugin. */
export interface GuestLimits {
  /** Milliseconds in which it must be loaded. */
  readonly load: number;
  /** Milliseconds of its own that a hook or a plan may take; waiting for the host does not count. */
  readonly hook: number;
  /** Milliseconds that it may go without answering, which it does between any two of its steps. */
  readonly silence: number;
  /** Milliseconds that it may go on once the run is to end. */
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
