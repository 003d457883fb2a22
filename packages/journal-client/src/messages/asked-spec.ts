import { backoffMs, sleep } from "../backoff.js";
import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import { getJournal } from "../list/list-journals.js";
import type { JournalSpec } from "../protocol/journal-spec.js";
import type { ReadRequest } from "../protocol/requests.js";
import type { RetryReaderOptions } from "../read/retry-reader-options.js";
import { judge, NO_FAILURES } from "../read/retry-rules.js";
import { systemClock, systemRandom } from "../system.js";

/** Asks for a journal as a `RetryReader` of `request` reads it: waits for brokers that are away, and throws what that would. */
export async function askedSpec(
  client: RoutedJournalClient,
  request: ReadRequest,
  options: Omit<RetryReaderOptions, "onOffsetJump">,
): Promise<JournalSpec> {
  const { signal, clock = systemClock, random = systemRandom, onRetry } = options;
  const { journal, offset = 0n } = request;
  for (let failures = NO_FAILURES; ; ) {
    try {
      return await getJournal(client, journal, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      const verdict = judge(failures, request, { offset, fragment: undefined, failed: { error } });
      if (verdict.surfaces) throw error;
      const { attempt } = failures;
      failures = verdict.failures;
      const delayMs = verdict.backoff === undefined ? 0 : backoffMs(verdict.backoff, random);
      onRetry?.({ type: "retry", journal, offset, error, attempt, delayMs });
      await sleep(clock, delayMs, signal);
    }
  }
}
