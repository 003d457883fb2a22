/** The generated code of both protocols on the wire, and what their servers share: calls as iterables, errors as statuses. */
export * as ntail from "./gen/ntail/streams/v1/service.js";
export * as topics from "./gen/x/topics/v1/buffer.js";
export { requestsOf, respond, signalOf, unary, write } from "./grpc/call.js";
export { statusOf, toServiceError } from "./grpc/status.js";
export { MAX_VARINT_BYTES, WireReader, writeVarint, writeVarint64 } from "./grpc/wire-reader.js";
