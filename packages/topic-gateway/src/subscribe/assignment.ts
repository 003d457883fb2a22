import { setMaxListeners } from "node:events";
import type { Session } from "@x/coord";
import type { ClientContext } from "../client/context.js";
import { prefixes, rangeSizeKey, segmentKey, subscriptionKey } from "../protocol/keys.js";
import type { ConsumerName, SubscriptionName, TopicName } from "../protocol/names.js";
import { parseSegmentName, type SegmentId, type SegmentName, segmentName } from "../protocol/segment-id.js";
import type { SubscriptionView, TopicView } from "../topics/state.js";
import { progressOf, type SegmentProgress } from "./eligibility.js";
import { HeldSegment } from "./held-segment.js";
import { acquireLease, type LeasePort, releaseLease } from "./lease-txns.js";
import { Membership, noSubscription, noTopic } from "./membership.js";
import { planMoves } from "./plan.js";

export interface AssignmentOptions {
  readonly context: ClientContext;
  readonly topic: TopicName;
  readonly subscription: SubscriptionName;
  readonly consumer: ConsumerName;
  readonly session: Session;
  readonly prefetchBytes: number;
  readonly commitIntervalMs: number;
  /** How long a segment that is to move waits until what was delivered of it is acknowledged. */
  readonly drainMs: number;
  readonly on: {
    messages(held: HeldSegment): void;
    acknowledged(): void;
    /** Nothing more can come of this subscription. May be told again. */
    failed(error: unknown): void;
  };
}

const REVIEW_GAP_MS = 2;
/** Looking through everything takes at most a tenth of the time, however long the history is. */
const REVIEW_SHARE = 10;
const MAX_ACQUIRING = 32;
/** How long the view is waited for after a write of our own. */
const REACH_MS = 1000;
/** What was refused to us is tried again after this, or when the view shows why. */
const REFUSED_MS = 50;
/** Ended segments whose late acknowledgements are still answered rightly. */
const MAX_ENDED = 1024;

/** The segments that one session holds: which, by the records, and their taking and giving back. */
export class Assignment {
  readonly sessionId: string;
  readonly session: Session;
  readonly held: Map<SegmentName, HeldSegment> = new Map();
  /** Finished, given back or lost in this session, the latest last. */
  readonly ended: Map<SegmentName, HeldSegment> = new Map();
  readonly #options: AssignmentOptions;
  readonly #port: LeasePort;
  readonly #membership: Membership;
  /** Segments with a transaction of ours on its way, or whose outcome the view does not show yet. */
  readonly #busy = new Set<SegmentName>();
  readonly #acquiring = new Set<SegmentName>();
  readonly #refusedUntilMs = new Map<SegmentName, number>();
  readonly #unlisten: () => void;
  #wanted = false;
  /** The revision that has it among the consumers, once it is; a view of an earlier one knows too little to decide by. */
  #joinedRevision: bigint | undefined;
  #over = false;
  #cancelReview: (() => void) | undefined;
  #nextReviewMs = 0;

  constructor(options: AssignmentOptions) {
    const { context, session } = options;
    this.#options = options;
    this.session = session;
    this.sessionId = String(session.leaseId);
    // Every transaction of every segment listens to the session's end.
    setMaxListeners(0, session.signal);
    this.#port = { coord: context.coord, clock: context.runtime.clock, signal: session.signal };
    this.#membership = new Membership(this.#port, options);
    this.#unlisten = context.cache.listen(() => this.#onChange());
  }

  /** Becomes one of the subscription's consumers. @throws TopicError "topic-not-found", "subscription-not-found" */
  async join(): Promise<void> {
    this.#wanted = true;
    const revision = await this.#membership.enter();
    // It may have left again meanwhile.
    if (this.#over || !this.#wanted) return;
    this.#joinedRevision = revision;
    await this.#reach(revision);
    this.#onChange();
  }

  /** Gives everything back, waiting for nothing, and takes nothing until `join`. */
  async leave(): Promise<void> {
    this.#wanted = false;
    this.#joinedRevision = undefined;
    this.#releaseAll();
    await this.#membership.leave();
  }

  /** Commits what is acknowledged and ends the session, which gives everything back. */
  async close(): Promise<void> {
    this.#wanted = false;
    this.#joinedRevision = undefined;
    const all = [...this.held.values()];
    for (const held of all) held.stopDelivering();
    // The commits end with the session at the latest.
    await Promise.all(all.map((held) => held.flush()));
    await this.session.close();
    this.drop();
  }

  /** The session is over: nothing is ours any more. */
  drop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#wanted = false;
    this.#joinedRevision = undefined;
    this.#unlisten();
    this.#cancelReview?.();
    for (const held of [...this.held.values()]) this.#end(held, "segment-lost");
  }

  // --- following the records

  #onChange(): void {
    if (this.#over) return;
    const { failure } = this.#options.context.cache;
    if (failure !== undefined) this.#options.on.failed(failure);
    else if (this.#joinedRevision !== undefined || this.held.size > 0) this.#reviewSoon();
  }

  #reviewSoon(): void {
    if (this.#cancelReview) return;
    const delayMs = this.#nextReviewMs - this.#port.clock.monotonicMs();
    if (delayMs <= 0) this.#review();
    else this.#reviewIn(delayMs);
  }

  #reviewIn(delayMs: number): void {
    this.#cancelReview?.();
    this.#cancelReview = this.#port.clock.setTimer(delayMs, () => {
      this.#cancelReview = undefined;
      this.#review();
    });
  }

  /** Looks at everything anew. */
  #review(): void {
    const { clock } = this.#port;
    const startedMs = clock.monotonicMs();
    const { context, topic: topicName, subscription: subscriptionName, on } = this.#options;
    const { state } = context.cache;
    const topic = state.topics.get(topicName);
    const subscription = topic?.subscriptions.get(subscriptionName);
    const isJoined = this.#joinedRevision !== undefined && state.revision >= this.#joinedRevision;
    if (topic?.config && subscription?.record) {
      for (const held of [...this.held.values()]) this.#lookAfter(held, topic, subscription);
      if (isJoined && this.session.isAlive()) this.#plan(topic, subscription);
    } else if (isJoined) {
      const keys = [rangeSizeKey(topicName), subscriptionKey(topicName, subscriptionName)];
      // What can't be read is not gone.
      if (!keys.some((key) => state.faults.has(key))) {
        on.failed(topic?.config ? noSubscription(topicName, subscriptionName) : noTopic(topicName));
      }
    }
    // What was on its way to us when we left.
    if (!this.#wanted) this.#releaseAll();
    const endedMs = clock.monotonicMs();
    this.#nextReviewMs = endedMs + Math.max(REVIEW_GAP_MS, (endedMs - startedMs) * REVIEW_SHARE);
  }

  #lookAfter(held: HeldSegment, topic: TopicView, subscription: SubscriptionView): void {
    const { state } = this.#options.context.cache;
    if (state.revision < held.createRevision) return;
    const record = topic.segments.get(held.name)?.record;
    if (record?.sealed) held.setEnd(record.sealed.lastSequence);
    if (this.#busy.has(held.name)) return;

    if (subscription.leases.get(held.name)?.createRevision !== held.createRevision) {
      // Our own last commit, which gives the lease back, may show here before it is answered.
      if (!held.isFinishing) this.#end(held, "segment-lost");
      return;
    }
    const isThere = record ? record.incarnation === held.incarnation : state.faults.has(segmentKey(held.id));
    const isCurrent = subscription.modRevision === held.subscriptionRevision;
    if (!isThere || record?.state === "deleted" || !isCurrent) this.#giveUp(held);
  }

  #plan(topic: TopicView, subscription: SubscriptionView): void {
    const me = this.sessionId;
    const eligible = progressOf(topic, subscription, { unreadable: this.#unreadable(), eligibleOnly: true });
    const { acquire, release } = planMoves({
      me,
      sessions: [...subscription.consumers].map(([id, { createRevision }]) => ({ id, createRevision })),
      segments: eligible.map(({ name, holder }) => {
        const isComing = this.#acquiring.has(name);
        return { name, holder: isComing ? { session: me, createRevision: 0n } : holder };
      }),
      leaving: this.#busy,
    });
    for (const [name, lease] of subscription.leases) {
      if (lease.session !== me || this.held.has(name) || this.#busy.has(name)) continue;
      // Ours, and we know nothing of it: a transaction took effect after we had given up on it.
      void this.#giveBack(parseSegmentName(topic.name, name), lease.createRevision);
    }
    for (const name of release) {
      const held = this.held.get(name);
      if (held) void this.#release(held, this.#options.drainMs);
    }
    if (acquire.length === 0) return;
    const wanted = new Set(acquire);
    this.#acquireSome(
      eligible.filter(({ name }) => wanted.has(name)),
      subscription,
    );
  }

  #unreadable(): ReadonlySet<SegmentName> | undefined {
    const { context, topic } = this.#options;
    const { faults } = context.cache.state;
    if (faults.size === 0) return undefined;
    const prefix = `${prefixes.segments}${topic}/`;
    const keys = [...faults.keys()].filter((key) => key.startsWith(prefix));
    // Compared with the names in records, never taken apart.
    return new Set(keys.map((key) => key.slice(prefix.length) as SegmentName));
  }

  // --- taking

  #acquireSome(wanted: readonly SegmentProgress[], subscription: SubscriptionView): void {
    const nowMs = this.#port.clock.monotonicMs();
    for (const segment of wanted) {
      const { name } = segment;
      const untilMs = this.#refusedUntilMs.get(name) ?? 0;
      if (untilMs > nowMs) {
        if (!this.#cancelReview) this.#reviewIn(untilMs - nowMs);
      } else if (this.#acquiring.size < MAX_ACQUIRING && !this.#busy.has(name) && !this.held.has(name)) {
        this.#refusedUntilMs.delete(name);
        void this.#acquire(segment, subscription);
      }
    }
  }

  async #acquire(segment: SegmentProgress, subscription: SubscriptionView): Promise<void> {
    const { name } = segment;
    const { subscription: subscriptionName } = this.#options;
    const subject = {
      subscription: subscriptionName,
      segment: segment.id,
      session: this.sessionId,
      leaseId: this.session.leaseId,
      subscriptionRevision: subscription.modRevision,
      generation: subscription.record?.generation ?? 1,
    };
    this.#busy.add(name);
    this.#acquiring.add(name);
    try {
      const lease = await acquireLease(this.#port, subject, segment);
      if (!lease) {
        this.#refused(name);
      } else if (!this.#wanted) {
        if (!this.#over) await this.#reach(await releaseLease(this.#port, subject, lease.createRevision));
      } else {
        const held = new HeldSegment({
          ...this.#options,
          port: this.#port,
          lease,
          isAgain: this.ended.has(name),
          incarnation: segment.record.incarnation,
          positionTime: segment.bookmark?.time ?? 0n,
          on: {
            ...this.#options.on,
            finished: (held) => this.#onFinished(held),
            lost: (held) => this.#giveUp(held),
          },
        });
        this.ended.delete(name);
        this.held.set(name, held);
        this.#emit("segment-acquired", name);
        held.start();
        if (segment.record.sealed) held.setEnd(segment.record.sealed.lastSequence);
        await this.#reach(lease.revision);
      }
    } catch {
      // The session is over, or the store refuses for good; a session that lives tries again.
      this.#refused(name);
    } finally {
      this.#busy.delete(name);
      this.#acquiring.delete(name);
    }
    this.#onChange();
  }

  #refused(name: SegmentName): void {
    const nowMs = this.#port.clock.monotonicMs();
    for (const [other, untilMs] of this.#refusedUntilMs)
      if (untilMs <= nowMs) this.#refusedUntilMs.delete(other);
    this.#refusedUntilMs.set(name, nowMs + REFUSED_MS);
  }

  // --- giving back

  #releaseAll(): void {
    for (const held of [...this.held.values()]) void this.#release(held, 0);
  }

  /** Stops delivering, lets what was delivered be acknowledged, commits it, and gives the lease back. */
  async #release(held: HeldSegment, drainMs: number): Promise<void> {
    if (this.#busy.has(held.name)) return;
    this.#busy.add(held.name);
    held.stopDelivering();
    if (drainMs > 0) await this.#within(drainMs, held.drained());
    await held.flush();
    this.#busy.delete(held.name);
    if (this.held.get(held.name) !== held) return;
    this.#end(held, "segment-released");
    await this.#giveBack(held.id, held.createRevision);
  }

  /** Something is not as it must be for us to go on with it. */
  #giveUp(held: HeldSegment): void {
    if (this.held.get(held.name) !== held) return;
    this.#end(held, "segment-lost");
    void this.#giveBack(held.id, held.createRevision);
  }

  async #giveBack(segment: SegmentId, createRevision: bigint): Promise<void> {
    const name = segmentName(segment);
    this.#busy.add(name);
    try {
      const { subscription } = this.#options;
      await this.#reach(await releaseLease(this.#port, { subscription, segment }, createRevision));
    } catch {
      // Then it goes with the session.
    } finally {
      this.#busy.delete(name);
    }
    this.#onChange();
  }

  #onFinished(held: HeldSegment): void {
    if (this.held.get(held.name) === held) this.#end(held, "segment-finished");
    this.#onChange();
  }

  #end(held: HeldSegment, how: "segment-finished" | "segment-released" | "segment-lost"): void {
    this.held.delete(held.name);
    this.ended.delete(held.name);
    this.ended.set(held.name, held);
    const oldest = this.ended.size > MAX_ENDED ? this.ended.keys().next().value : undefined;
    if (oldest !== undefined) this.ended.delete(oldest);
    held.lose();
    this.#emit(how, held.name);
  }

  #emit(
    type: "segment-acquired" | "segment-released" | "segment-finished" | "segment-lost",
    segment: SegmentName,
  ): void {
    const { context, topic, subscription } = this.#options;
    context.emit({ type, topic, subscription, segment });
  }

  // --- waiting

  /** Until the view shows a write of ours: before that, deciding anew would repeat it. */
  async #reach(revision: bigint): Promise<void> {
    const { cache } = this.#options.context;
    const giveUp = new AbortController();
    // Bounded, because a revision without a change of ours is never told.
    const reached = cache.reach(revision, { signal: giveUp.signal }).catch(() => {});
    await this.#within(REACH_MS, reached);
    giveUp.abort();
    await reached;
  }

  /** Until the promise resolves, the time has passed or the session is over. */
  async #within(delayMs: number, promise: Promise<void>): Promise<void> {
    const { clock, signal } = this.#port;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const cancel = clock.setTimer(delayMs, end);
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
      void promise.then(end);
    });
  }
}
