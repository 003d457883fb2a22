import type { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
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
  const stream = body as (AsyncIterable<Uint8Array> & { destroy?(error?: Error): void }) | undefined; // Node's: a Readable
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

/** All that is needed of a client. */
export type S3Sender = Pick<S3Client, "send">;

/** When all of them are there, and before they are signed. */
export function changeHeaders(
  command: GetObjectCommand | PutObjectCommand,
  change: (headers: Record<string, string>) => void,
): void {
  const { middlewareStack } = command as PutObjectCommand; // either's: a middleware that looks at headers alone
  middlewareStack.add(
    (next) => (args) => {
      change((args.request as { headers: Record<string, string> }).headers); // an HTTP request, in this step
      return next(args);
    },
    { step: "build", priority: "low", name: "blobReplicaHeaders" },
  );
}
