/** Publishing to topics and reading from them, without a server: the import graph holds no HTTP, no server and no etcd code. */
export type { SegmentStats, TopicStats } from "./client/describe.js";
export type { TopicEvent } from "./client/events.js";
export {
  type GetOptions,
  type KeyedMessage,
  type PublishMessage,
  type StoredMessage,
  TopicClient,
  type TopicClientOptions,
} from "./client/topic-client.js";
export * from "./errors.js";
export { type GrpcBufferOptions, grpcBuffers } from "./grpc/connect-buffer.js";
export type { BufferHealth } from "./protocol/buffer-health.js";
export type { AppendRetry } from "./publish/publisher.js";
export type {
  Consumer,
  ConsumerOptions,
  HeldSegmentStatus,
  Message,
  PullOptions,
} from "./subscribe/consumer.js";
export type { TailMessage, TailOptions } from "./subscribe/tail.js";
export {
  DEFAULT_RANGE_SIZE_FACTOR,
  type Topic,
  type TopicRange,
  TopicService,
} from "./topics/topic-service.js";
