/** The rules of Gazette for answers (rpc_extensions.go). All throw JournalError "invalid-response". */
import { checkFragmentAt } from "./fragment-name.js";
import { checkHeaderAt, checkRouteAt } from "./header-rules.js";
import { checkLabelsAt } from "./label-set.js";
import { answer, checkInt64, type Place, refuse, within } from "./refusal.js";
import type {
  AppendResponse,
  ApplyResponse,
  FragmentStoreHealthResponse,
  FragmentsResponse,
  ListResponse,
  ReadResponse,
} from "./responses.js";
import { checkJournalSpecAt } from "./spec-rules.js";
import { checkUrl } from "./url-rules.js";

const READ: Place = answer("ReadResponse");

/** @throws JournalError "invalid-response" */
export function checkReadResponse(response: ReadResponse): void {
  if (response.content !== undefined) checkReadContent(response);
  else checkReadMetadata(response);
}

function checkReadContent(response: ReadResponse): void {
  const { status, header, offset, writeHead, fragment, fragmentUrl } = response;
  const alone = "a chunk of content must come with its offset alone";
  if (status !== "OK") refuse(within(READ, "status"), status, alone);
  if (header !== undefined) refuse(within(READ, "header"), header, alone);
  if (writeHead !== 0n) refuse(within(READ, "writeHead"), writeHead, alone);
  if (fragment !== undefined) refuse(within(READ, "fragment"), fragment, alone);
  if (fragmentUrl !== "") refuse(within(READ, "fragmentUrl"), fragmentUrl, alone);
  // Not among the brokers' own rules, but a reader counts with it.
  if (offset < 0n) checkInt64(within(READ, "offset"), offset, 0n);
}

function checkReadMetadata(response: ReadResponse): void {
  const { status, header, offset, writeHead, fragment, fragmentUrl } = response;
  if (header !== undefined) checkHeaderAt(within(READ, "header"), header);
  checkInt64(within(READ, "writeHead"), writeHead, 0n);
  if (fragment === undefined) {
    if (status === "OK" && offset !== 0n) {
      refuse(within(READ, "offset"), offset, "it must be 0 when there is neither a fragment nor content");
    }
    if (fragmentUrl !== "") {
      refuse(within(READ, "fragmentUrl"), fragmentUrl, "it must not be there without a fragment");
    }
    return;
  }
  checkFragmentAt(within(READ, "fragment"), fragment);
  checkInt64(within(READ, "offset"), offset, fragment.begin, fragment.end - 1n);
  checkInt64(within(READ, "writeHead"), writeHead, fragment.end);
  checkUrl(within(READ, "fragmentUrl"), fragmentUrl);
}

/** @param headerIsGood whether its header was checked already. @throws JournalError "invalid-response" */
export function checkAppendResponse(response: AppendResponse, headerIsGood = false): void {
  const place = answer("AppendResponse");
  const { status, header, commit, registers } = response;
  if (!headerIsGood) checkHeaderAt(within(place, "header"), header);
  if (status === "OK" && commit === undefined) {
    refuse(within(place, "commit"), commit, "an append that is OK must tell where it is");
  }
  if ((status === "OK" || status === "REGISTER_MISMATCH") && registers === undefined) {
    refuse(within(place, "registers"), registers, `they must be there with the status ${status}`);
  }
  if (commit !== undefined) checkFragmentAt(within(place, "commit"), commit);
  if (registers !== undefined) checkLabelsAt(within(place, "registers"), registers);
}

/** @throws JournalError "invalid-response" */
export function checkListResponse(response: ListResponse, continued = false): void {
  const place = answer("ListResponse");
  if (!continued) checkHeaderAt(within(place, "header"), response.header);
  for (const [index, journal] of response.journals.entries()) {
    const here = within(within(place, "journals"), index);
    checkJournalSpecAt(within(here, "spec"), journal.spec);
    checkInt64(within(here, "modRevision"), journal.modRevision, 1n);
    checkRouteAt(within(here, "route"), journal.route);
  }
}

/** @throws JournalError "invalid-response" */
export function checkApplyResponse(response: ApplyResponse): void {
  checkHeaderAt(within(answer("ApplyResponse"), "header"), response.header);
}

/** @throws JournalError "invalid-response" */
export function checkFragmentsResponse(response: FragmentsResponse): void {
  const place = answer("FragmentsResponse");
  checkHeaderAt(within(place, "header"), response.header);
  for (const [index, fragment] of response.fragments.entries()) {
    const here = within(within(place, "fragments"), index);
    checkFragmentAt(within(here, "spec"), fragment.spec);
    checkUrl(within(here, "signedUrl"), fragment.signedUrl);
  }
}

/** @throws JournalError "invalid-response" */
export function checkFragmentStoreHealthResponse(response: FragmentStoreHealthResponse): void {
  checkHeaderAt(within(answer("FragmentStoreHealthResponse"), "header"), response.header);
}
