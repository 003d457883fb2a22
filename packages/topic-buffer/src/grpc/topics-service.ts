/** `x.topics.v1.BufferService` over a buffer. */
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  type FrameChunk,
  hashRangeFromWire,
  type PublishBatch,
  type PublishReply,
  parseTopicName,
  type SegmentId,
  TopicError,
} from "@x/topic-gateway/protocol";
import { requestsOf, respond, signalOf, topics, unary } from "@x/topic-gateway/wire";
import type { BufferNode } from "../node.js";
import { decodePublishRequest, encodePublishResponse, encodeReadResponse } from "./codec.js";

const generated: typeof topics.BufferServiceService = topics.BufferServiceService;

/** The generated one but for the hot messages. A request that can't be decoded is an answer of its own, not the end of the call. */
export const topicsService: TopicsService = {
  ...generated,
  publish: {
    ...generated.publish,
    requestDeserialize: decodeLeniently,
    responseSerialize: encodePublishResponse,
  },
  read: { ...generated.read, responseSerialize: encodeReadResponse },
};

type TopicsService = Omit<typeof generated, "publish" | "read"> & {
  readonly publish: Omit<typeof generated.publish, "requestDeserialize" | "responseSerialize"> & {
    readonly requestDeserialize: (bytes: Buffer) => PublishBatch | TopicError;
    readonly responseSerialize: (reply: PublishReply) => Buffer;
  };
  readonly read: Omit<typeof generated.read, "responseSerialize"> & {
    readonly responseSerialize: (chunk: FrameChunk) => Buffer;
  };
};

/** Thrown in a deserializer, an error would lose its code. */
function decodeLeniently(bytes: Buffer): PublishBatch | TopicError {
  try {
    return decodePublishRequest(bytes);
  } catch (error) {
    if (error instanceof TopicError) return error;
    return new TopicError("invalid-argument", "a request is no protobuf message of its kind", {
      cause: error,
    });
  }
}

export function topicsHandlers(buffer: () => BufferNode): UntypedServiceImplementation {
  const publish: handleBidiStreamingCall<PublishBatch | TopicError, PublishReply> = (call) => {
    const signal = signalOf(call);
    void respond(call, signal, publishReplies(buffer, batchesOf(requestsOf(call)), signal));
  };
  const read: handleServerStreamingCall<topics.ReadRequest, FrameChunk> = (call) => {
    const signal = signalOf(call);
    void respond(call, signal, readChunks(buffer, call.request, signal));
  };
  const getMany: handleServerStreamingCall<topics.GetManyRequest, topics.GetManyResponse> = (call) => {
    const signal = signalOf(call);
    void respond(call, signal, foundKeys(buffer, call.request, signal));
  };
  const describe = unary<topics.DescribeRequest, topics.DescribeResponse>(async ({ topic }, signal) => {
    const segments = await buffer().describe(topic, { signal });
    return {
      segments: segments.map(({ segment, durableSequence, bytes, open }) => ({
        segment: toSegmentRef(segment),
        durableSequence: BigInt(durableSequence),
        bytes: BigInt(bytes),
        open,
      })),
    };
  });
  return { publish, read, getMany, describe };
}

async function* batchesOf(requests: AsyncIterable<PublishBatch | TopicError>): AsyncGenerator<PublishBatch> {
  for await (const request of requests) {
    if (request instanceof TopicError) throw request;
    yield request;
  }
}

async function* publishReplies(
  buffer: () => BufferNode,
  batches: AsyncIterable<PublishBatch>,
  signal: AbortSignal,
): AsyncGenerator<PublishReply> {
  yield* buffer().publish(batches, { signal });
}

async function* readChunks(
  buffer: () => BufferNode,
  { segment, fromSequence }: topics.ReadRequest,
  signal: AbortSignal,
): AsyncGenerator<FrameChunk> {
  if (!segment) throw new TopicError("invalid-argument", "a read must name a segment");
  const request = { segment: fromSegmentRef(segment), fromSequence: Number(fromSequence) };
  yield* buffer().read(request, { signal });
}

async function* foundKeys(
  buffer: () => BufferNode,
  { topic, keys, fromTime, revision, lease }: topics.GetManyRequest,
  signal: AbortSignal,
): AsyncGenerator<topics.GetManyResponse> {
  for await (const { index, found } of buffer().getMany(topic, keys, {
    signal,
    fromTime,
    revision,
    ...(lease > 0n && { lease }),
  })) {
    yield {
      index,
      segment: found && toSegmentRef(found.segment),
      frame: found?.frame ?? Buffer.alloc(0),
    };
  }
}

function toSegmentRef({ topic, range, startTime }: SegmentId): topics.SegmentRef {
  return { topic, hashFrom: range.from, hashTo: range.to - 1, startTime };
}

function fromSegmentRef({ topic, hashFrom, hashTo, startTime }: topics.SegmentRef): SegmentId {
  return { topic: parseTopicName(topic), range: hashRangeFromWire(hashFrom, hashTo), startTime };
}
