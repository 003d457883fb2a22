/** What a request brings, checked before anything is done with it. */
import type { Context } from "hono";
import { bodyText } from "./body.js";
import type { ByteBudget } from "./byte-budget.js";
import { HttpError } from "./errors.js";

export const JSON_TYPE = "application/json";
export const NDJSON_TYPE = "application/x-ndjson";

/** Messages of an append, or acknowledgements of a commit: what a pull delivers at most. */
export const MAX_MESSAGES = 10_000;

/** The type without its parameters, one of `allowed`. @throws HttpError 415 */
export function contentType<T extends string>(c: Context, allowed: readonly T[]): T {
  const given = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  const type = allowed.find((one) => one === given);
  if (type !== undefined) return type;
  const what =
    given === "" ? "there is no content-type" : `the content-type ${quote(given)} is not understood`;
  throw new HttpError(415, "unsupported-media-type", `${what}: ${allowed.join(" or ")} is allowed`);
}

/** An object with no other fields than these. @throws HttpError 415, 413, 503, 400 */
export async function jsonObject(
  c: Context,
  { fields, bodies }: { readonly fields: readonly string[]; readonly bodies: ByteBudget },
): Promise<Record<string, unknown>> {
  contentType(c, [JSON_TYPE]);
  const text = await bodyText(c, bodies);
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

/** @param what of which a request has too many */
export function tooMany(what: string): HttpError {
  return new HttpError(
    413,
    "too-many-messages",
    `these are too many ${what}: up to ${MAX_MESSAGES} a request are allowed, send several requests`,
  );
}
