import { createHash } from "node:crypto";
import { GetObjectCommand } from "@aws-sdk/client-s3";
import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import { follow } from "../replica/abort.js";
import { s3Error } from "./errors.js";
import { bodyOf, boundAnswer, changeHeaders, leave, request, type S3Sender } from "./requests.js";

export interface Place {
  readonly client: S3Sender;
  readonly bucket: string;
  keyOf(ref: Ref): string;
}

export interface ReadOptions {
  readonly signal: AbortSignal | undefined;
  /** Default: no limit. */
  readonly maxBytes?: number;
}

/**
 * In pieces, the last of which comes when all are known to be right.
 * @throws BlobError "not-found", "corrupt", "refused" for more than `maxBytes`, and those of the server
 */
export async function* readVerified(
  place: Place,
  ref: Ref,
  { signal, maxBytes = Number.POSITIVE_INFINITY }: ReadOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  const what = `reading ${ref} of the bucket ${place.bucket}`;
  const followed = follow(signal);
  const hash = createHash("sha256");
  let expected: number | undefined;
  let length = 0;
  let held: Uint8Array | undefined;
  try {
    const command = new GetObjectCommand({ Bucket: place.bucket, Key: place.keyOf(ref) });
    boundAnswer(command, what, { content: true });
    // What comes is compared with its ref: no other checksum is asked for, or the SDK would compute that one as well.
    changeHeaders(command, (headers) => {
      delete headers["x-amz-checksum-mode"];
    });
    const { Body, ContentLength } = await request(what, signal, () =>
      place.client.send(command, { abortSignal: followed.controller.signal }),
    );
    expected = ContentLength;
    if (expected !== undefined && expected > maxBytes) {
      leave(Body);
      throw tooLarge(what, maxBytes);
    }
    for await (const piece of bodyOf(Body, followed.controller.signal)) {
      if (length + piece.length > maxBytes) throw tooLarge(what, maxBytes);
      hash.update(piece);
      length += piece.length;
      if (held) yield held;
      held = piece;
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    // The SDK may have compared a checksum that the server sent. All of it came: then it is for us to judge.
    if (expected === undefined || length !== expected) throw s3Error(error, what);
  } finally {
    followed.release();
  }
  const found = hash.digest("hex");
  if (found !== ref) {
    throw new BlobError(
      "corrupt",
      `the bucket ${place.bucket} has another content under ${place.keyOf(ref)}: that of ${found}`,
    );
  }
  if (held) yield held;
}

function tooLarge(what: string, maxBytes: number): BlobError {
  const limit = `more than the ${maxBytes} bytes that this store takes`;
  return new BlobError("refused", `${what}: the server gives ${limit}; see maxBlobBytes`, {
    moreThanBytes: maxBytes,
  });
}
