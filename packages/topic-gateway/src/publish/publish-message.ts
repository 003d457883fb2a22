import { isUint8Array } from "node:util/types";
import { TopicError } from "../errors.js";
import type { Headers, MessageBody } from "../protocol/message.js";
import type { Clock } from "../protocol/runtime.js";

export interface PublishMessage {
  /** 1 to 128 bytes of UTF-8. Messages of one key are delivered in order. */
  readonly key: string;
  /** Up to 1 MiB; text is sent as UTF-8. */
  readonly data: Uint8Array | string;
  /** Up to 16 KiB in all. */
  readonly headers?: Headers;
  /** Milliseconds since 1970. Default: now. */
  readonly timeMs?: number;
}

/** What `encodeBody` goes on to check. @throws TopicError "invalid-argument" */
export function bodyOf(message: PublishMessage, clock: Clock): MessageBody {
  if (typeof message !== "object" || message === null) wrong("a message", "an object", message);
  const { key, data, headers, timeMs } = message;
  const bytes = typeof data === "string" ? Buffer.from(data, "utf8") : data;
  // The elements of any other view would be taken for bytes.
  if (!isUint8Array(bytes)) wrong("the data of a message", "text or a Uint8Array", data);
  if (headers && typeof headers !== "object") wrong("the headers of a message", "an object", headers);
  const time = timeMs ?? clock.wallMs();
  if (typeof time !== "number") wrong("the time of a message", "a number", time);
  return { key, data: bytes, time: time * 1000, ...(headers && { headers }) };
}

/** @throws TopicError "invalid-argument" */
export function bodiesOf(messages: readonly PublishMessage[], clock: Clock): MessageBody[] {
  if (!Array.isArray(messages)) wrong("what is published", "an array of messages", messages);
  return Array.from(messages, (message: PublishMessage) => bodyOf(message, clock));
}

function wrong(what: string, allowed: string, value: unknown): never {
  // As "[object Uint16Array]": an enemy's object has no other name that can be relied on.
  const tag = Object.prototype.toString.call(value).slice("[object ".length, -1);
  const given = value === null ? "null" : typeof value === "object" ? tag : typeof value;
  throw new TopicError("invalid-argument", `${what} must be ${allowed}, not ${given}`);
}
