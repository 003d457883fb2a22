/** What a request brings, checked before anything is done with it. */
import { TextDecoder } from "node:util";
import type { Context } from "hono";
import { HttpError } from "./errors.js";

export const JSON_TYPE = "application/json";
export const NDJSON_TYPE = "application/x-ndjson";

const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** The type without its parameters, one of `allowed`. @throws HttpError 415 */
export function contentType<T extends string>(c: Context, allowed: readonly T[]): T {
  const given = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  const type = allowed.find((one) => one === given);
  if (type !== undefined) return type;
  const what =
    given === "" ? "there is no content-type" : `the content-type ${quote(given)} is not understood`;
  throw new HttpError(415, "unsupported-media-type", `${what}: ${allowed.join(" or ")} is allowed`);
}

/** The whole body as text. @throws HttpError 413, 400 when it is not UTF-8 */
export async function bodyText(c: Context): Promise<string> {
  const announced = Number(c.req.header("content-length") ?? 0);
  if (announced > MAX_BODY_BYTES) throw tooLarge();
  // A decoder of this request alone: it keeps the bytes of a character that is cut by the edge of a chunk.
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of c.req.raw.body ?? []) {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) throw tooLarge();
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  } catch (error) {
    if (
      error instanceof TypeError &&
      (error as { code?: string }).code === "ERR_ENCODING_INVALID_ENCODED_DATA"
    )
      throw new HttpError(400, "invalid-json", "the body is not UTF-8");
    throw error;
  }
}

/** An object with no other fields than these. @throws HttpError 415, 413, 400 */
export async function jsonObject(c: Context, fields: readonly string[]): Promise<Record<string, unknown>> {
  contentType(c, [JSON_TYPE]);
  const text = await bodyText(c);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HttpError(400, "invalid-json", `the body is not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HttpError(400, "invalid-json", `the body must be a JSON object with ${fieldList(fields)}`);
  }
  const unknown = Object.keys(value).find((field) => !fields.includes(field));
  if (unknown !== undefined) {
    throw new HttpError(
      400,
      "invalid-argument",
      `the field ${quote(unknown)} is not known here: ${fieldList(fields)} are allowed`,
    );
  }
  return value as Record<string, unknown>;
}

/** An integer of the query. @throws HttpError 400 */
export function queryInteger(
  c: Context,
  name: string,
  options: { readonly fallback: number; readonly min: number; readonly max: number },
): number {
  const { fallback, min, max } = options;
  const text = c.req.query(name);
  if (text === undefined) return fallback;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new HttpError(
    400,
    "invalid-argument",
    `"${name}" must be an integer from ${min} to ${max}, not ${quote(text)}`,
  );
}

/** A stranger's text for a sentence: with its strange characters escaped, and not too long. */
export function quote(text: string): string {
  const shown = JSON.stringify(text);
  return shown.length > 64 ? `${shown.slice(0, 64)}...` : shown;
}

function fieldList(fields: readonly string[]): string {
  return fields.map((field) => `"${field}"`).join(", ");
}

function tooLarge(): HttpError {
  return new HttpError(
    413,
    "body-too-large",
    `the body is too large: up to ${MAX_BODY_BYTES} bytes are allowed, send several requests`,
  );
}
