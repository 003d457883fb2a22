import type { ListResponse } from "../protocol/responses.js";
import { decodeListResponse } from "../wire/responses.js";

/**
 * Decodes the messages of one List, in order. Brokers send the header of a listing with its first message alone; a watch ends each listing with
 * an empty message, and then begins the next one. The others are given out with the header of their listing.
 */
export function listDecoder(): (message: Buffer) => ListResponse {
  let first: ListResponse | undefined;
  return (message) => {
    const response = decodeListResponse(message, first !== undefined);
    if (first === undefined) {
      first = response;
      return response;
    }
    const { header } = first;
    if (response.journals.length === 0) first = undefined;
    return { ...response, header };
  };
}
