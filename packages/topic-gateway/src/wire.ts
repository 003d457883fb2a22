/** The generated code of both protocols on the wire, for servers and clients that speak them directly. */
export * as ntail from "./gen/ntail/streams/v1/service.js";
export * as topics from "./gen/x/topics/v1/buffer.js";
