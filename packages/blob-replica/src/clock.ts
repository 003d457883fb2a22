/** Time, taken from outside, so that tests own it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  wallMs(): number;
  /** Milliseconds of a clock that never goes back and has no meaning outside the process. */
  monotonicMs(): number;
  /** Calls back once after at least `delayMs`; the returned function takes it back. Keeps the process alive: somebody awaits it. */
  setTimer(delayMs: number, callback: () => void): () => void;
}

/** Chance, taken from outside. */
export interface Random {
  /** From 0 (inclusive) to 1 (exclusive). */
  number(): number;
  bytes(count: number): Uint8Array;
}
