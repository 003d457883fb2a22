import type { IResponseHeader } from "etcd3";
import { CoordError } from "../errors.js";
import type { WatchBatch } from "../port.js";
import { type CallScope, guarded } from "./call.js";
import type { WireRange } from "./codec.js";
import type { Endpoints } from "./endpoints.js";
import { WatchStream } from "./watch-stream.js";

/** What a watch needs of the coord it belongs to. */
export interface WatchHost {
  readonly scope: CallScope;
  readonly endpoints: Endpoints;
  readonly probeIntervalMs: number;
  readonly queueBytes: number;
  readonly maxReconnectDelayMs: number;
  /** At least 0, below 1. */
  readonly random: () => number;
  /** Looks at the header of a watch response. @throws CoordError "history-lost" */
  readonly observe: (header: IResponseHeader) => void;
  /** A linearizable read, for its header. @throws CoordError */
  readonly checkHistory: (range: WireRange, signal: AbortSignal) => Promise<unknown>;
}

export interface WatchRequest {
  /** Undefined matches nothing, ever. */
  readonly range: WireRange | undefined;
  /** The first revision to tell. */
  readonly from: Promise<bigint>;
  readonly signal: AbortSignal | undefined;
}

/** The reason of the stop that is no error. */
const LEFT: unique symbol = Symbol("left");
const FIRST_RECONNECT_DELAY_MS = 100;

/**
 * The watch over all its streams. `return` ends it even while a `next` waits, which a bare generator would not.
 */
export function watchRevisions(host: WatchHost, request: WatchRequest): AsyncIterableIterator<WatchBatch> {
  const stop = new AbortController();
  const generator = stoppable(host, request, stop);
  const iterator: AsyncIterableIterator<WatchBatch> = {
    [Symbol.asyncIterator]: () => iterator,
    next: () => generator.next(),
    return: async () => {
      stop.abort(LEFT);
      return await generator.return(undefined);
    },
  };
  return iterator;
}

async function* stoppable(
  host: WatchHost,
  { range, from, signal }: WatchRequest,
  stop: AbortController,
): AsyncGenerator<WatchBatch, undefined> {
  const { ended } = host.scope;
  const onSignal = (): void => stop.abort(signal?.reason);
  const onEnded = (): void => stop.abort(ended.reason);
  signal?.addEventListener("abort", onSignal);
  ended.addEventListener("abort", onEnded);
  try {
    signal?.throwIfAborted();
    ended.throwIfAborted();
    const first = await unlessStopped(stop.signal, from);
    if (range === undefined) await unlessStopped(stop.signal, new Promise(() => {}));
    else yield* overReconnects(host, range, first, stop.signal);
  } catch (error) {
    if (error !== LEFT) throw error;
  } finally {
    signal?.removeEventListener("abort", onSignal);
    ended.removeEventListener("abort", onEnded);
  }
}

async function* overReconnects(
  host: WatchHost,
  range: WireRange,
  from: bigint,
  stop: AbortSignal,
): AsyncGenerator<WatchBatch, undefined> {
  let next = from;
  for (let failures = 0; ; failures++) {
    if (failures > 0) await backOff(host, failures, stop);
    const client = host.endpoints.current;
    const options = { ...host, range, from: next, stop };
    let stream: WatchStream;
    try {
      stream = await openWithin(host.scope, stop, () => WatchStream.open(host.scope, client, options));
    } catch (error) {
      rethrowUnlessUnavailable(error);
      host.endpoints.failed(client);
      continue;
    }
    try {
      for (;;) {
        const taken = await stream.take();
        if (taken.type === "batch") {
          yield taken.batch;
        } else if (taken.type === "lost") {
          // Should it have been for an old token: a unary call makes etcd3 fetch a new one, a stream does not.
          if (taken.refused) await host.checkHistory(range, stop);
          break;
        } else {
          // On a wiped server the watch would wait in silence until the revisions come up to where it begins, so each
          // new stream begins with a look at whether they are behind what was seen. After the creation: before it,
          // the look could still have met the old server.
          await host.checkHistory(range, stop);
          failures = 0;
        }
      }
    } catch (error) {
      rethrowUnlessUnavailable(error);
    } finally {
      await stream.close();
    }
    next = stream.next;
    host.endpoints.failed(client);
  }
}

/** Everything else would come again on the next stream. */
function rethrowUnlessUnavailable(error: unknown): void {
  if (!(error instanceof CoordError && error.code === "unavailable")) throw error;
}

/** etcd3 may authenticate before it opens the stream, without a deadline. A stream that comes too late is closed. */
async function openWithin(
  scope: CallScope,
  stop: AbortSignal,
  open: () => Promise<WatchStream>,
): Promise<WatchStream> {
  let late = false;
  const timeoutMs = scope.requestTimeoutMs;
  return await guarded(scope, { what: "open a watch", signal: stop, timeoutMs }, async (onStop) => {
    onStop(() => {
      late = true;
    });
    const stream = await open();
    if (late) await stream.close();
    return stream;
  });
}

/**
 * Doubles up to the most, and takes a random part of it ("full jitter"), so that the watches of many processes don't
 * come back all at once.
 */
async function backOff(host: WatchHost, failures: number, stop: AbortSignal): Promise<void> {
  const most = Math.min(host.maxReconnectDelayMs, FIRST_RECONNECT_DELAY_MS * 2 ** Math.min(failures - 1, 20));
  let cancelTimer = (): void => {};
  const over = new Promise<void>((resolve) => {
    cancelTimer = host.scope.clock.setTimer(most * host.random(), resolve);
  });
  await unlessStopped(stop, over).finally(cancelTimer);
}

/** @throws what `stop` was aborted with */
async function unlessStopped<T>(stop: AbortSignal, work: Promise<T>): Promise<T> {
  stop.throwIfAborted();
  let onStop = (): void => {};
  const stopped = new Promise<never>((_, reject) => {
    onStop = () => reject(stop.reason);
    stop.addEventListener("abort", onStop);
  });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    stop.removeEventListener("abort", onStop);
  }
}
