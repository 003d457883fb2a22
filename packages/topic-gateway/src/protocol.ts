/** The records, frames, names and ports of topics: what a buffer, a store or another gateway is written against. PROTOCOL.md explains them. */
export * from "./errors.js";
export * from "./protocol/buffer-api.js";
export * from "./protocol/buffer-health.js";
export * from "./protocol/frame.js";
export * from "./protocol/hash-range.js";
export * from "./protocol/keys.js";
export * from "./protocol/message.js";
export * from "./protocol/message-id.js";
export * from "./protocol/names.js";
export * from "./protocol/records.js";
export * from "./protocol/runtime.js";
export * from "./protocol/segment-archive.js";
export * from "./protocol/segment-id.js";
export * from "./protocol/segment-log.js";
export * from "./topics/cache.js";
export * from "./topics/state.js";
