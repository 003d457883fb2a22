import { JournalError, type StatusErrorCode } from "../errors.js";
import type { Status } from "../protocol/responses.js";

const SENTENCES: Readonly<Record<Exclude<Status, "OK">, readonly [StatusErrorCode, string]>> = {
  JOURNAL_NOT_FOUND: ["journal-not-found", "there is no such journal"],
  NO_JOURNAL_PRIMARY_BROKER: ["no-journal-primary-broker", "the journal has no primary broker now"],
  NOT_JOURNAL_PRIMARY_BROKER: [
    "not-journal-primary-broker",
    "the broker is not the journal's primary, and was not to ask it",
  ],
  INSUFFICIENT_JOURNAL_BROKERS: [
    "insufficient-journal-brokers",
    "the journal has fewer brokers now than its replication asks for",
  ],
  NOT_JOURNAL_BROKER: [
    "not-journal-broker",
    "the broker does not serve the journal, and was not to ask one that does",
  ],
  OFFSET_NOT_YET_AVAILABLE: ["offset-not-yet-available", "the offset is behind what was appended until now"],
  WRONG_ROUTE: ["wrong-route", "brokers disagree about who serves the journal"],
  PROPOSAL_MISMATCH: ["proposal-mismatch", "brokers disagree about the journal's last fragment"],
  ETCD_TRANSACTION_FAILED: [
    "etcd-transaction-failed",
    "a revision that was expected is not the present one, so nothing was changed",
  ],
  NOT_ALLOWED: ["not-allowed", "the journal's flags, or the brokers, do not allow it"],
  WRONG_APPEND_OFFSET: ["wrong-append-offset", "the append's offset is not the journal's write head"],
  INDEX_HAS_GREATER_OFFSET: [
    "index-has-greater-offset",
    "the stores hold content behind the write head: the append must give the offset to go on from",
  ],
  REGISTER_MISMATCH: ["register-mismatch", "the journal's registers are not as the append asked for"],
  SUSPENDED: ["suspended", "the journal is suspended"],
  FRAGMENT_STORE_UNHEALTHY: ["fragment-store-unhealthy", "a fragment store of the journal is not healthy"],
};

/** The error of an answer that is not OK. `detail` is what the broker added in words. */
export function statusError(
  status: Exclude<Status, "OK">,
  about: { readonly journal?: string; readonly detail?: string },
): JournalError {
  const [code, sentence] = SENTENCES[status];
  const { journal, detail } = about;
  const subject = journal === undefined ? "" : ` for ${journal}`;
  return new JournalError(
    code,
    `The broker answered ${status}${subject}: ${sentence}${detail ? ` (${detail})` : ""}.`,
    journal === undefined ? {} : { journal },
  );
}
