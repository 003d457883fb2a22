import type { CallOptions, RoutedJournalClient } from "../client/routed-journal-client.js";
import type { FragmentStoreHealthResponse } from "../protocol/responses.js";
import { statusError } from "../wire/status-error.js";

/**
 * What the brokers last found of a store, as `s3://bucket/prefix/`. A store that is not healthy is an answer, not an error: its status is
 * FRAGMENT_STORE_UNHEALTHY, and `storeHealthError` says what is wrong.
 * @throws JournalError with the code of another status, "invalid-argument", "transport", "invalid-response"
 */
export async function fragmentStoreHealth(
  client: RoutedJournalClient,
  fragmentStore: string,
  options: CallOptions = {},
): Promise<FragmentStoreHealthResponse> {
  const response = await client.fragmentStoreHealth(fragmentStore, options);
  if (response.status === "OK" || response.status === "FRAGMENT_STORE_UNHEALTHY") return response;
  throw statusError(response.status, {});
}
