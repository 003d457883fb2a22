/**
 * The token bucket that all calls of a fanout share, so that trouble does not multiply the load: it starts with `burst` tokens,
 * its most, each first send adds `ratio`, and each hedge and each re-send that is not free takes one.
 */
export interface Budget {
  readonly burst: number;
  readonly ratio: number;
  tokens: number;
}

export function refill(budget: Budget): void {
  budget.tokens = Math.min(budget.burst, budget.tokens + budget.ratio);
}

/** Takes a token, if there is one. */
export function take(budget: Budget): boolean {
  // The sum of 50 times 0.02 is a little less than 1.
  if (budget.tokens < 1 - 1e-9) return false;
  budget.tokens = Math.max(0, budget.tokens - 1);
  return true;
}

/** Gives back a token that was taken and not used. */
export function giveBack(budget: Budget): void {
  budget.tokens = Math.min(budget.burst, budget.tokens + 1);
}
