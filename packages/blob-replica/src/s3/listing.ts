import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { BlobError } from "../errors.js";
import { type Ref, refBytes } from "../ref.js";
import { request, type S3Sender } from "./requests.js";

const refText = /^[0-9a-f]{64}$/;

/** Keys come in the order of their bytes, which is that of refs; keys that are none of ours are passed over. @throws BlobError "unordered" */
export async function* listPages(
  place: { readonly client: S3Sender; readonly bucket: string; readonly prefix: string },
  after: Ref | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { client, bucket, prefix } = place;
  let last: string | undefined = after;
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: prefix,
      ...(token !== undefined ? { ContinuationToken: token } : {}),
      ...(token === undefined && last !== undefined ? { StartAfter: prefix + last } : {}),
    });
    const answer = await request(`listing the bucket ${bucket}`, signal, (abortSignal) =>
      client.send(command, { abortSignal }),
    );
    const page = Buffer.allocUnsafeSlow((answer.Contents?.length ?? 0) * refBytes);
    let length = 0;
    for (const { Key: key } of answer.Contents ?? []) {
      const ref = key?.slice(prefix.length);
      if (ref === undefined || !refText.test(ref)) continue;
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
    const next = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
    if (next !== undefined && next === token) {
      throw new BlobError(
        "unavailable",
        `the bucket ${bucket} gives the same page of its listing again and again`,
      );
    }
    token = next;
  } while (token !== undefined);
}
