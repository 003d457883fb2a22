import { backoffMs } from "../backoff.js";
import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import type { Clock, Random } from "../clock.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import { Appender } from "./appender.js";
import type { Batch } from "./batch.js";
import type { Chunk } from "./chunk.js";
import type { ChunkObserver } from "./chunk-list.js";
import type { ChunkMemory } from "./chunk-memory.js";
import { isFenced, isFinal } from "./refusal.js";

export interface BatchOutcome {
  /** Undefined when it is committed. */
  readonly error: unknown;
  readonly response: AppendResponse | undefined;
}

/** Waits until `begin` calls back, or nobody wants to wait any more; `begin` gives what takes it back. */
export type Pause = (begin: (resolve: () => void) => () => void) => Promise<void>;

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

export interface SendDeps {
  readonly client: RoutedJournalClient;
  readonly memory: ChunkMemory;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal | undefined;
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
      await sendContent(batch.content.chunks, appender, deps.memory);
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

/** Large chunks go as they are. Small ones, and those in files, go through one buffer, joined. */
async function sendContent(chunks: readonly Chunk[], appender: Appender, memory: ChunkMemory): Promise<void> {
  const { chunkBytes } = memory;
  let joined: Buffer | undefined;
  let filled = 0;
  try {
    for (let index = 0; index < chunks.length; index++) {
      const chunk = chunks[index] as Chunk;
      const { used } = chunk;
      if (used === 0) continue;
      const behind = chunks[index + 1]?.used ?? chunkBytes;
      const joins = used < chunkBytes / 4 && (filled > 0 ? filled : behind) + used <= chunkBytes;
      // Until it is sent or copied, its memory stays.
      chunk.pinned = true;
      try {
        if (joined !== undefined && filled > 0 && !joins) {
          const size = filled;
          filled = 0;
          await appender.write(joined.subarray(0, size));
        }
        if (chunk.buffer !== undefined && !joins) {
          await appender.write(chunk.buffer.subarray(0, used));
          continue;
        }
        joined ??= memory.take(chunkBytes);
        const into = joined.subarray(filled, filled + used);
        if (chunk.buffer !== undefined) into.set(chunk.buffer.subarray(0, used));
        else if (chunk.place !== undefined) await chunk.place.segment.read(into, chunk.place.position);
        filled += used;
      } finally {
        chunk.pinned = false;
        // It may have been spilled meanwhile.
        chunk.dropMemory();
      }
    }
    if (joined !== undefined && filled > 0) await appender.write(joined.subarray(0, filled));
  } finally {
    if (joined !== undefined) memory.give(joined);
  }
}
