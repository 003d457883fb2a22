import type { WatchBatch } from "@x/coord";
import type {
  CommitOp,
  Delivery,
  History,
  ObservedRevision,
  PublishOp,
  SegmentContent,
  Stamp,
} from "./history.js";

type Open<T> = { -readonly [Name in keyof T]: T[Name] };

export interface OpenPublish {
  acked(id: string): void;
  failed(): void;
  unknown(): void;
}

export interface OpenCommit {
  ok(): void;
  refused(): void;
}

/** Writes a history down while it happens. What is never answered stays unknown. */
export class HistoryRecorder {
  readonly #nowMs: () => number;
  readonly #publishes: Open<PublishOp>[] = [];
  readonly #deliveries: Delivery[] = [];
  readonly #commits: Open<CommitOp>[] = [];
  readonly #revisions: ObservedRevision[] = [];
  #faultsEndedMs: number | undefined;

  /** `nowMs` is the observer's clock; it must not go back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The newest revision that was seen; watch from the next one. */
  get revision(): bigint {
    return this.#revisions.at(-1)?.revision ?? 0n;
  }

  get publishes(): readonly PublishOp[] {
    return this.#publishes;
  }

  get deliveries(): readonly Delivery[] {
    return this.#deliveries;
  }

  get revisions(): readonly ObservedRevision[] {
    return this.#revisions;
  }

  publish(message: Stamp & { readonly topic: string; readonly key: string }): OpenPublish {
    const op: Open<PublishOp> = { ...message, invokedMs: this.#nowMs(), outcome: "unknown" };
    this.#publishes.push(op);
    const answer = (outcome: PublishOp["outcome"]): void => {
      op.outcome = outcome;
      op.answeredMs = this.#nowMs();
    };
    return {
      acked(id) {
        answer("acked");
        op.id = id;
      },
      failed: () => answer("failed"),
      unknown: () => answer("unknown"),
    };
  }

  delivery(delivery: Omit<Delivery, "timeMs">): void {
    this.#deliveries.push({ ...delivery, timeMs: this.#nowMs() });
  }

  commit(commit: Omit<CommitOp, "invokedMs" | "outcome">): OpenCommit {
    const op: Open<CommitOp> = { ...commit, invokedMs: this.#nowMs(), outcome: "unknown" };
    this.#commits.push(op);
    return {
      ok() {
        op.outcome = "ok";
      },
      refused() {
        op.outcome = "refused";
      },
    };
  }

  /** From a watch of the prefix "" or "/" from revision 1; what was told before is passed over. */
  observe(batch: WatchBatch): void {
    if (batch.revision <= this.revision) return;
    this.#revisions.push({ timeMs: this.#nowMs(), revision: batch.revision, events: batch.events });
  }

  faultsEnded(): void {
    this.#faultsEndedMs = this.#nowMs();
  }

  history(contents: readonly SegmentContent[]): History {
    return {
      publishes: this.#publishes,
      deliveries: this.#deliveries,
      commits: this.#commits,
      revisions: this.#revisions,
      contents,
      ...(this.#faultsEndedMs !== undefined && { faultsEndedMs: this.#faultsEndedMs }),
    };
  }
}
