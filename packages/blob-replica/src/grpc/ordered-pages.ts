import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes, refToBytes } from "../ref.js";

/** The pages as they come, as long as their refs are in order. @throws BlobError "unordered", "bad-data" */
export async function* orderedPages(
  pages: AsyncIterable<Uint8Array>,
  after: Ref | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let last: Uint8Array | undefined = after === undefined ? undefined : refToBytes(after);
  for await (const page of pages) {
    signal?.throwIfAborted();
    if (page.length % refBytes !== 0) {
      throw new BlobError("bad-data", `the server listed ${page.length} bytes, which are no whole refs`);
    }
    const buffer = Buffer.from(page.buffer, page.byteOffset, page.length);
    if (last && buffer.compare(last, 0, refBytes, 0, refBytes) <= 0) throw unordered(page, last);
    for (let at = refBytes; at < page.length; at += refBytes) {
      if (buffer.compare(buffer, at - refBytes, at, at, at + refBytes) > 0) continue;
      throw unordered(page.subarray(at), page.subarray(at - refBytes));
    }
    last = page.slice(-refBytes); // a copy: the page is its receiver's
    yield page;
  }
}

function unordered(ref: Uint8Array, before: Uint8Array): BlobError {
  const [later, earlier] = [ref, before].map((bytes) => refFromBytes(bytes.subarray(0, refBytes)));
  return new BlobError(
    "unordered",
    `the server listed ${later} after ${earlier}: refs come in their order, each once`,
  );
}
