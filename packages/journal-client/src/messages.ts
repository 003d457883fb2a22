/** Messages in journals: framed, with UUIDs, published alone or in transactions, and read when they are committed. */

export {
  type FrameLimits,
  type Framing,
  fixedProtobuf,
  jsonLines,
  type ProtobufCodec,
} from "./messages/framing.js";
export { jsonMessages } from "./messages/json-messages.js";
export {
  contentTypeLabel,
  type Mapping,
  type MappingKey,
  moduloMapping,
  type Partitions,
  randomMapping,
  rendezvousMapping,
} from "./messages/mapping.js";
export type { Envelope, MessageIterator, MessageType } from "./messages/message.js";
export { type ProducerId, type ProducerState, producerId } from "./messages/producer.js";
export { type AckIntent, Publisher, type PublisherOptions, writeAckIntents } from "./messages/publisher.js";
export { ReadCommitted, type ReadCommittedOptions } from "./messages/read-committed.js";
export { type ReadMessagesOptions, ReadUncommitted } from "./messages/read-uncommitted.js";
export {
  type Checkpoint,
  type QueueOutcome,
  Sequencer,
  type SequencerOptions,
  type SequencerWarning,
} from "./messages/sequencer.js";
export {
  buildUuid,
  clockFromMs,
  clockToMs,
  Flags,
  formatUuid,
  MessageClock,
  newProducerId,
  parseUuid,
  type UuidParts,
  uuidBytes,
} from "./messages/uuid.js";
