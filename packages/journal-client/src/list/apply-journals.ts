import type { CallOptions, RoutedJournalClient } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import { argument, checkInteger } from "../protocol/refusal.js";
import { checkApplyRequest } from "../protocol/request-rules.js";
import type { ApplyRequest } from "../protocol/requests.js";
import type { ApplyResponse } from "../protocol/responses.js";
import { statusError } from "../wire/status-error.js";

export interface ApplyInBatchesOptions extends CallOptions {
  /** Changes of one transaction: below what etcd allows, which usually is 128. 0: all in one. Default 0. */
  readonly size?: number;
  /** Told after each batch how many of the request's changes are applied now: what one who aborts knows. */
  readonly onApplied?: (applied: number) => void;
}

/** How far changes got that are applied in several transactions. */
export interface ApplyProgress {
  /** The first so many of the request's changes were applied. */
  readonly applied: number;
  /** Those behind them, in the transaction that failed: none was applied, but with the code "transport" that is not known. */
  readonly failed: number;
}

/** Some batches of changes were applied before another failed. Has the code (and `grpcCode`) of that failure, which is its cause. */
export class PartialApplyError extends JournalError implements ApplyProgress {
  readonly applied: number;
  readonly failed: number;

  constructor(cause: unknown, { applied, failed }: ApplyProgress) {
    const known = cause instanceof JournalError ? cause : undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(
      known?.code ?? "transport",
      `Changes 0 to ${applied - 1} were applied; ${applied} to ${applied + failed - 1} failed: ${reason}`,
      { cause, ...(known?.grpcCode === undefined ? {} : { grpcCode: known.grpcCode }) },
    );
    this.name = "PartialApplyError";
    this.applied = applied;
    this.failed = failed;
  }
}

/**
 * Creates, updates and deletes journals in one transaction: all or nothing. Waits for as long as no broker can be reached.
 * @throws JournalError with the code of a status ("etcd-transaction-failed": a revision is not the expected one), "invalid-argument",
 * "transport", "invalid-response"
 */
export function applyJournals(
  client: RoutedJournalClient,
  request: ApplyRequest,
  options: CallOptions = {},
): Promise<ApplyResponse> {
  return applyJournalsInBatches(client, request, options);
}

/**
 * As `applyJournals`, in transactions of at most `size` changes, one after the other in the request's order. Gives the last answer.
 * @throws PartialApplyError when at least one batch was applied before another failed, with how many; otherwise as
 * `applyJournals`
 */
export async function applyJournalsInBatches(
  client: RoutedJournalClient,
  request: ApplyRequest,
  { size = 0, onApplied, signal }: ApplyInBatchesOptions = {},
): Promise<ApplyResponse> {
  checkInteger(argument("size"), size, 0, Number.MAX_SAFE_INTEGER);
  // All of it before the first batch is sent: a mistake in the last one must not leave the others applied.
  checkApplyRequest(request);
  const { changes } = request;
  const step = size === 0 ? Math.max(1, changes.length) : size;
  for (let applied = 0; ; applied += step) {
    const batch = changes.slice(applied, applied + step);
    let response: ApplyResponse;
    try {
      response = await client.apply({ changes: batch }, signal === undefined ? {} : { signal });
      if (response.status !== "OK") throw statusError(response.status, {});
    } catch (cause) {
      if (applied === 0 || signal?.aborted) throw cause;
      throw new PartialApplyError(cause, { applied, failed: batch.length });
    }
    onApplied?.(applied + batch.length);
    if (applied + batch.length >= changes.length) return response;
  }
}
