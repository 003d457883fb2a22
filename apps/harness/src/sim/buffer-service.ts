/** `BufferApi` over the simulated network, both sides. */
import { setMaxListeners } from "node:events";
import {
  type BufferApi,
  type BufferConnection,
  type CallOptions,
  type FoundKey,
  type FrameChunk,
  type PublishBatch,
  type PublishReply,
  type ReadRequest,
  type SegmentStatus,
  TopicError,
} from "@x/topic-gateway/protocol";
import type { Network, Service } from "./network.js";
import type { SimProcess } from "./process.js";

interface GetManyBody {
  readonly topic: string;
  readonly keys: readonly string[];
  readonly fromTime?: bigint;
}

/** What a buffer's process listens with. */
export function serveBuffer(buffer: BufferApi): Service {
  return (method, request, { inputs, signal }) => {
    // What comes in was sent by SimBuffer below, so the types are as it sent them.
    switch (method) {
      case "publish":
        return buffer.publish(inputs as AsyncIterable<PublishBatch>, { signal });
      case "read":
        return buffer.read(request as ReadRequest, { signal });
      case "getMany": {
        const { topic, keys, ...options } = request as GetManyBody;
        return buffer.getMany(topic, keys, { ...options, signal });
      }
      case "describe":
        return once(() => buffer.describe((request as { topic: string }).topic, { signal }));
      default:
        throw new TypeError(`a buffer has no method ${method}`);
    }
  };
}

async function* once(answer: () => Promise<unknown>): AsyncGenerator<unknown> {
  yield await answer();
}

/** A buffer as seen from another process. */
export class SimBuffer implements BufferConnection {
  readonly #network: Network;
  readonly #from: SimProcess;
  readonly #address: string;
  readonly #closed: AbortController = new AbortController();

  constructor(network: Network, from: SimProcess, address: string) {
    this.#network = network;
    this.#from = from;
    this.#address = address;
    // Each call listens to it, and there may be any number of them.
    setMaxListeners(0, this.#closed.signal);
  }

  publish(
    batches: AsyncIterable<PublishBatch>,
    options: CallOptions = {},
  ): AsyncIterableIterator<PublishReply> {
    return this.#stream("publish", {}, options, batches) as AsyncIterableIterator<PublishReply>;
  }

  read(request: ReadRequest, options: CallOptions = {}): AsyncIterableIterator<FrameChunk> {
    return this.#stream("read", request, options) as AsyncIterableIterator<FrameChunk>;
  }

  getMany(
    topic: string,
    keys: readonly string[],
    options: CallOptions & { readonly fromTime?: bigint } = {},
  ): AsyncIterableIterator<FoundKey> {
    const { signal, ...rest } = options;
    return this.#stream(
      "getMany",
      { topic, keys, ...rest },
      signal ? { signal } : {},
    ) as AsyncIterableIterator<FoundKey>;
  }

  async describe(topic: string, { signal }: CallOptions = {}): Promise<readonly SegmentStatus[]> {
    return (await this.#ask("describe", { topic }, signal)) as readonly SegmentStatus[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new TopicError("unavailable", "the connection was closed"));
  }

  async *#stream(
    method: string,
    body: unknown,
    { signal }: CallOptions,
    inputs?: AsyncIterable<unknown>,
  ): AsyncGenerator<unknown> {
    using stop = joined(this.#closed.signal, signal);
    try {
      const call = { method, body, signal: stop.signal, ...(inputs && { inputs }) };
      yield* this.#network.call(this.#from, this.#address, call);
    } catch (error) {
      throw toTopicError(error, signal);
    }
  }

  async #ask(method: string, body: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    using stop = joined(this.#closed.signal, signal);
    try {
      return await this.#network.ask(this.#from, this.#address, { method, body, signal: stop.signal });
    } catch (error) {
      throw toTopicError(error, signal);
    }
  }
}

function toTopicError(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted && error === signal.reason) return error;
  if (error instanceof TopicError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new TopicError("unavailable", `the buffer did not answer: ${why}`, { cause: error });
}

/** A signal that aborts with either; AbortSignal.any would do it too, but hangs on garbage collection. */
export function joined(
  a: AbortSignal,
  b: AbortSignal | undefined,
): { readonly signal: AbortSignal } & Disposable {
  const both = new AbortController();
  const onA = (): void => both.abort(a.reason);
  const onB = (): void => both.abort(b?.reason);
  if (b?.aborted) onB();
  else if (a.aborted) onA();
  a.addEventListener("abort", onA);
  b?.addEventListener("abort", onB);
  return {
    signal: both.signal,
    [Symbol.dispose]() {
      a.removeEventListener("abort", onA);
      b?.removeEventListener("abort", onB);
    },
  };
}
