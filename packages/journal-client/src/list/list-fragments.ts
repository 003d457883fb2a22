import type { CallOptions, RoutedJournalClient } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import { stripMeta } from "../protocol/journal-name.js";
import { checkFragmentsRequest } from "../protocol/request-rules.js";
import type { FragmentsRequest } from "../protocol/requests.js";
import type { FragmentsResponse, ListedFragment } from "../protocol/responses.js";
import { statusError } from "../wire/status-error.js";

/**
 * All fragments of a journal that the brokers know and the request means, in the order in which they are told, joined from as many pages as there
 * are. The header is the first page's; `nextPageToken` is 0n.
 * @throws JournalError with the code of a status, "invalid-argument", "transport", "invalid-response" (also when the pages do not advance)
 */
export async function listAllFragments(
  client: RoutedJournalClient,
  request: FragmentsRequest,
  { signal }: CallOptions = {},
): Promise<FragmentsResponse> {
  checkFragmentsRequest(request);
  const journal = stripMeta(request.journal);
  const fragments: ListedFragment[] = [];
  let first: FragmentsResponse | undefined;
  let token = request.nextPageToken ?? 0n;
  for (;;) {
    const page = await client.listFragments(
      { ...request, nextPageToken: token },
      signal === undefined ? {} : { signal },
    );
    if (page.status !== "OK") throw statusError(page.status, { journal });
    first ??= page;
    for (const fragment of page.fragments) fragments.push(fragment);
    if (page.nextPageToken === 0n) return { ...first, fragments, nextPageToken: 0n };
    // It is the offset that the next page begins at, so it grows.
    if (page.nextPageToken <= token) {
      throw new JournalError(
        "invalid-response",
        `The broker gave the page token ${page.nextPageToken} behind ${token}: pages must advance.`,
        { journal },
      );
    }
    token = page.nextPageToken;
  }
}
