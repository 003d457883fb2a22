import { DeleteObjectCommand, HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import type { Ref } from "../ref.js";
import { systemCode } from "../stores/file-errors.js";
import { nameOf, s3Error, statusOf } from "./errors.js";
import type { Place } from "./reading.js";
import { boundAnswer, changeHeaders, request } from "./requests.js";

/** The ref is the content's SHA-256: the server compares, and nobody hashes it again. `ifNone`: only when there is nothing. @throws BlobError */
export async function putObject(
  place: Place,
  { ref, blob, ifNone }: { readonly ref: Ref; readonly blob: Uint8Array; readonly ifNone: boolean },
  signal: AbortSignal | undefined,
): Promise<"written" | "there" | "no-condition"> {
  const command = new PutObjectCommand({
    Bucket: place.bucket,
    Key: place.keyOf(ref),
    Body: blob,
    ContentLength: blob.length,
    ContentType: "application/octet-stream",
    ChecksumSHA256: Buffer.from(ref, "hex").toString("base64"),
    ...(ifNone ? { IfNoneMatch: "*" } : {}),
  });
  changeHeaders(command, (headers) => {
    headers["x-amz-content-sha256"] = ref;
  });
  const what = `writing ${ref} to the bucket ${place.bucket}`;
  boundAnswer(command, what);
  return await request(what, signal, async (abortSignal) => {
    try {
      await place.client.send(command, { abortSignal });
      return "written";
    } catch (error) {
      const answer = ifNone && !abortSignal.aborted ? conditionAnswer(error) : undefined;
      if (answer === undefined) throw error;
      return answer;
    }
  });
}

function conditionAnswer(error: unknown): "there" | "no-condition" | undefined {
  if (statusOf(error) === 412) return "there";
  if (statusOf(error) === 501 || nameOf(error) === "NotImplemented") return "no-condition";
  return undefined;
}

/** Another writer of the same key is at it: what S3 wants is another try. */
export function isConflict(error: unknown): boolean {
  return error instanceof Error && statusOf(error.cause) === 409;
}

/** The connection ended before there was an answer. */
export function isCutOff(error: unknown): boolean {
  return error instanceof Error && ["ECONNRESET", "EPIPE"].includes(systemCode(error.cause) ?? "");
}

/** Undefined when there is none. */
export async function headObject(
  place: Place,
  ref: Ref,
  signal: AbortSignal | undefined,
): Promise<{ readonly length: number | undefined; readonly sha256: string | undefined } | undefined> {
  const command = new HeadObjectCommand({
    Bucket: place.bucket,
    Key: place.keyOf(ref),
    ChecksumMode: "ENABLED",
  });
  const what = `looking for ${ref} in the bucket ${place.bucket}`;
  boundAnswer(command, what);
  return await request(what, signal, async (abortSignal) => {
    try {
      const { ContentLength: length, ChecksumSHA256: sha256 } = await place.client.send(command, {
        abortSignal,
      });
      return { length, sha256 };
    } catch (error) {
      if (!abortSignal.aborted && s3Error(error, what).code === "not-found") return undefined;
      throw error;
    }
  });
}

export async function deleteObject(place: Place, ref: Ref, signal: AbortSignal | undefined): Promise<void> {
  const command = new DeleteObjectCommand({ Bucket: place.bucket, Key: place.keyOf(ref) });
  const what = `deleting ${ref} of the bucket ${place.bucket}`;
  boundAnswer(command, what);
  await request(what, signal, (abortSignal) => place.client.send(command, { abortSignal }));
}
