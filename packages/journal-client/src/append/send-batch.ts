import { backoffMs } from "../backoff.js";
import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import type { Clock, Random } from "../clock.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import { Appender } from "./appender.js";
import type { Batch } from "./batch.js";
import type { ChunkObserver } from "./chunk-list.js";
import type { ChunkMemory } from "./chunk-memory.js";
import { isFenced, isFinal } from "./refusal.js";
import type { Pause } from "./send-buffers.js";
import { type SendContentDeps, sendContent } from "./send-content.js";

export interface BatchOutcome {
  /** Undefined when it is committed. */
  readonly error: unknown;
  readonly response: AppendResponse | undefined;
}

/** What the chain of a journal needs of its service. */
export interface ChainService {
  readonly memory: ChunkMemory;
  readonly observe: ChunkObserver | undefined;
  readonly cutoffBytes: number;
  readonly aborted: boolean;
  /** @throws JournalError "invalid-argument" */
  check(request: AppendRequest): void;
  /** Why nothing can be appended to this journal any more. */
  failureOf(journal: string): unknown;
  fail(journal: string, error: unknown): void;
  send(batch: Batch, pause: Pause): Promise<BatchOutcome>;
  /** Nothing is left of the chain. */
  idle(chain: { readonly journal: string }): void;
}

export interface SendDeps extends SendContentDeps {
  readonly client: RoutedJournalClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly onRetry: (journal: string, error: unknown, attempt: number, delayMs: number) => void;
}

/**
 * Sends a batch until it is committed, or the brokers refuse it for good. Of a request that fences, a try that may have been
 * committed is not tried again.
 */
export async function sendBatch(batch: Batch, deps: SendDeps, pause: Pause): Promise<BatchOutcome> {
  const { client, clock, random, signal, onRetry } = deps;
  const { request } = batch;
  for (let attempt = 0; ; attempt++) {
    if (signal?.aborted) return { error: signal.reason, response: undefined };
    const appender = new Appender(client, request, {
      maxChunkBytes: deps.memory.chunkBytes,
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      await sendContent(batch.content.chunks, appender, deps, pause);
      return { error: undefined, response: await appender.commit() };
    } catch (error) {
      await appender.abort();
      if (signal?.aborted) return { error: signal.reason, response: undefined };
      if (isFinal(error, request) || (isFenced(request) && appender.outcomeUnknown)) {
        return { error, response: appender.response };
      }
      const delayMs = backoffMs(attempt, random);
      onRetry(request.journal, error, attempt, delayMs);
      await pause((resolve) => clock.setTimer(delayMs, resolve));
    }
  }
}
