import {
  encodeMessageFrames,
  type RefusalCode,
  rangeOfHash,
  type SegmentEnd,
  type SegmentId,
  sameRange,
  TopicError,
  ticksOfMs,
} from "@x/topic-gateway/protocol";
import { rangeKey } from "./allocation.js";
import { AppendBackoff } from "./append-backoff.js";
import type { AppendGroup } from "./append-queue.js";
import { OwnSegment } from "./own-segment.js";
import { RangeIntake } from "./range-intake.js";
import type { OpenSegment } from "./segment-opening.js";
import { takeOver } from "./takeover.js";
import { type Claim, giveBack, type Tenure } from "./tenure.js";

/** How a range's time with this buffer ended. `revision`: states at or behind it show that the lease is not ours. */
export type OwnerEnd =
  | { readonly type: "given-back"; readonly revision: bigint }
  | {
      readonly type: "blocked";
      readonly revision: bigint;
      readonly by: SegmentId | undefined;
      readonly cause: unknown;
      readonly alarm: boolean;
    }
  /** The lease is gone, or nothing is known any more because the tenure is over. */
  | { readonly type: "lost" }
  /** The store said something that leaves no way on, or there is a fault in here: only a new tenure is sure to know what is what. */
  | { readonly type: "failed"; readonly cause: unknown };

/** `waiting`: a log is in doubt, and it is too soon to try another one. */
export type OwnerPhase = "taking-over" | "open" | "rolling" | "waiting" | "handing-over" | "ended";

/** Why the loop that appends stopped. */
type Pause = "roll" | "hand-over" | "layout" | "failed";

/** A next log is made when a segment is this full, so that a roll does not wait for it. */
const PREPARE_AT = 0.75;

/**
 * Holds one range from its claim to its end: takes it over, appends what lanes bring in groups, one at a time, rolls to new
 * segments, hands it over. In any doubt about an append it never touches that log again: everybody is refused, the log is
 * sealed like a stranger's, and the range goes on in a new one, after a pause if that was not the first time.
 */
export class RangeOwner {
  readonly claim: Claim;
  readonly key: string;
  readonly done: Promise<OwnerEnd>;
  /** Where lanes bring their batches. */
  readonly intake: RangeIntake;
  readonly #tenure: Tenure;
  readonly #stop: AbortController;
  readonly #onPhase: () => void;
  readonly #backoff: AppendBackoff;
  #phase: OwnerPhase = "taking-over";
  #own: OwnSegment | undefined;
  /** The revision of the record of the last segment opened here. */
  #opened = 0n;
  #releasing = false;
  #rollDue = false;
  /** Wakes the loop that waits for something to do. */
  #wake: () => void = () => {};
  /** Ends the waiting for an append that is under way. */
  #abandon: (reason: unknown) => void = () => {};

  /** `onPhase` is called when the range opens and when it ends. */
  constructor(tenure: Tenure, claim: Claim, onPhase: () => void) {
    // A signal of its own, to which appends can listen without walking past the listeners of every other range.
    this.#stop = new AbortController();
    this.#tenure = { ...tenure, signal: this.#stop.signal };
    this.#onPhase = onPhase;
    this.claim = claim;
    this.key = rangeKey(claim.topic, claim.range);
    this.#backoff = new AppendBackoff(tenure.node);
    this.intake = new RangeIntake(this.key, tenure.node.maxQueuedBytes, () => this.#wake());
    this.done = this.#run(tenure.signal);
  }

  get phase(): OwnerPhase {
    return this.#phase;
  }
  get segment(): SegmentId | undefined {
    return this.#own?.id;
  }

  /** Hands the range over: what is queued is appended first, then the lanes are refused. */
  release(code: RefusalCode = "not-owner"): void {
    if (this.#releasing) return;
    this.#releasing = true;
    this.intake.close(code, `the range ${this.key} is being handed over`);
    this.#wake();
    this.#backoff.cut();
  }

  /** To be called when the topics may have changed. */
  onState(): void {
    if (this.#own && this.#layoutChanged(this.#own.segment)) this.#wake();
    if (this.#phase === "waiting" && !this.#isWanted()) this.#backoff.cut();
  }

  // --- the life of the range

  async #run(signal: AbortSignal): Promise<OwnerEnd> {
    const onAbort = (): void => this.#stop.abort(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    let end: OwnerEnd;
    try {
      // Whoever made this first gets to know of it.
      await Promise.resolve();
      end = await this.#live();
    } catch (error) {
      end = this.#tenure.signal.aborted ? { type: "lost" } : { type: "failed", cause: error };
    }
    signal.removeEventListener("abort", onAbort);
    this.#phase = "ended";
    this.intake.close("not-owner", `the range ${this.key} is no longer here`);
    this.intake.refuseAll("not-owner", `the range ${this.key} is no longer here`);
    await this.#letGo();
    this.#onPhase();
    return end;
  }

  async #live(): Promise<OwnerEnd> {
    const tenure = this.#tenure;
    for (;;) {
      this.#phase = "taking-over";
      this.intake.isHeld = true;
      if (this.#releasing) return this.#giveBack();
      // A second time round the state must show what this owner has opened: nothing else in the transaction would refuse another.
      if (this.#opened > 0n) await tenure.cache.reach(this.#opened, { signal: tenure.signal });
      const takeover = await takeOver(tenure, this.claim);
      if (takeover.type === "lost") return { type: "lost" };
      if (takeover.type === "unwanted") return this.#giveBack();
      if (takeover.type === "blocked") {
        const revision = await giveBack(tenure, this.claim);
        return { ...takeover, revision };
      }
      this.#begin(takeover);
      this.#backoff.opened();
      const { topic, range, epoch } = this.claim;
      tenure.node.emit({ type: "opened", topic, range, epoch, segment: takeover.segment.id });
      const pause = await this.#appendAndRoll();
      const leaving = pause === "hand-over" || (pause === "layout" && !this.#isWanted());
      if (leaving && (await this.#handOver())) return this.#giveBack();
      // Otherwise the log is in doubt, or belongs to an older layout: it is sealed by taking the range over again.
      const delayMs = pause === "failed" ? this.#backoff.failed() : 0;
      if (delayMs > 0) this.#phase = "waiting";
      this.intake.isHeld = true;
      await this.#letGo();
      if (delayMs > 0 && !this.#releasing) await this.#backoff.wait(delayMs, tenure.signal);
    }
  }

  #begin(opened: { readonly segment: OpenSegment; readonly revision: bigint }): void {
    this.#own = new OwnSegment(this.#tenure, this.claim, opened);
    this.#opened = opened.segment.modRevision;
    this.#rollDue = false;
    this.#phase = "open";
    this.intake.isHeld = false;
    this.#onPhase();
  }

  async #letGo(): Promise<void> {
    const own = this.#own;
    this.#own = undefined;
    await own?.letGo();
  }

  async #giveBack(): Promise<OwnerEnd> {
    const revision = await giveBack(this.#tenure, this.claim);
    const { topic, range, epoch } = this.claim;
    this.#tenure.node.emit({ type: "handed-over", topic, range, epoch });
    return { type: "given-back", revision };
  }

  async #appendAndRoll(): Promise<Exclude<Pause, "roll">> {
    for (;;) {
      const pause = await this.#append();
      if (pause !== "roll") return pause;
      this.#phase = "rolling";
      if (!(await this.#roll())) return "failed";
      this.#phase = "open";
    }
  }

  /** Appends groups, one after the other, until something else is to be done. */
  async #append(): Promise<Pause> {
    const { node, signal } = this.#tenure;
    const own = this.#own as OwnSegment;
    const { segment } = own;
    const { hot } = own.served;
    const stopTimer = node.clock.setTimer(node.segmentMaxAgeMs, () => {
      this.#rollDue = true;
      this.#wake();
    });
    // One listener for all appends, since adding and removing one for each costs more than the rest of it.
    const onAbort = (): void => {
      this.#wake();
      this.#abandon(signal.reason);
    };
    signal.addEventListener("abort", onAbort);
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#layoutChanged(segment)) return "layout";
        if (this.intake.isEmpty) {
          if (this.#releasing) return "hand-over";
          if (this.#rollDue && hot.visible > 0) return "roll";
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        if (hot.bytes >= node.segmentMaxBytes || (this.#rollDue && hot.visible > 0)) return "roll";
        if (hot.bytes >= node.segmentMaxBytes * PREPARE_AT) own.prepareNext();
        if (!(await this.#appendGroup(own, this.intake.take(node.groupMaxBytes)))) return "failed";
      }
    } finally {
      stopTimer();
      signal.removeEventListener("abort", onAbort);
    }
  }

  #layoutChanged({ record }: OpenSegment): boolean {
    const { state } = this.#tenure.cache;
    if (state.revision < record.layout) return false;
    return state.topic(this.claim.topic)?.config.layout !== record.layout;
  }

  #isWanted(): boolean {
    const { topic, range } = this.claim;
    const config = this.#tenure.cache.state.topic(topic)?.config;
    return config !== undefined && sameRange(rangeOfHash(range.from, config.factor), range);
  }

  /** Durable, then the fence, then visible, then acknowledged. False: in doubt, everybody was refused. */
  async #appendGroup({ segment, served }: OwnSegment, group: AppendGroup): Promise<boolean> {
    const { node, session } = this.#tenure;
    const { chain, writer } = segment;
    const now = ticksOfMs(node.clock.wallMs());
    const time = chain.lastTime >= now ? chain.lastTime + 1n : now;
    const { bytes, run, offsets } = encodeMessageFrames(chain, group.bodies, time);
    try {
      await this.#unlessAbandoned(writer.append(bytes));
      if (!session.isAlive())
        throw new TopicError("lease-lost", "the session's deadline passed while the append was under way");
    } catch (cause) {
      const { topic, range } = this.claim;
      node.emit({ type: "append-failed", topic, range, segment: segment.id, cause });
      this.intake.refuseAll("failed", `an append to ${this.key} may or may not have been made durable`);
      return false;
    }
    served.hot.append(bytes, run.sequence, offsets);
    let { sequence } = run;
    for (const { sender, batch, bodies } of group.items) {
      sender.acknowledge(batch, time + BigInt(sequence - run.sequence), sequence, bodies.length);
      sequence += bodies.length;
    }
    return true;
  }

  /** What comes of an append after the tenure's end is nobody's business any more. @throws the signal's reason */
  #unlessAbandoned(append: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#abandon = reject;
      append.then(resolve, reject);
    });
  }

  // --- roll and hand over

  /** Seals the segment and opens the next one in one transaction. False: the range must be taken over again. */
  async #roll(): Promise<boolean> {
    const own = this.#own as OwnSegment;
    const end = await this.#seal(own);
    if (!end) return false;
    try {
      const next = await own.rollOver(end);
      if (next.type === "refused") return false;
      this.#begin(next);
      const { topic, range, epoch } = this.claim;
      this.#tenure.node.emit({ type: "rolled", topic, range, epoch, from: own.id, segment: next.segment.id });
      return true;
    } catch (error) {
      if (!(error instanceof TopicError)) throw error;
      this.#alarm(`the range ${this.key} could not go on in a new segment`, error);
      return false;
    }
  }

  /** Undefined: something is wrong with it; everybody was refused. */
  async #seal(own: OwnSegment): Promise<SegmentEnd | undefined> {
    try {
      return await own.seal();
    } catch (error) {
      if (!(error instanceof TopicError)) throw error;
      this.#alarm(`the log of ${this.key} could not be sealed by its owner`, error);
      this.intake.refuseAll("failed", `the log of ${this.key} is in doubt`);
      return undefined;
    }
  }

  /** Step 9 but for the lease: seal and record. False: the segment must be sealed by taking the range over. */
  async #handOver(): Promise<boolean> {
    const own = this.#own as OwnSegment;
    this.#phase = "handing-over";
    this.intake.close("not-owner", `the range ${this.key} is being handed over`);
    this.intake.refuseAll("not-owner", `the range ${this.key} is being handed over`);
    const end = await this.#seal(own);
    if (end) await own.handOver(end);
    return end !== undefined;
  }

  #alarm(message: string, cause: unknown): void {
    this.#tenure.node.emit({ type: "alarm", message, segment: this.#own?.id, cause });
  }
}
