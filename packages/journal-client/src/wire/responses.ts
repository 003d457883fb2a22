/** Answers from the bytes of the wire. Each is checked before it is given out: JournalError "invalid-response". */
import * as wire from "../gen/protocol/protocol.js";
import { answer, within } from "../protocol/refusal.js";
import {
  checkAppendResponse,
  checkApplyResponse,
  checkFragmentStoreHealthResponse,
  checkFragmentsResponse,
  checkListResponse,
} from "../protocol/response-rules.js";
import type {
  AppendResponse,
  ApplyResponse,
  FragmentStoreHealthResponse,
  FragmentsResponse,
  ListResponse,
} from "../protocol/responses.js";
import { statusFromWire } from "./enums.js";
import { malformed } from "./malformed.js";
import { fragmentFromWire, headerFromWire, labelsFromWire, routeFromWire, specFromWire } from "./values.js";

export function decodeAppendResponse(message: Uint8Array): AppendResponse {
  const raw = malformed("AppendResponse", () => wire.AppendResponse.decode(message));
  const place = answer("AppendResponse");
  const { totalChunks, delayedChunks, storeHealthError } = raw;
  const response: AppendResponse = {
    status: statusFromWire(within(place, "status"), raw.status),
    header: headerFromWire(raw.header),
    commit: raw.commit && fragmentFromWire(within(place, "commit"), raw.commit),
    registers: raw.registers && labelsFromWire(raw.registers),
    totalChunks,
    delayedChunks,
    storeHealthError,
  };
  checkAppendResponse(response);
  return response;
}

/**
 * @param continued whether it is a further page of a listing, or the empty message behind one in a watch: brokers leave out the header then,
 * so it is not checked
 */
export function decodeListResponse(message: Uint8Array, continued = false): ListResponse {
  const raw = malformed("ListResponse", () => wire.ListResponse.decode(message));
  const place = answer("ListResponse");
  const response: ListResponse = {
    status: statusFromWire(within(place, "status"), raw.status),
    header: headerFromWire(raw.header),
    journals: raw.journals.map(({ spec, modRevision, createRevision, route }, index) => ({
      spec: specFromWire(within(within(within(place, "journals"), index), "spec"), spec),
      modRevision,
      createRevision,
      route: routeFromWire(route),
    })),
  };
  checkListResponse(response, continued);
  return response;
}

export function decodeApplyResponse(message: Uint8Array): ApplyResponse {
  const raw = malformed("ApplyResponse", () => wire.ApplyResponse.decode(message));
  const response: ApplyResponse = {
    status: statusFromWire(answer("ApplyResponse.status"), raw.status),
    header: headerFromWire(raw.header),
  };
  checkApplyResponse(response);
  return response;
}

export function decodeFragmentsResponse(message: Uint8Array): FragmentsResponse {
  const raw = malformed("FragmentsResponse", () => wire.FragmentsResponse.decode(message));
  const place = answer("FragmentsResponse");
  const response: FragmentsResponse = {
    status: statusFromWire(within(place, "status"), raw.status),
    header: headerFromWire(raw.header),
    fragments: raw.fragments.map(({ spec, signedUrl }, index) => ({
      spec: fragmentFromWire(within(within(within(place, "fragments"), index), "spec"), spec),
      signedUrl,
    })),
    nextPageToken: raw.nextPageToken,
  };
  checkFragmentsResponse(response);
  return response;
}

export function decodeFragmentStoreHealthResponse(message: Uint8Array): FragmentStoreHealthResponse {
  const raw = malformed("FragmentStoreHealthResponse", () =>
    wire.FragmentStoreHealthResponse.decode(message),
  );
  const { storeHealthError } = raw;
  const response: FragmentStoreHealthResponse = {
    status: statusFromWire(answer("FragmentStoreHealthResponse.status"), raw.status),
    header: headerFromWire(raw.header),
    storeHealthError,
  };
  checkFragmentStoreHealthResponse(response);
  return response;
}
