/** How a fanout is doing, for people and metrics. A copy: it does not go on changing. */
export interface FanoutStats {
  /** The tokens in the budget: how many hedges and re-sends could be paid for now. */
  readonly tokens: number;
  /** The servers that were used lately. */
  readonly servers: readonly ServerStats[];
}

export interface ServerStats {
  /** As `serverOf` names it. */
  readonly server: unknown;
  /** Requests that were sent and have neither ended nor been aborted. */
  readonly inFlight: number;
  /** How long its requests take lately, in milliseconds; undefined before the first one has ended. */
  readonly latencyMs: number | undefined;
  /** Whether it is avoided for a while, for its failures. */
  readonly suspect: boolean;
}
