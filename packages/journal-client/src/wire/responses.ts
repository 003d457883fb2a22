/** Answers from the bytes of the wire. Each is checked before it is given out: JournalError "invalid-response". */
import * as wire from "../gen/protocol/protocol.js";
import type { Header } from "../protocol/header.js";
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
import { decodeHeader, KnownHeaders, leadingHeader } from "./known-headers.js";
import { malformed } from "./malformed.js";
import { fragmentFromWire, headerFromWire, labelsFromWire, routeFromWire, specFromWire } from "./values.js";

const knownHeaders = new KnownHeaders();

export function decodeAppendResponse(message: Uint8Array): AppendResponse {
  const start = leadingHeader(message);
  if (start !== undefined) {
    const raw = malformed("AppendResponse", () => wire.AppendResponse.decode(message.subarray(start.end)));
    // Of two headers the last would count.
    if (raw.header === undefined) {
      const known = knownHeaders.get(start.text);
      if (known !== undefined) return appendResponse(raw, known);
      raw.header = malformed("AppendResponse", () => decodeHeader(start.text));
      const response = appendResponse(raw);
      knownHeaders.add(start.text, response.header);
      return response;
    }
  }
  return appendResponse(malformed("AppendResponse", () => wire.AppendResponse.decode(message)));
}

/** @param known its header, when that was decoded and checked before */
function appendResponse(raw: wire.AppendResponse, known?: Header): AppendResponse {
  const place = answer("AppendResponse");
  const { totalChunks, delayedChunks, storeHealthError } = raw;
  const response: AppendResponse = {
    status: statusFromWire(within(place, "status"), raw.status),
    header: known ?? headerFromWire(raw.header),
    commit: raw.commit && fragmentFromWire(within(place, "commit"), raw.commit),
    registers: raw.registers && labelsFromWire(raw.registers),
    totalChunks,
    delayedChunks,
    storeHealthError,
  };
  checkAppendResponse(response, known !== undefined);
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
