/** Messages as JSON: text as it is, anything else as base64 with a flag. */
import type { Message, PublishMessage } from "@x/topic-gateway";
import { encodeBody, MAX_DATA_BYTES, TopicError } from "@x/topic-gateway/protocol";
import { HttpError } from "./errors.js";
import { quote } from "./input.js";

const FIELDS = new Set(["key", "data", "base64", "headers"]);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * @param where names the place in the request, for the error
 * @throws HttpError 400, 413
 */
export function parseMessage(text: string, where: string): PublishMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HttpError(
      400,
      "invalid-json",
      `${where} is not valid JSON (${(error as Error).message}): one object {"key": "...", "data": "..."} is allowed`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(where, "is not an object");
  const { key, data, base64 = false, headers = {} } = value as Record<string, unknown>;
  const unknown = Object.keys(value).find((field) => !FIELDS.has(field));
  if (unknown !== undefined) fail(where, `has the unknown field ${quote(unknown)}`);
  if (typeof key !== "string") fail(where, `has ${whatIs("key", key)}`);
  if (typeof data !== "string") fail(where, `has ${whatIs("data", data)}`);
  if (typeof base64 !== "boolean") fail(where, `has a "base64" that is neither true nor false`);
  if (!isHeaders(headers)) fail(where, `has "headers" that are not texts by name`);
  const bytes = base64 ? fromBase64(data, where) : fromText(data, where);
  const message = { key, data: bytes, ...(Object.keys(headers).length > 0 && { headers }) };
  try {
    // The client checks the same when it encodes; done here, the error can name the line.
    encodeBody({ ...message, data: bytes.length > MAX_DATA_BYTES ? bytes : NO_DATA, time: 0 });
  } catch (error) {
    if (!(error instanceof TopicError)) throw error;
    const status = error.code === "message-too-large" ? 413 : 400;
    throw new HttpError(status, error.code, `${where}: ${error.message}`);
  }
  return message;
}

const NO_DATA: Uint8Array = new Uint8Array(0);

export interface JsonMessage {
  readonly id: string;
  readonly key: string;
  readonly data: string;
  /** Only there, and true, when `data` is base64. */
  readonly base64?: true;
  readonly headers?: Readonly<Record<string, string>>;
  /** When it was published, ISO 8601. */
  readonly time: string;
}

export function toJsonMessage(
  message: Pick<Message, "id" | "key" | "data" | "headers" | "timeMs">,
): JsonMessage {
  const { id, key, headers, timeMs } = message;
  const rest = Object.keys(headers).length > 0 ? { headers } : {};
  return { id, key, ...jsonData(message.data), ...rest, time: new Date(timeMs).toISOString() };
}

function jsonData(data: Uint8Array): { readonly data: string; readonly base64?: true } {
  try {
    return { data: utf8.decode(data) };
  } catch {
    return { data: Buffer.from(data).toString("base64"), base64: true };
  }
}

function fromBase64(data: string, where: string): Uint8Array {
  const bytes = Buffer.from(data, "base64");
  // Node reads past what is not base64, so it is compared with what the bytes would look like.
  if (bytes.toString("base64") !== data)
    fail(where, `has "data" that is not base64 (A-Z a-z 0-9 + / with = at the end)`);
  return bytes;
}

function fromText(data: string, where: string): Uint8Array {
  // It would be stored as another text than the one that was sent.
  if (!data.isWellFormed())
    fail(where, `has "data" with half of a surrogate pair; such bytes travel as base64`);
  return Buffer.from(data, "utf8");
}

function isHeaders(value: unknown): value is Record<string, string> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(
      ([name, text]) => name.isWellFormed() && typeof text === "string" && text.isWellFormed(),
    )
  );
}

function whatIs(field: string, value: unknown): string {
  return value === undefined ? `no "${field}"` : `a "${field}" that is not text`;
}

function fail(where: string, what: string): never {
  throw new HttpError(
    400,
    "invalid-message",
    `${where} ${what}: {"key": text, "data": text, "base64"?: true, "headers"?: {name: text}} is allowed`,
  );
}
