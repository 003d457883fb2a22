/** The rules of Gazette for requests (rpc_extensions.go). All throw JournalError "invalid-argument". */
import { checkHeaderAt } from "./header-rules.js";
import { checkJournalNameAt } from "./journal-name.js";
import type { LabelSelector } from "./label.js";
import { checkSelectorAt, parseLabelSelector } from "./label-selector.js";
import { checkLabelsAt, labelValues } from "./label-set.js";
import {
  argument,
  checkArray,
  checkFlag,
  checkInt64,
  checkInteger,
  checkObject,
  MAX_INT64,
  type Place,
  refuse,
  within,
} from "./refusal.js";
import type {
  AppendRequest,
  AppendSuspend,
  ApplyChange,
  ApplyRequest,
  FragmentsRequest,
  ListRequest,
  ReadRequest,
} from "./requests.js";
import { checkJournalSpecAt, MAX_DURATION_MS } from "./spec-rules.js";
import { checkFragmentStoreAt } from "./url-rules.js";

const MIN_INT64 = -MAX_INT64 - 1n;
const MAX_PAGE = 10_000;
const SUSPENDS: readonly AppendSuspend[] = [
  "SUSPEND_RESUME",
  "SUSPEND_NO_RESUME",
  "SUSPEND_IF_FLUSHED",
  "SUSPEND_NOW",
];

/** @throws JournalError "invalid-argument" */
export function checkReadRequest(request: ReadRequest): void {
  const place = argument("ReadRequest");
  checkObject(place, request);
  const { journal, offset = 0n, endOffset = 0n, beginModTime = 0n, header } = request;
  if (header !== undefined) checkHeaderAt(within(place, "header"), header);
  checkJournalNameAt(within(place, "journal"), journal);
  checkInt64(within(place, "offset"), offset, -1n);
  checkInt64(within(place, "endOffset"), endOffset, 0n);
  if (endOffset !== 0n && endOffset < offset) {
    refuse(within(place, "endOffset"), endOffset, `it must be 0 (no end), or at least the offset, ${offset}`);
  }
  checkInt64(within(place, "beginModTime"), beginModTime, MIN_INT64);
  for (const name of ["block", "doNotProxy", "metadataOnly"] as const) {
    checkFlag(within(place, name), request[name]);
  }
}

/** @throws JournalError "invalid-argument" */
export function checkAppendRequest(request: AppendRequest): void {
  const place = argument("AppendRequest");
  checkObject(place, request);
  const {
    journal,
    offset = 0n,
    checkRegisters,
    unionRegisters,
    subtractRegisters,
    suspend,
    header,
  } = request;
  if (header !== undefined) checkHeaderAt(within(place, "header"), header);
  checkJournalNameAt(within(place, "journal"), journal);
  checkInt64(within(place, "offset"), offset, 0n);
  checkFlag(within(place, "doNotProxy"), request.doNotProxy);
  if (checkRegisters !== undefined) checkSelectorAt(within(place, "checkRegisters"), checkRegisters);
  if (unionRegisters !== undefined) checkLabelsAt(within(place, "unionRegisters"), unionRegisters);
  if (subtractRegisters !== undefined) checkLabelsAt(within(place, "subtractRegisters"), subtractRegisters);
  if (suspend !== undefined && !SUSPENDS.includes(suspend)) {
    refuse(within(place, "suspend"), suspend, `it must be one of ${SUSPENDS.join(", ")}`);
  }
}

/** @throws JournalError "invalid-argument" */
export function checkListRequest(request: ListRequest): void {
  const place = argument("ListRequest");
  checkObject(place, request);
  const { watchResume } = request;
  checkListSelector(within(place, "selector"), listSelector(request));
  checkFlag(within(place, "watch"), request.watch);
  if (watchResume !== undefined) checkHeaderAt(within(place, "watchResume"), watchResume);
}

/** The selector of a listing, parsed. @throws JournalError "invalid-argument" */
export function listSelector(request: ListRequest): LabelSelector {
  const { selector = "" } = request;
  return typeof selector === "string" ? parseLabelSelector(selector) : selector;
}

function checkListSelector(place: Place, selector: LabelSelector): void {
  checkSelectorAt(place, selector);
  for (const side of ["include", "exclude"] as const) {
    for (const value of labelValues(selector[side], "prefix")) {
      if (!value.endsWith("/")) {
        refuse(within(within(place, side), "prefix"), value, 'a prefix of journals\' names must end in "/"');
      }
    }
  }
}

/** @throws JournalError "invalid-argument" */
export function checkApplyRequest(request: ApplyRequest): void {
  const place = argument("ApplyRequest");
  checkObject(place, request);
  checkArray(within(place, "changes"), request.changes);
  for (const [index, change] of request.changes.entries()) {
    checkChange(within(within(place, "changes"), index), change);
  }
}

function checkChange(place: Place, change: ApplyChange): void {
  checkObject(place, change);
  if ((change.upsert === undefined) === (change.delete === undefined)) {
    refuse(place, change, 'exactly one of "upsert" and "delete" must be there');
  }
  const revision = within(place, "expectModRevision");
  if (change.upsert !== undefined) {
    checkJournalSpecAt(within(place, "upsert"), change.upsert);
    checkInt64(revision, change.expectModRevision, -1n);
  } else {
    checkJournalNameAt(within(place, "delete"), change.delete);
    checkInt64(revision, change.expectModRevision, -1n);
    if (change.expectModRevision === 0n) {
      refuse(revision, 0n, "what is deleted must exist: its revision, or -1 for any");
    }
  }
}

/** @throws JournalError "invalid-argument" */
export function checkFragmentsRequest(request: FragmentsRequest): void {
  const place = argument("FragmentsRequest");
  checkObject(place, request);
  const { journal, beginModTime = 0n, endModTime = 0n, nextPageToken = 0n, pageLimit = 0, header } = request;
  if (header !== undefined) checkHeaderAt(within(place, "header"), header);
  checkJournalNameAt(within(place, "journal"), journal);
  checkInt64(within(place, "beginModTime"), beginModTime, MIN_INT64);
  checkInt64(within(place, "endModTime"), endModTime, MIN_INT64);
  if (endModTime !== 0n && endModTime < beginModTime) {
    refuse(
      within(place, "endModTime"),
      endModTime,
      `it must be 0 (no end), or at least beginModTime, ${beginModTime}`,
    );
  }
  checkInt64(within(place, "nextPageToken"), nextPageToken, 0n);
  checkInteger(within(place, "pageLimit"), pageLimit, 0, MAX_PAGE);
  if (request.signatureTtlMs !== undefined) {
    checkInteger(within(place, "signatureTtlMs"), request.signatureTtlMs, 1, MAX_DURATION_MS);
  }
  checkFlag(within(place, "doNotProxy"), request.doNotProxy);
}

/** @param fragmentStore the URL of a store. @throws JournalError "invalid-argument" */
export function checkFragmentStore(fragmentStore: string): void {
  checkFragmentStoreAt(argument("fragmentStore"), fragmentStore);
}
