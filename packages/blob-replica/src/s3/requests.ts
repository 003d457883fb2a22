import { Readable } from "node:stream";
import type { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { BlobError } from "../errors.js";
import { type Followed, follow } from "../replica/abort.js";
import { s3Error } from "./errors.js";

/** What runs gets a signal of its own, so that nothing stays on the caller's, which is thrown as it is; other errors are ours. */
export async function request<Result>(
  what: string,
  signal: AbortSignal | undefined,
  work: (abortSignal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  signal?.throwIfAborted();
  const followed: Followed = follow(signal);
  try {
    const result = await work(followed.controller.signal);
    signal?.throwIfAborted();
    return result;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw s3Error(error, what);
  } finally {
    followed.release();
  }
}

/** The content of an answer, as it comes. Leaving the loop ends the connection; so does an abort. */
export async function* bodyOf(
  body: unknown,
  abortSignal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = body as Body | undefined;
  if (stream === undefined) return;
  const onAbort = (): void => stream.destroy?.();
  if (abortSignal.aborted) onAbort();
  else abortSignal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of stream) {
      abortSignal.throwIfAborted();
      if (chunk.length > 0) yield chunk;
    }
    abortSignal.throwIfAborted();
  } finally {
    abortSignal.removeEventListener("abort", onAbort);
    stream.destroy?.();
  }
}

/** Ends the connection of an answer whose content nobody wants. */
export function leave(body: unknown): void {
  (body as Body | undefined)?.destroy?.();
}

/** Node's: a Readable. */
type Body = AsyncIterable<Uint8Array> & { destroy?(error?: Error): void };

/** All that is needed of a client. */
export type S3Sender = Pick<S3Client, "send">;

/** When all of them are there, and before they are signed. */
export function changeHeaders(
  command: GetObjectCommand | PutObjectCommand,
  change: (headers: Record<string, string>) => void,
): void {
  stackOf(command).add(
    (next) => (args) => {
      change((args.request as { headers: Record<string, string> }).headers); // an HTTP request, in this step
      return next(args);
    },
    { step: "build", priority: "low", name: "blobReplicaHeaders" },
  );
}

/** A page of a listing has a thousand keys of at most 1 KiB, of which each byte may be escaped. */
const mostAnswerBytes = 16 * 1024 * 1024;

/**
 * The SDK collects errors and listings, and whatever else a server answers: one that does not end them would fill the memory.
 * `content` is what comes piece by piece, and is bounded by who takes it.
 */
export function boundAnswer(
  command: { readonly middlewareStack: object },
  what: string,
  { content = false }: { readonly content?: boolean } = {},
): void {
  stackOf(command).add(
    (next) => async (args) => {
      const result = await next(args);
      const response = result.response as HttpAnswer; // an HTTP response, in this step
      const { body, headers, statusCode } = response;
      if (Number(headers["content-length"]) <= mostAnswerBytes || (content && statusCode < 300))
        return result;
      if (body?.[Symbol.asyncIterator] === undefined) return result;
      response.body = Readable.from(bounded(body, what), { objectMode: false });
      return result;
    },
    { step: "deserialize", priority: "low", name: "blobReplicaAnswer" },
  );
}

interface HttpAnswer {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  body?: Body;
}

/** Whoever leaves this loop ends the connection. */
async function* bounded(body: Body, what: string): AsyncGenerator<Uint8Array, void, undefined> {
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > mostAnswerBytes) {
      throw new BlobError("unavailable", `${what}: the answer has more than ${mostAnswerBytes} bytes`);
    }
    yield chunk;
  }
}

/** Every command's: a middleware that looks at requests and answers only is the same for all of them. */
function stackOf(command: { readonly middlewareStack: object }): PutObjectCommand["middlewareStack"] {
  return command.middlewareStack as PutObjectCommand["middlewareStack"];
}
