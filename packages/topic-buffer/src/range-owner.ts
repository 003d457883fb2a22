import { CoordError } from "@x/coord";
import {
  encodeMessageFrames,
  type RefusalCode,
  rangeLeaseKey,
  rangeOfHash,
  type SegmentEnd,
  type SegmentId,
  sameRange,
  segmentName,
  TopicError,
  ticksOfMs,
} from "@x/topic-gateway/protocol";
import { rangeKey } from "./allocation.js";
import { type AppendGroup, AppendQueue, type AppendSender } from "./append-queue.js";
import type { LaneOwner } from "./lanes.js";
import { sealOps } from "./sealing.js";
import {
  discardLog,
  nextStartTime,
  type OpenSegment,
  type PreparedLog,
  prepareLog,
  registerSegment,
  type SegmentPlan,
} from "./segment-opening.js";
import type { ServedSegment } from "./served.js";
import { settleTxn, unlessAborted } from "./settle.js";
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
  | { readonly type: "lost" };

export type OwnerPhase = "taking-over" | "open" | "rolling" | "handing-over" | "ended";

/** Why the loop that appends stopped. */
type Pause = "roll" | "hand-over" | "layout" | "failed";

/** A next log is made when a segment is this full, so that a roll does not wait for it. */
const PREPARE_AT = 0.75;

/**
 * Holds one range from its claim to its end: takes it over, appends what lanes bring in groups, one at a time, rolls to new
 * segments, hands it over. In any doubt about an append it never touches that log again: everybody is refused, the log is
 * sealed like a stranger's, and the range goes on in a new one.
 */
export class RangeOwner implements LaneOwner {
  readonly claim: Claim;
  readonly key: string;
  readonly done: Promise<OwnerEnd>;
  readonly #tenure: Tenure;
  readonly #stop: AbortController;
  readonly #onPhase: () => void;
  readonly #queue: AppendQueue = new AppendQueue();
  readonly #senders: Set<AppendSender> = new Set();
  #phase: OwnerPhase = "taking-over";
  #segment: OpenSegment | undefined;
  #served: ServedSegment | undefined;
  #next: Promise<PreparedLog | undefined> | undefined;
  /** The revision of the record of the last segment opened here. */
  #opened = 0n;
  #releasing = false;
  #rollDue = false;
  /** Wakes the loop that waits for something to do. */
  #wake: () => void = () => {};
  #room: { readonly promise: Promise<void>; readonly tell: () => void } | undefined;

  /** `onPhase` is called when the range opens and when it ends. */
  constructor(tenure: Tenure, claim: Claim, onPhase: () => void) {
    // A signal of its own, to which appends can listen without walking past the listeners of every other range.
    this.#stop = new AbortController();
    this.#tenure = { ...tenure, signal: this.#stop.signal };
    this.#onPhase = onPhase;
    this.claim = claim;
    this.key = rangeKey(claim.topic, claim.range);
    this.done = this.#run(tenure.signal);
  }

  get phase(): OwnerPhase {
    return this.#phase;
  }
  get segment(): SegmentId | undefined {
    return this.#segment?.id;
  }
  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** Hands the range over: what is queued is appended first, then the lanes are refused. */
  release(code: RefusalCode = "not-owner"): void {
    if (this.#releasing) return;
    this.#releasing = true;
    for (const sender of this.#senders)
      sender.refuseLater(code, `the range ${this.key} is being handed over`);
    this.#wake();
  }

  /** To be called when the topics may have changed. */
  onState(): void {
    if (this.#segment && this.#layoutChanged(this.#segment)) this.#wake();
  }

  /** Takes no new lanes. */
  get isClosing(): boolean {
    return this.#releasing || this.#phase === "ended";
  }

  // --- lanes

  attach(sender: AppendSender): void {
    this.#senders.add(sender);
  }

  detach(sender: AppendSender): void {
    this.#senders.delete(sender);
  }

  accept(sender: AppendSender, batch: number, bodies: readonly Buffer[], bytes: number): void {
    if (this.isClosing) {
      sender.refuse("not-owner", `the range ${this.key} is no longer here`);
      return;
    }
    // While nothing can be appended, waiting for room would hold up the other ranges of the stream for as long.
    if (this.#phase === "taking-over" && this.#queue.bytes >= this.#tenure.node.maxQueuedBytes) {
      sender.refuse(
        "overloaded",
        `the range ${this.key} is being taken over and too much waits for it already`,
      );
      return;
    }
    this.#queue.push(sender, batch, bodies, bytes);
    this.#wake();
  }

  room(): Promise<void> | undefined {
    if (this.#phase === "ended" || this.#phase === "taking-over") return undefined;
    if (this.#queue.bytes < this.#tenure.node.maxQueuedBytes) return undefined;
    if (!this.#room) {
      let tell = (): void => {};
      const promise = new Promise<void>((resolve) => {
        tell = resolve;
      });
      this.#room = { promise, tell };
    }
    return this.#room.promise;
  }

  #tellRoom(): void {
    this.#room?.tell();
    this.#room = undefined;
  }

  #refuseAll(code: RefusalCode, message: string): void {
    this.#queue.clear();
    const senders = [...this.#senders];
    this.#senders.clear();
    for (const sender of senders) sender.refuse(code, message);
    this.#tellRoom();
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
      // The session is lost, or the store said something that leaves no way on: the tenure looks at that.
      if (!(error instanceof CoordError) && !this.#tenure.signal.aborted)
        this.#alarm("an owner of a range failed", error);
      end = { type: "lost" };
    }
    signal.removeEventListener("abort", onAbort);
    this.#phase = "ended";
    this.#refuseAll("not-owner", `the range ${this.key} is no longer here`);
    await this.#letGo();
    this.#onPhase();
    return end;
  }

  async #live(): Promise<OwnerEnd> {
    const tenure = this.#tenure;
    for (;;) {
      this.#phase = "taking-over";
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
      this.#begin(takeover.segment, takeover.revision);
      const { topic, range, epoch } = this.claim;
      tenure.node.emit({ type: "opened", topic, range, epoch, segment: takeover.segment.id });
      const pause = await this.#appendAndRoll();
      const leaving = pause === "hand-over" || (pause === "layout" && !this.#isWanted());
      if (leaving && (await this.#handOver())) return this.#giveBack();
      // Otherwise the log is in doubt, or belongs to an older layout: it is sealed by taking the range over again.
      await this.#letGo();
    }
  }

  #begin(segment: OpenSegment, revision: bigint): void {
    this.#segment = segment;
    this.#opened = segment.modRevision;
    this.#served = this.#tenure.served.open(segment, revision);
    this.#rollDue = false;
    this.#phase = "open";
    this.#onPhase();
  }

  /** Nothing is appended to the segment any more. Who serves it, and until when, is for the state to say. */
  async #letGo(): Promise<void> {
    const [segment, served, next] = [this.#segment, this.#served, this.#next];
    this.#segment = undefined;
    this.#served = undefined;
    this.#next = undefined;
    if (served) served.owned = false;
    const closed = segment?.writer.close().catch(() => {});
    if (closed && !this.#tenure.signal.aborted)
      await unlessAborted(closed, this.#tenure.signal).catch(() => {});
    // A prepared log that no transaction was ever tried with is nobody's.
    void next?.then((log) => log && discardLog(this.#tenure, log));
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
    const segment = this.#segment as OpenSegment;
    const stopTimer = node.clock.setTimer(node.segmentMaxAgeMs, () => {
      this.#rollDue = true;
      this.#wake();
    });
    const wake = (): void => this.#wake();
    signal.addEventListener("abort", wake);
    try {
      for (;;) {
        signal.throwIfAborted();
        const hot = (this.#served as ServedSegment).hot;
        if (this.#layoutChanged(segment)) return "layout";
        if (this.#queue.isEmpty) {
          if (this.#releasing) return "hand-over";
          if (this.#rollDue && hot.visible > 0) return "roll";
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        if (hot.bytes >= node.segmentMaxBytes || (this.#rollDue && hot.visible > 0)) return "roll";
        if (hot.bytes >= node.segmentMaxBytes * PREPARE_AT) this.#prepareNext(segment);
        if (!(await this.#appendGroup(segment, this.#queue.take(node.groupMaxBytes)))) return "failed";
      }
    } finally {
      stopTimer();
      signal.removeEventListener("abort", wake);
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
  async #appendGroup(segment: OpenSegment, group: AppendGroup): Promise<boolean> {
    const { node, session } = this.#tenure;
    const { chain, writer } = segment;
    const now = ticksOfMs(node.clock.wallMs());
    const time = chain.lastTime >= now ? chain.lastTime + 1n : now;
    const { bytes, run, offsets } = encodeMessageFrames(chain, group.bodies, time);
    try {
      await unlessAborted(writer.append(bytes), this.#tenure.signal);
      if (!session.isAlive())
        throw new TopicError("lease-lost", "the session's deadline passed while the append was under way");
    } catch (cause) {
      const { topic, range } = this.claim;
      node.emit({ type: "append-failed", topic, range, segment: segment.id, cause });
      this.#refuseAll("failed", `an append to ${this.key} may or may not have been made durable`);
      return false;
    }
    (this.#served as ServedSegment).hot.append(bytes, run.sequence, offsets);
    let { sequence } = run;
    for (const { sender, batch, bodies } of group.items) {
      sender.acknowledge(batch, time + BigInt(sequence - run.sequence), sequence, bodies.length);
      sequence += bodies.length;
    }
    if (this.#room && this.#queue.bytes < node.maxQueuedBytes) this.#tellRoom();
    return true;
  }

  // --- roll and hand over

  /** Its start is not known yet: the header of the log says what it will be at least. */
  #prepareNext({ id, record, chain }: OpenSegment): void {
    if (this.#next) return;
    const { incarnation, layout } = record;
    const predecessors = [segmentName(id)];
    const plan = {
      incarnation,
      layout,
      predecessors,
      startTime: chain.lastTime + 1n,
      lineageTime: chain.lastTime,
    };
    this.#next = prepareLog(this.#tenure, this.claim, plan).catch(() => undefined);
  }

  /** Seals the segment and opens the next one in one transaction. False: the range must be taken over again. */
  async #roll(): Promise<boolean> {
    const tenure = this.#tenure;
    const { node } = tenure;
    const segment = this.#segment as OpenSegment;
    const served = this.#served as ServedSegment;
    const end = await this.#sealOwnLog(segment, served);
    if (!end) return false;
    const { incarnation, layout } = segment.record;
    const seal = sealOps(tenure, segment, end);
    let log: PreparedLog | undefined;
    try {
      const lineageTime = seal.record.sealed?.lastTime ?? segment.chain.lastTime;
      const startTime = nextStartTime(ticksOfMs(node.clock.wallMs()), lineageTime);
      const plan: SegmentPlan = {
        incarnation,
        layout,
        predecessors: [segmentName(segment.id)],
        startTime,
        lineageTime,
      };
      this.#prepareNext(segment);
      log = (await this.#next) ?? (await prepareLog(tenure, this.claim, plan));
      this.#next = undefined;
      const registration = await registerSegment(tenure, this.claim, plan, log, {
        compare: [seal.compare],
        ops: seal.ops,
      });
      if (registration.type === "refused") {
        await discardLog(tenure, log);
        return false;
      }
      void segment.writer.close().catch(() => {});
      served.hot.seal(end.lastSequence);
      served.owned = false;
      this.#begin(registration.segment, registration.revision);
      const { topic, range, epoch } = this.claim;
      node.emit({ type: "sealed", segment: segment.id, lastSequence: end.lastSequence });
      node.emit({ type: "rolled", topic, range, epoch, from: segment.id, segment: registration.segment.id });
      return true;
    } catch (error) {
      await log?.writer.close().catch(() => {});
      if (!(error instanceof TopicError)) throw error;
      this.#alarm(`the range ${this.key} could not go on in a new segment`, error);
      return false;
    }
  }

  /** Undefined: something is wrong with it; everybody was refused. */
  async #sealOwnLog(segment: OpenSegment, { hot }: ServedSegment): Promise<SegmentEnd | undefined> {
    try {
      const { node, signal } = this.#tenure;
      const end = await unlessAborted(node.logs.seal(segment.record.log, { signal }), signal);
      if (end.lastSequence === hot.visible) return end;
      throw new TopicError(
        "corrupt",
        `${end.lastSequence} messages are in a log that acknowledged ${hot.visible}`,
      );
    } catch (error) {
      if (!(error instanceof TopicError)) throw error;
      this.#alarm(`the log of ${this.key} could not be sealed by its owner`, error);
      this.#refuseAll("failed", `the log of ${this.key} is in doubt`);
      return undefined;
    }
  }

  /** Step 9 but for the lease: seal and record. False: the segment must be sealed by taking the range over. */
  async #handOver(): Promise<boolean> {
    const tenure = this.#tenure;
    const segment = this.#segment as OpenSegment;
    const served = this.#served as ServedSegment;
    this.#phase = "handing-over";
    this.#refuseAll("not-owner", `the range ${this.key} is being handed over`);
    const end = await this.#sealOwnLog(segment, served);
    if (!end) return false;
    const seal = sealOps(tenure, segment, end);
    const leaseKey = rangeLeaseKey(this.claim.topic, this.claim.range);
    const { succeeded } = await settleTxn(
      tenure.node.coord,
      {
        compare: [seal.compare, { key: leaseKey, target: "create", op: "=", value: this.claim.epoch }],
        then: [...seal.ops, { type: "delete", key: leaseKey }],
      },
      tenure,
    );
    // Refused, it may still be that an attempt without an answer did it, or that somebody else sealed: the state tells.
    if (succeeded) {
      served.hot.seal(end.lastSequence);
      tenure.node.emit({ type: "sealed", segment: segment.id, lastSequence: end.lastSequence });
    }
    return true;
  }

  #alarm(message: string, cause: unknown): void {
    this.#tenure.node.emit({ type: "alarm", message, segment: this.#segment?.id, cause });
  }
}
