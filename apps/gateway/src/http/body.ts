/** Reads the body of a request, which may be anything. */
import { TextDecoder } from "node:util";
import type { Context } from "hono";
import type { ByteBudget, HeldBytes } from "./byte-budget.js";
import { HttpError } from "./errors.js";
import { MAX_BODY_BYTES } from "./http-config.js";
import { JsonSize } from "./json-size.js";

/** Twenty for each of as many messages as a request may have. Many more of them, if small, would keep this process from all else for seconds. */
const MAX_VALUES = 200_000;

/**
 * The whole body as text.
 * @param bodies has what has arrived of it, until it is whole
 * @throws HttpError 413, 400 when it is not UTF-8, and what `bodies` says when it is spent
 */
export async function bodyText(c: Context, bodies: ByteBudget): Promise<string> {
  const announced = Number(c.req.header("content-length") ?? 0);
  if (announced > MAX_BODY_BYTES) throw tooLarge();
  const held = bodies.hold();
  try {
    const body = await readBody(c, held);
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (error) {
    if (
      error instanceof TypeError &&
      (error as { code?: string }).code === "ERR_ENCODING_INVALID_ENCODED_DATA"
    )
      throw new HttpError(400, "invalid-json", "the body is not UTF-8");
    throw error;
  } finally {
    held.release();
  }
}

/** In one piece, since each chunk of a body that comes byte by byte would cost many times what is in it. */
async function readBody(c: Context, held: HeldBytes): Promise<Uint8Array> {
  const size = new JsonSize();
  let body = Buffer.alloc(0);
  let bytes = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    const needed = bytes + chunk.length;
    if (needed > MAX_BODY_BYTES) throw tooLarge();
    size.add(chunk);
    if (size.values > MAX_VALUES) throw tooManyValues();
    held.add(chunk.length);
    if (needed > body.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(MAX_BODY_BYTES, Math.max(needed, 2 * body.length)));
      larger.set(body);
      body = larger;
    }
    body.set(chunk, bytes);
    bytes = needed;
  }
  return body.subarray(0, bytes);
}

function tooLarge(): HttpError {
  return new HttpError(
    413,
    "body-too-large",
    `the body is too large: up to ${MAX_BODY_BYTES} bytes are allowed, send several requests`,
  );
}

function tooManyValues(): HttpError {
  return new HttpError(
    413,
    "body-too-large",
    `the body has too many lines, or values in its JSON: up to ${MAX_VALUES} are allowed, send several requests`,
  );
}
