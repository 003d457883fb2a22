/** Buffers over gRPC, `x.topics.v1.BufferService`, as a BufferApi. */
import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";
import { TopicError } from "../errors.js";
import {
  BufferServiceClient,
  BufferServiceService,
  type DescribeResponse,
  type GetManyResponse,
  type SegmentRef,
} from "../gen/x/topics/v1/buffer.js";
import type {
  BufferConnection,
  CallOptions,
  ConnectBuffer,
  FoundKey,
  FrameChunk,
  GetManyOptions,
  PublishBatch,
  PublishReply,
  ReadRequest,
  SegmentStatus,
} from "../protocol/buffer-api.js";
import { hashRangeFromWire } from "../protocol/hash-range.js";
import { parseTopicName } from "../protocol/names.js";
import type { SegmentId } from "../protocol/segment-id.js";
import { decodePublishReplies, decodeReadResponse, encodePublishRequest } from "./hot-messages.js";
import { fromServiceError } from "./status.js";

export interface GrpcBufferOptions {
  /** Default: insecure. */
  readonly credentials?: ChannelCredentials;
  /** Laid over ours. */
  readonly channelOptions?: ChannelOptions;
}

/** Larger than the largest batch or read chunk, which hold at least one whole message. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const CHANNEL_OPTIONS: ChannelOptions = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  // The default window of 64 KiB limits a stream to a fraction of what loopback can carry.
  "grpc-node.flow_control_window": 4 * 1024 * 1024,
  // A buffer that is stopped or cut off sends nothing: only a ping finds out.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

/** The `connect` of a client whose buffers are on the network. */
export function grpcBuffers(options: GrpcBufferOptions = {}): ConnectBuffer {
  return (address) => new GrpcBuffer(address, options);
}

class GrpcBuffer implements BufferConnection {
  readonly #client: BufferServiceClient;

  constructor(address: string, options: GrpcBufferOptions) {
    this.#client = new BufferServiceClient(address, options.credentials ?? credentials.createInsecure(), {
      ...CHANNEL_OPTIONS,
      ...options.channelOptions,
    });
  }

  async *publish(
    batches: AsyncIterable<PublishBatch>,
    { signal }: CallOptions = {},
  ): AsyncGenerator<PublishReply> {
    signal?.throwIfAborted();
    const { path } = BufferServiceService.publish;
    const call = this.#client.makeBidiStreamRequest(path, encodePublishRequest, decodePublishReplies);
    const onAbort = (): void => call.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    const ended = new AbortController();
    const writing = (async () => {
      for await (const batch of batches) {
        if (ended.signal.aborted) return;
        if (!call.write(batch)) await drained(call, ended.signal);
      }
      call.end();
    })().catch(() => call.cancel());
    try {
      for await (const replies of call as AsyncIterable<PublishReply[]>) yield* replies;
    } catch (error) {
      throw signal?.aborted ? signal.reason : fromServiceError(error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      ended.abort();
      call.cancel();
      // The writer waits for its source, which belongs to the caller: it is not waited for.
      void writing;
    }
  }

  async *read(request: ReadRequest, { signal }: CallOptions = {}): AsyncGenerator<FrameChunk> {
    signal?.throwIfAborted();
    const { path, requestSerialize } = BufferServiceService.read;
    const segment = toSegmentRef(request.segment);
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, decodeReadResponse, {
      segment,
      fromSequence: BigInt(request.fromSequence),
    });
    const onAbort = (): void => call.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const chunk of call as AsyncIterable<FrameChunk>) yield chunk;
    } catch (error) {
      throw signal?.aborted ? signal.reason : fromServiceError(error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      call.cancel();
    }
  }

  async *getMany(
    topic: string,
    keys: readonly string[],
    { signal, fromTime = 0n, revision = 0n, lease = 0n }: GetManyOptions = {},
  ): AsyncGenerator<FoundKey> {
    signal?.throwIfAborted();
    const call = this.#client.getMany({ topic, keys: [...keys], fromTime, revision, lease });
    const onAbort = (): void => call.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const { index, segment, frame } of call as AsyncIterable<GetManyResponse>) {
        yield { index, found: segment && { segment: fromSegmentRef(segment), frame } };
      }
    } catch (error) {
      throw signal?.aborted ? signal.reason : fromServiceError(error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      call.cancel();
    }
  }

  async describe(topic: string, { signal }: CallOptions = {}): Promise<readonly SegmentStatus[]> {
    const response = await unary<DescribeResponse>(signal, (done) => this.#client.describe({ topic }, done));
    return response.segments.map(({ segment, durableSequence, bytes, open }) => {
      if (!segment) throw new TopicError("unavailable", "the buffer described a segment without a name");
      return {
        segment: fromSegmentRef(segment),
        durableSequence: Number(durableSequence),
        bytes: Number(bytes),
        open,
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
  }
}

function unary<T>(
  signal: AbortSignal | undefined,
  start: (done: (error: unknown, response: T) => void) => { cancel(): void },
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const call = start((error, response) => {
      signal?.removeEventListener("abort", onAbort);
      if (error) reject(signal?.aborted ? signal.reason : fromServiceError(error));
      else resolve(response);
    });
    const onAbort = (): void => call.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function drained(call: NodeJS.EventEmitter, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.removeListener("drain", done);
      ended.removeEventListener("abort", done);
      resolve();
    };
    call.once("drain", done);
    ended.addEventListener("abort", done, { once: true });
  });
}

export function toSegmentRef({ topic, range, startTime }: SegmentId): SegmentRef {
  return { topic, hashFrom: range.from, hashTo: range.to - 1, startTime };
}

/** @throws TopicError "invalid-topic-name", "invalid-hash-range" */
export function fromSegmentRef({ topic, hashFrom, hashTo, startTime }: SegmentRef): SegmentId {
  return { topic: parseTopicName(topic), range: hashRangeFromWire(hashFrom, hashTo), startTime };
}
