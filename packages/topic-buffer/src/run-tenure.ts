import { setMaxListeners } from "node:events";
import { CoordError, openSession, type Session } from "@x/coord";
import {
  bufferKey,
  encodeBuffer,
  type LaneTarget,
  type RefusalCode,
  type Runtime,
  type SegmentId,
  StateCache,
  type TopicName,
} from "@x/topic-gateway/protocol";
import { type AllocationDecision, allocate, rangeKey, type WantedRange, wantedRanges } from "./allocation.js";
import { Archiver } from "./archiver.js";
import type { LaneHost, LaneOwner } from "./lanes.js";
import type { NodeContext } from "./options.js";
import { RangeNotes } from "./range-notes.js";
import { RangeOwner } from "./range-owner.js";
import { SeenServers } from "./seen-servers.js";
import { ServedSegments } from "./served.js";
import { settleTxn } from "./settle.js";
import { type Claim, claimRange, giveBack, type Tenure } from "./tenure.js";

/** Takeovers at once. More would only wait for the same disk. */
const TAKEOVERS_AT_ONCE = 16;
/** Changes that come closer together than this are looked at together. */
const REVIEW_EVERY_MS = 25;
/** What only time brings about is looked for this often. */
const IDLE_REVIEW_MS = 250;
/** All segments there are, also old ones, are looked through this often. */
const SEGMENT_REVIEW_MS = 500;
/** How long a store that does not answer is asked to take the lease back. */
const REVOKE_MS = 1_000;

/** One tenure at work: registers the buffer, claims and hands over ranges as the allocation says, looks after what it serves. */
export class TenureRun implements LaneHost {
  readonly tenure: Tenure;
  readonly owners: Map<string, RangeOwner> = new Map();
  readonly seen: SeenServers;
  readonly #archiver: Archiver;
  readonly #stop: AbortController;
  /** Ranges whose claim is under way, without an owner yet. */
  readonly #claiming: Set<string> = new Set();
  readonly #notes: RangeNotes;
  readonly #tasks: Set<Promise<void>> = new Set();
  #draining = false;
  #reviewedAt = Number.NEGATIVE_INFINITY;
  #archivedAt = Number.NEGATIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  private constructor(tenure: Tenure, stop: AbortController) {
    this.tenure = tenure;
    this.#stop = stop;
    this.seen = new SeenServers(tenure);
    this.#archiver = new Archiver(tenure);
    this.#notes = new RangeNotes(tenure.node);
  }

  /** Resolves when the buffer is registered. @throws CoordError, `signal.reason` */
  static async open(node: NodeContext, runtime: Runtime, signal: AbortSignal): Promise<TenureRun> {
    const { coord } = node;
    const session = await openSession(coord, { ttlMs: node.leaseTtlMs, clock: runtime.clock, signal });
    const stop = new AbortController();
    // One listener for each range, and one for each call under way.
    setMaxListeners(0, stop.signal);
    const onEnd = (): void => stop.abort(signal.aborted ? signal.reason : session.signal.reason);
    session.signal.addEventListener("abort", onEnd);
    signal.addEventListener("abort", onEnd);
    if (session.signal.aborted || signal.aborted) onEnd();
    let cache: StateCache | undefined;
    try {
      cache = await StateCache.open(coord, { clock: runtime.clock, signal: stop.signal });
      const served = new ServedSegments(node, session.leaseId, cache);
      const tenure: Tenure = { node, runtime, session, cache, served, signal: stop.signal };
      const put = {
        type: "put",
        key: bufferKey(node.id),
        value: encodeBuffer({ address: node.address }),
        lease: session.leaseId,
      } as const;
      const { revision } = await settleTxn(coord, { then: [put] }, tenure);
      await cache.reach(revision, { signal: stop.signal });
      stop.signal.throwIfAborted();
      const run = new TenureRun(tenure, stop);
      run.#start(() => {
        session.signal.removeEventListener("abort", onEnd);
        signal.removeEventListener("abort", onEnd);
      });
      return run;
    } catch (error) {
      session.signal.removeEventListener("abort", onEnd);
      signal.removeEventListener("abort", onEnd);
      await cache?.close();
      await closeQuietly(session, runtime);
      throw error;
    }
  }

  #start(onStopped: () => void): void {
    const { cache, signal } = this.tenure;
    const unlisten = cache.listen(() => {
      if (cache.failure !== undefined) this.#stop.abort(cache.failure);
      else this.#reviewSoon();
    });
    signal.addEventListener("abort", () => {
      unlisten();
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
      this.tenure.served.endAll();
      onStopped();
    });
    this.#reviewSoon();
  }

  get isOver(): boolean {
    return this.tenure.signal.aborted;
  }

  /** Resolves with what ended the tenure. */
  over(): Promise<unknown> {
    const { signal } = this.tenure;
    return new Promise((resolve) => {
      if (signal.aborted) resolve(signal.reason);
      else signal.addEventListener("abort", () => resolve(signal.reason));
    });
  }

  ownerOf(target: LaneTarget): LaneOwner | { readonly code: RefusalCode; readonly message: string } {
    const key = rangeKey(target.topic, target.range);
    const owner = this.owners.get(key);
    if (owner && owner.claim.epoch === target.epoch && !owner.intake.isClosed) return owner.intake;
    if (this.#draining)
      return { code: "shutting-down", message: `the buffer ${this.tenure.node.id} is shutting down` };
    const held = owner ? `held here under epoch ${owner.claim.epoch}, not ${target.epoch}` : "not held here";
    return { code: "not-owner", message: `the range ${key} is ${held}` };
  }

  /** Hands everything over, so that nobody has to wait for the lease to run out. @throws `signal.reason` */
  async drain(signal: AbortSignal): Promise<void> {
    this.#draining = true;
    const { node, session } = this.tenure;
    const gone = this.over();
    const aborted = new Promise<never>((_, reject) => {
      const onAbort = (): void => reject(signal.reason);
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
    });
    const work = async (): Promise<void> => {
      // It may be another's by now, who was started under the same id while this one hung.
      const key = bufferKey(node.id);
      const compare = [{ key, target: "lease", op: "=", value: session.leaseId }] as const;
      await settleTxn(node.coord, { compare, then: [{ type: "delete", key }] }, this.tenure);
      for (const owner of this.owners.values()) owner.release("shutting-down");
      // A claim that was under way makes an owner that lets go at once.
      while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    };
    await Promise.race([work().catch(() => {}), gone, aborted]);
  }

  /** Stops at once. Resolves when nothing of the tenure runs any more and its lease is given up, as far as that could be said. */
  async stop(reason: unknown): Promise<void> {
    this.#stop.abort(reason);
    const { cache, session, runtime } = this.tenure;
    await Promise.all([...this.owners.values()].map(({ done }) => done));
    await Promise.all(this.#tasks);
    await this.#archiver.settled();
    await cache.close();
    await closeQuietly(session, runtime);
  }

  // --- the review

  #reviewSoon(): void {
    if (this.isOver) return;
    const at = Math.max(this.tenure.node.clock.monotonicMs(), this.#reviewedAt + REVIEW_EVERY_MS);
    this.#setTimer(at);
  }

  #setTimer(at: number): void {
    if (this.#cancelTimer && this.#timerAt <= at) return;
    this.#cancelTimer?.();
    const { clock } = this.tenure.node;
    this.#timerAt = at;
    this.#cancelTimer = clock.setTimer(Math.max(0, at - clock.monotonicMs()), () => {
      this.#cancelTimer = undefined;
      if (!this.isOver) this.#review();
    });
  }

  #review(): void {
    const { cache, node, session } = this.tenure;
    const now = node.clock.monotonicMs();
    this.#reviewedAt = now;
    const { state } = cache;
    for (const owner of this.owners.values()) owner.onState();
    const wanted = wantedRanges(state);
    this.#notes.noteOrphans(wanted);
    const decision = allocate({
      me: node.id,
      buffers: this.#draining ? [] : [...new Set([...state.buffers.keys(), node.id])],
      wanted,
      claiming: new Set([...this.#claiming, ...this.owners.keys()]),
      avoid: new Set(wanted.flatMap(({ key }) => (this.#notes.mayTouch(key, state.revision) ? [] : [key]))),
      overdue: this.#notes.overdue(),
      keep: this.#notes.kept(),
    });
    this.#act(decision);
    this.#adoptGhosts(session);
    if (now - this.#archivedAt >= SEGMENT_REVIEW_MS) {
      this.#archivedAt = now;
      this.#archiver.review();
    }
    this.#setTimer(now + IDLE_REVIEW_MS);
  }

  #act({ claim, claimOverdue, release }: AllocationDecision): void {
    for (const { key } of release) this.owners.get(key)?.release();
    if (this.#draining) return;
    let free = TAKEOVERS_AT_ONCE - this.#claiming.size;
    for (const { phase } of this.owners.values()) if (phase === "taking-over") free -= 1;
    for (const wanted of claim.slice(0, Math.max(0, free))) this.#claim(wanted.topic, wanted);
    for (const wanted of claimOverdue.slice(0, Math.max(0, free - claim.length))) {
      this.#notes.keep(wanted.key);
      this.#claim(wanted.topic, wanted);
    }
  }

  #claim(topic: TopicName, { key, range }: WantedRange): void {
    const layout = this.tenure.cache.state.topic(topic)?.config.layout;
    if (layout === undefined) return;
    this.#claiming.add(key);
    this.#task(async () => {
      try {
        const { epoch, revision } = await claimRange(this.tenure, topic, range, layout);
        this.#notes.settle(key, revision);
        if (epoch !== undefined) this.#own({ topic, range, epoch });
      } finally {
        this.#claiming.delete(key);
      }
      this.#reviewSoon();
    });
  }

  #own(claim: Claim): void {
    const { topic, range, epoch } = claim;
    this.tenure.node.emit({ type: "claimed", topic, range, epoch });
    const owner = new RangeOwner(this.tenure, claim, () => this.#reviewSoon());
    this.owners.set(owner.key, owner);
    // Claimed while the node began to shut down.
    if (this.#draining) owner.release("shutting-down");
    this.#task(async () => {
      const end = await owner.done;
      this.owners.delete(owner.key);
      if (end.type === "failed") throw end.cause;
      if (end.type !== "lost") this.#notes.settle(owner.key, end.revision);
      if (end.type === "blocked") this.#block(owner, end);
      else this.#notes.unblock(owner.key);
      this.#reviewSoon();
    });
  }

  #block(
    { key, claim: { topic, range } }: RangeOwner,
    {
      by,
      cause,
      alarm,
    }: { readonly by: SegmentId | undefined; readonly cause: unknown; readonly alarm: boolean },
  ): void {
    const { node } = this.tenure;
    const retryAfterMs = this.#notes.block(key);
    node.emit({ type: "blocked", topic, range, by, cause, retryAfterMs });
    if (alarm)
      node.emit({
        type: "alarm",
        message: `the range ${key} can't be taken over and stays blocked`,
        segment: by,
        cause,
      });
  }

  /** Leases of ours that nobody here knows of: put by an attempt that was given up before its answer came. */
  #adoptGhosts(session: Session): void {
    const { state } = this.tenure.cache;
    for (const topic of state.topics.values()) {
      for (const { range, epoch, lease } of topic.leases.values()) {
        const key = rangeKey(topic.name, range);
        if (lease !== session.leaseId || this.owners.has(key) || this.#claiming.has(key)) continue;
        if (!this.#notes.mayTouch(key, state.revision)) continue;
        const claim = { topic: topic.name, range, epoch };
        if (!this.#draining) this.#own(claim);
        else this.#task(async () => this.#notes.settle(key, await giveBack(this.tenure, claim)));
      }
    }
  }

  #task(work: () => Promise<void>): void {
    const task = work()
      .catch((error) => this.#onError(error))
      .finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** What is neither an answer nor an unreachable store ends the tenure: the lease is gone, or the store is. */
  #onError(error: unknown): void {
    if (this.isOver) return;
    if (!(error instanceof CoordError)) {
      this.tenure.node.emit({
        type: "alarm",
        message: "the buffer failed",
        segment: undefined,
        cause: error,
      });
    }
    this.#stop.abort(error);
  }
}

async function closeQuietly(session: Session, runtime: Runtime): Promise<void> {
  const giveUp = new AbortController();
  const cancel = runtime.clock.setTimer(REVOKE_MS, () => giveUp.abort());
  try {
    await session.close({ signal: giveUp.signal });
  } catch {
    // Then the lease runs out by itself.
  } finally {
    cancel();
  }
}
