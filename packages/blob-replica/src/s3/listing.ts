import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from "@aws-sdk/client-s3";
import { BlobError } from "../errors.js";
import { type Ref, refBytes } from "../ref.js";
import { type PagePosition, PageWalk } from "./page-walk.js";
import { boundAnswer, request, type S3Sender } from "./requests.js";

const refText = /^[0-9a-f]{64}$/;

interface Listed {
  readonly client: S3Sender;
  readonly bucket: string;
  readonly prefix: string;
}

/**
 * Keys come in the order of their bytes, which is that of refs; keys that are none of ours are passed over. It ends only where the server says that this is the end.
 * @throws BlobError "unordered", "unavailable" for a listing that the server does not finish
 */
export async function* listPages(
  place: Listed,
  after: Ref | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { bucket, prefix } = place;
  const walk = new PageWalk(bucket, after === undefined ? undefined : prefix + after);
  let last: string | undefined = after;
  for (let at: PagePosition | undefined = walk.start; at !== undefined; ) {
    const answer = await pageAt(place, at, signal);
    const contents = answer.Contents ?? [];
    const page = Buffer.allocUnsafeSlow(contents.length * refBytes);
    let length = 0;
    for (const { Key: key } of contents) {
      if (key === undefined || !key.startsWith(prefix)) continue;
      const ref = key.slice(prefix.length);
      if (!refText.test(ref)) continue;
      if (last !== undefined && ref <= last) {
        const where = `the bucket ${bucket} listed ${ref} after ${last}`;
        throw new BlobError(
          "unordered",
          `${where}: a bucket that does not list its keys in order is no store`,
        );
      }
      last = ref;
      length += page.write(ref, length, "hex");
    }
    if (length > 0) yield page.subarray(0, length);
    signal?.throwIfAborted();
    at = walk.next(answer);
  }
}

async function pageAt(
  { client, bucket, prefix }: Listed,
  { token, startAfter }: PagePosition,
  signal: AbortSignal | undefined,
): Promise<ListObjectsV2CommandOutput> {
  const command = new ListObjectsV2Command({
    Bucket: bucket,
    Prefix: prefix,
    ...(token !== undefined && { ContinuationToken: token }),
    ...(startAfter !== undefined && { StartAfter: startAfter }),
  });
  const what = `listing the bucket ${bucket}`;
  boundAnswer(command, what);
  return await request(what, signal, (abortSignal) => client.send(command, { abortSignal }));
}
