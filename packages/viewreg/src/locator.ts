import type { Endpoint } from "./endpoint.js";

/** Says which servers exist. */
export interface Locator {
  /**
   * Yields the whole set of endpoints: first as it is, then each time it has changed; only the latest when the reader is slow.
   * Order and duplicates mean nothing. Ends when the signal is aborted. When it throws, what it yielded last stays true for the
   * reader, who calls `locate` again after a pause.
   */
  locate(options: { readonly signal: AbortSignal }): AsyncIterable<readonly Endpoint[]>;
}
