/** Messages as JSON: text as it is, anything else as base64 with a flag. */
import type { Message, PublishMessage } from "@x/topic-gateway";
import { HttpError } from "./errors.js";

const FIELDS = new Set(["key", "data", "base64", "headers"]);
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @param where names the place in the request, for the error */
export function parseMessage(text: string, where: string): PublishMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HttpError(
      400,
      "invalid-json",
      `${where} is no JSON (${(error as Error).message}): one object {"key": "...", "data": "..."} is allowed`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(where, "is not an object");
  const { key, data, base64 = false, headers } = value as Record<string, unknown>;
  const unknown = Object.keys(value).find((field) => !FIELDS.has(field));
  if (unknown !== undefined) fail(where, `has the unknown field ${JSON.stringify(unknown).slice(0, 64)}`);
  if (typeof key !== "string") fail(where, `has a "key" that is no text`);
  if (typeof data !== "string") fail(where, `has "data" that is no text`);
  if (typeof base64 !== "boolean") fail(where, `has a "base64" that is neither true nor false`);
  if (base64 && !BASE64.test(data)) fail(where, `has "data" that is not base64`);
  if (headers !== undefined && !isHeaders(headers)) fail(where, `has "headers" that are not texts by name`);
  return {
    key,
    data: base64 ? Buffer.from(data, "base64") : data,
    ...(headers !== undefined && { headers: headers as Record<string, string> }),
  };
}

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
  message: Pick<Message, "id" | "key" | "data" | "headers" | "time">,
): JsonMessage {
  const { id, key, headers, time } = message;
  const rest = Object.keys(headers).length > 0 ? { headers } : {};
  return { id, key, ...jsonData(message.data), ...rest, time: new Date(time).toISOString() };
}

function jsonData(data: Uint8Array): { readonly data: string; readonly base64?: true } {
  try {
    return { data: utf8.decode(data) };
  } catch {
    return { data: Buffer.from(data).toString("base64"), base64: true };
  }
}

function isHeaders(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string")
  );
}

function fail(where: string, what: string): never {
  throw new HttpError(
    400,
    "invalid-message",
    `${where} ${what}: {"key": text, "data": text, "base64"?: true, "headers"?: {name: text}} is allowed`,
  );
}
