import { TopicError } from "../errors.js";
import type { Outgoing, PublishCall } from "./outgoing.js";

interface Failure {
  /** Of the newest message at that time: newer ones do not fail with it. */
  readonly lastOrder: number;
  readonly reason: unknown;
}

/**
 * The calls that failed and whose followers have not: behind a failed message of its key a later one must not succeed, since whoever
 * sends the failed one again would see them swapped.
 */
export class FailedCalls {
  #calls = new Map<PublishCall, Failure>();

  get isEmpty(): boolean {
    return this.#calls.size === 0;
  }

  add(call: PublishCall, failure: Failure): void {
    this.#calls.set(call, failure);
  }

  clear(): void {
    this.#calls.clear();
  }

  /**
   * Forgets the calls, and gives a function that is to be called with every message that is on its way, those of a key in their
   * order: it fails the followers.
   */
  take(): (message: Outgoing) => void {
    const calls = this.#calls;
    this.#calls = new Map();
    const byKey = new Map<string, Failure>();
    return ({ call, key, order }) => {
      const own = calls.get(call);
      const earlier = byKey.get(key);
      if (own) {
        if (!earlier || earlier.lastOrder < own.lastOrder) byKey.set(key, own);
      } else if (earlier && order <= earlier.lastOrder && !call.settled) {
        call.fail(followed(earlier.reason));
      }
    };
  }
}

function followed(reason: unknown): TopicError {
  return new TopicError(
    "unavailable",
    "an earlier message of the same key failed, and this one with it; it may or may not be in the log",
    { cause: reason },
  );
}
