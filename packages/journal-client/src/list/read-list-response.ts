import { JournalError } from "../errors.js";
import type { ListRequest } from "../protocol/requests.js";
import type { ListedJournal, ListResponse } from "../protocol/responses.js";
import { statusError } from "../wire/status-error.js";

/**
 * One complete listing, joined from the messages of a `list` call. Of a watch: the next one; the stream stays open for those behind it.
 * `stream` is what `client.openList(request)[Symbol.asyncIterator]()` gives.
 * @throws JournalError with the code of a status; "unexpected-eof" when the stream ends before the listing does; "invalid-response" when a
 * revision is sent that `request.watchResume` has seen already; and what the stream throws
 */
export async function readListResponse(
  stream: AsyncIterator<ListResponse, unknown>,
  request: ListRequest,
): Promise<ListResponse> {
  const listing = await readListing(stream, request);
  if (listing !== undefined) return listing;
  throw new JournalError("unexpected-eof", "The broker ended the stream before a listing.");
}

/** As `readListResponse`; undefined when the broker ended the stream instead of beginning a listing. */
export async function readListing(
  stream: AsyncIterator<ListResponse, unknown>,
  { watch = false, watchResume }: ListRequest,
): Promise<ListResponse | undefined> {
  const first = await stream.next();
  if (first.done === true) return undefined;
  const { status, header } = first.value;
  if (status !== "OK") throw statusError(status, {});
  const { revision } = header.etcd;
  if (watchResume !== undefined && revision <= watchResume.etcd.revision) {
    throw new JournalError(
      "invalid-response",
      `The broker sent a listing of revision ${revision}, but one above ${watchResume.etcd.revision} was asked for.`,
    );
  }
  const journals: ListedJournal[] = [...first.value.journals];
  for (;;) {
    const page = await stream.next();
    if (page.done === true) {
      if (!watch) return { status, header, journals };
      throw new JournalError("unexpected-eof", "The broker ended the stream in the middle of a listing.");
    }
    if (page.value.journals.length === 0) {
      if (watch) return { status, header, journals };
      throw new JournalError("invalid-response", "The broker sent an empty page in a listing.");
    }
    for (const journal of page.value.journals) journals.push(journal);
  }
}
