import { backoffMs, sleep } from "../backoff.js";
import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import type { Clock, Random } from "../clock.js";
import { JournalError } from "../errors.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import { systemClock, systemRandom } from "../system.js";
import { Appender, type AppenderOptions } from "./appender.js";
import { type AppendRetryEvent, tell } from "./events.js";
import { isFenced, isPassing } from "./refusal.js";

/** Bytes, or what can be read again from its start at every try. */
export type AppendContent = Uint8Array | { read(signal?: AbortSignal): AsyncIterable<Uint8Array> };

export interface AppendOptions extends AppenderOptions {
  /** Appended one behind the other, as one transaction. None appends nothing: a barrier, which tells the write head and the registers. */
  readonly content?: AppendContent | readonly AppendContent[];
  readonly clock?: Clock;
  readonly random?: Random;
  /** Told before each further try. What it throws is dropped. */
  readonly onEvent?: (event: AppendRetryEvent) => void;
}

/**
 * Appends all of the content as one transaction and gives the broker's answer, whose status is OK.
 *
 * While brokers are unavailable, or do not know yet who serves the journal (`not-journal-primary-broker`, `no-journal-primary-broker`,
 * `insufficient-journal-brokers`), it tries again for as long as `signal` lets it. A broker that went away after it had been told to
 * commit may have done so: then the content stands in the journal twice (at least once, as with Gazette's own client).
 *
 * A request with an explicit `offset` or with `checkRegisters` is tried once: whoever fences sees every refusal. When it fails with
 * "transport" or "invalid-response" after the commit was sent, its message says that the outcome is not known; when nothing was sent at all,
 * it says that nothing was appended, and `nothingSent` is true.
 *
 * @throws JournalError of the broker's status; "transport"; "invalid-response"; "invalid-argument"; the signal's reason; what a source of
 * content threw, in which case nothing was committed
 */
export async function append(
  client: RoutedJournalClient,
  request: AppendRequest,
  options: AppendOptions = {},
): Promise<AppendResponse> {
  const { content = [], signal, clock = systemClock, random = systemRandom, onEvent } = options;
  const parts: readonly AppendContent[] = Array.isArray(content) ? content : [content as AppendContent];
  for (const part of parts) check(part);
  const appender = new Appender(client, request, options);
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      for (const part of parts) {
        if (part instanceof Uint8Array) await appender.write(part);
        else for await (const chunk of part.read(signal)) await appender.write(chunk);
      }
      return await appender.commit();
    } catch (error) {
      const ofRpc = appender.failedWith(error);
      await appender.abort();
      signal?.throwIfAborted();
      if (!ofRpc || isFenced(request) || !isPassing(error)) throw error;
      const delayMs = backoffMs(attempt, random);
      tell(onEvent, { type: "retry", journal: request.journal, error, attempt, delayMs });
      await sleep(clock, delayMs, signal);
      appender.reset();
    }
  }
}

function check(part: AppendContent): void {
  if (part instanceof Uint8Array || typeof part?.read === "function") return;
  throw new JournalError(
    "invalid-argument",
    "content has to be a Uint8Array or have read(), which gives it from its start",
  );
}
