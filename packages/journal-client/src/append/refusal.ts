import { isJournalError, JournalError } from "../errors.js";
import type { LabelSelector, LabelSet } from "../protocol/label.js";
import { formatLabelSelector } from "../protocol/label-selector.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import { statusError } from "../wire/status-error.js";

/** The broker's refusal of an append as an error, or undefined when it said OK. */
export function appendRefusal(request: AppendRequest, response: AppendResponse): JournalError | undefined {
  const { journal } = request;
  const { status } = response;
  if (status === "OK") return undefined;
  const detail = refusalDetail(request, response);
  return statusError(status, detail === undefined ? { journal } : { journal, detail });
}

function refusalDetail(request: AppendRequest, response: AppendResponse): string | undefined {
  switch (response.status) {
    case "REGISTER_MISMATCH":
      return `they are ${printRegisters(response.registers)}, and it asked for ${printSelector(request.checkRegisters)}`;
    case "FRAGMENT_STORE_UNHEALTHY":
      return response.storeHealthError;
    case "WRONG_APPEND_OFFSET":
      return `${request.offset ?? 0n} was asked for`;
    case "SUSPENDED":
      return `the request says ${request.suspend ?? "SUSPEND_RESUME"}`;
    default:
      return undefined;
  }
}

/** Whether the request fences: then a refusal is for its sender to see, and a second try is his to decide. */
export function isFenced(request: AppendRequest): boolean {
  return (request.offset ?? 0n) !== 0n || request.checkRegisters !== undefined;
}

/** Answers by which the brokers only say that they do not know yet who serves the journal. */
const ROUTING: ReadonlySet<string> = new Set([
  "not-journal-primary-broker",
  "no-journal-primary-broker",
  "insufficient-journal-brokers",
]);

const GRPC_UNAVAILABLE = 14;

/** Whether the call did not reach its broker, or lost it. */
export function isUnavailable(error: unknown): boolean {
  return isJournalError(error, "transport") && error.grpcCode === GRPC_UNAVAILABLE;
}

/** What a one-shot append tries again. */
export function isPassing(error: unknown): boolean {
  return isUnavailable(error) || (isJournalError(error) && ROUTING.has(error.code));
}

/** What no later try can mend, so that an append service gives up. All else it tries again. */
const FINAL: ReadonlySet<string> = new Set([
  "fragment-store-unhealthy",
  "index-has-greater-offset",
  "journal-not-found",
  "not-allowed",
  "register-mismatch",
  "wrong-append-offset",
  "invalid-argument",
  "closed",
]);

export function isFinal(error: unknown, request: AppendRequest): boolean {
  if (!isJournalError(error)) return false;
  // Who asks not to resume a suspended journal asks to be told.
  if (error.code === "suspended") return (request.suspend ?? "SUSPEND_RESUME") !== "SUSPEND_RESUME";
  return FINAL.has(error.code);
}

/** Whether the append's call failed before any of it was sent. */
export function isUnsent(error: unknown): boolean {
  return isJournalError(error, "transport") && error.nothingSent;
}

/** The failure of an append that was told to commit, or of which nothing was sent: it says whether the append may stand in the journal. */
export function withOutcome(error: unknown, journal: string): unknown {
  if (!isJournalError(error, "transport") && !isJournalError(error, "invalid-response")) return error;
  const { code, message, grpcCode, nothingSent } = error;
  return new JournalError(
    code,
    nothingSent
      ? `nothing was appended to ${journal}, since nothing was sent to a broker: ${message}`
      : `whether the append to ${journal} was committed is not known: ${message}`,
    { cause: error, journal, nothingSent, ...(grpcCode === undefined ? {} : { grpcCode }) },
  );
}

/** How an append ended that its own side gave up. */
export function aborted(journal: string, outcomeUnknown: boolean): JournalError {
  return new JournalError(
    "aborted",
    outcomeUnknown
      ? `whether the append to ${journal} was committed is not known: it was aborted after the broker had been told to commit`
      : `the append to ${journal} was aborted`,
    { journal },
  );
}

function printRegisters(labels: LabelSet | undefined): string {
  if (labels === undefined || labels.length === 0) return "empty";
  return labels.map(({ name, value }) => `${name}=${value}`).join(",");
}

function printSelector(selector: LabelSelector | undefined): string {
  return (selector === undefined ? "" : formatLabelSelector(selector)) || "any";
}
