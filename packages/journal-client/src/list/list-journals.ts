import type { CallOptions, RoutedJournalClient } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import { checkJournalName, stripMeta } from "../protocol/journal-name.js";
import type { JournalSpec } from "../protocol/journal-spec.js";
import { labelSet } from "../protocol/label-set.js";
import { checkListRequest } from "../protocol/request-rules.js";
import type { ListRequest } from "../protocol/requests.js";
import type { ListResponse } from "../protocol/responses.js";
import { readListResponse } from "./read-list-response.js";

/**
 * All journals of a selector, by name, in one answer. Their routes are remembered. Waits for as long as no broker can be reached.
 * @throws JournalError with the code of a status, "invalid-argument" (also for `watch`: that is WatchedList's), "transport",
 * "invalid-response", "unexpected-eof"
 */
export async function listAllJournals(
  client: RoutedJournalClient,
  request: ListRequest = {},
  { signal }: CallOptions = {},
): Promise<ListResponse> {
  checkListRequest(request);
  if (request.watch === true) {
    throw new JournalError(
      "invalid-argument",
      "listAllJournals gives one listing: to watch, use WatchedList.",
    );
  }
  const stream = client.openList(request, signal === undefined ? {} : { signal })[Symbol.asyncIterator]();
  try {
    const listing = await readListResponse(stream, request);
    rememberRoutes(client, listing);
    return listing;
  } finally {
    await stream.return?.();
  }
}

/**
 * The spec of one journal. `;meta` of the name is left out.
 * @throws JournalError "journal-not-found", and as `listAllJournals`
 */
export async function getJournal(
  client: RoutedJournalClient,
  journal: string,
  options: CallOptions = {},
): Promise<JournalSpec> {
  checkJournalName(journal);
  const name = stripMeta(journal);
  const selector = { include: labelSet({ name }), exclude: [] };
  const { journals } = await listAllJournals(client, { selector }, options);
  const found = journals.find(({ spec }) => spec.name === name);
  if (found !== undefined) return found.spec;
  throw new JournalError("journal-not-found", `There is no journal ${name}.`, { journal: name });
}

/** What a listing says of its journals' brokers helps all later calls. */
export function rememberRoutes(client: RoutedJournalClient, { journals }: ListResponse): void {
  for (const { spec, route } of journals) client.updateRoute(spec.name, route);
}
