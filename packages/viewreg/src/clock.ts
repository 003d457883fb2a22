/** Time, taken from outside, so that tests and simulations own it. */
export interface Clock {
  /** Milliseconds of a clock that never goes back and has no meaning outside the process. May have a fraction. */
  monotonicMs(): number;
  /** Calls back once after at least `delayMs`; the returned function takes it back. Never keeps the process alive. */
  setTimer(delayMs: number, callback: () => void): () => void;
}
