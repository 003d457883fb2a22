import {
  rangeLeaseKey,
  type SegmentEnd,
  type SegmentId,
  segmentName,
  TopicError,
  ticksOfMs,
} from "@x/topic-gateway/protocol";
import { sealOps } from "./sealing.js";
import {
  discardLog,
  nextStartTime,
  type OpenSegment,
  type PreparedLog,
  prepareLog,
  type Registration,
  registerSegment,
  type SegmentPlan,
} from "./segment-opening.js";
import type { ServedSegment } from "./served.js";
import { settleTxn, unlessAborted } from "./settle.js";
import type { Claim, Tenure } from "./tenure.js";

/**
 * The segment that the owner of a range appends to, and how that ends: in a next one, with the range, or in doubt. Appending itself is
 * for the owner; nothing may be under way when one of these is called.
 */
export class OwnSegment {
  readonly segment: OpenSegment;
  readonly served: ServedSegment;
  readonly #tenure: Tenure;
  readonly #claim: Claim;
  #next: Promise<PreparedLog | undefined> | undefined;

  constructor(
    tenure: Tenure,
    claim: Claim,
    opened: { readonly segment: OpenSegment; readonly revision: bigint },
  ) {
    this.#tenure = tenure;
    this.#claim = claim;
    this.segment = opened.segment;
    this.served = tenure.served.open(opened.segment, opened.revision);
  }

  get id(): SegmentId {
    return this.segment.id;
  }

  /** Makes the log of the next one. Its start is not known yet: the header of the log says what it will be at least. */
  prepareNext(): void {
    if (this.#next) return;
    const { record, chain } = this.segment;
    const { incarnation, layout } = record;
    const predecessors = [segmentName(this.id)];
    const plan = {
      incarnation,
      layout,
      predecessors,
      startTime: chain.lastTime + 1n,
      lineageTime: chain.lastTime,
    };
    this.#next = prepareLog(this.#tenure, this.#claim, plan).catch(() => undefined);
  }

  /** Seals the log. @throws TopicError as the log store does, or "corrupt" when there is more or less in it than was acknowledged */
  async seal(): Promise<SegmentEnd> {
    const { node, signal } = this.#tenure;
    const { hot } = this.served;
    const end = await unlessAborted(node.logs.seal(this.segment.record.log, { signal }), signal);
    if (end.lastSequence === hot.visible) return end;
    throw new TopicError(
      "corrupt",
      `${end.lastSequence} messages are in a log that acknowledged ${hot.visible}`,
    );
  }

  /**
   * Step 8, after `seal`: records the end and opens the next segment in one transaction. Refused, the range must be taken over again.
   * @throws TopicError when no next segment could be made
   */
  async rollOver(end: SegmentEnd): Promise<Registration> {
    const tenure = this.#tenure;
    const { node } = tenure;
    const { segment, served } = this;
    const { incarnation, layout } = segment.record;
    const seal = sealOps(tenure, segment, end);
    let log: PreparedLog | undefined;
    try {
      const lineageTime = seal.record.sealed?.lastTime ?? segment.chain.lastTime;
      const startTime = nextStartTime(ticksOfMs(node.clock.wallMs()), lineageTime);
      const predecessors = [segmentName(segment.id)];
      const plan: SegmentPlan = { incarnation, layout, predecessors, startTime, lineageTime };
      this.prepareNext();
      log = (await this.#next) ?? (await prepareLog(tenure, this.#claim, plan));
      this.#next = undefined;
      const extra = { compare: [seal.compare], ops: seal.ops };
      const registration = await registerSegment(tenure, this.#claim, plan, log, extra);
      if (registration.type === "refused") {
        await discardLog(tenure, log);
        return registration;
      }
      void segment.writer.close().catch(() => {});
      this.#ended(end);
      served.owned = false;
      return registration;
    } catch (error) {
      await log?.writer.close().catch(() => {});
      throw error;
    }
  }

  /** Step 9, after `seal`: records the end and deletes the lease. Whatever comes of it, the state tells. */
  async handOver(end: SegmentEnd): Promise<void> {
    const { topic, range, epoch } = this.#claim;
    const seal = sealOps(this.#tenure, this.segment, end);
    const key = rangeLeaseKey(topic, range);
    const { succeeded } = await settleTxn(
      this.#tenure.node.coord,
      {
        compare: [seal.compare, { key, target: "create", op: "=", value: epoch }],
        then: [...seal.ops, { type: "delete", key }],
      },
      this.#tenure,
    );
    // Refused, it may still be that an attempt without an answer did it, or that somebody else sealed.
    if (succeeded) this.#ended(end);
  }

  #ended({ lastSequence }: SegmentEnd): void {
    this.served.hot.seal(lastSequence);
    this.#tenure.node.emit({ type: "sealed", segment: this.id, lastSequence });
  }

  /** Nothing is appended to it any more. Who serves it, and until when, is for the state to say. */
  async letGo(): Promise<void> {
    const { signal } = this.#tenure;
    const next = this.#next;
    this.#next = undefined;
    this.served.owned = false;
    const closed = this.segment.writer.close().catch(() => {});
    if (!signal.aborted) await unlessAborted(closed, signal).catch(() => {});
    // A prepared log that no transaction was ever tried with is nobody's.
    void next?.then((log) => log && discardLog(this.#tenure, log));
  }
}
