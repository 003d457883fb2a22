/** How often the store looks at its leases while there are any. */
export const tickMs = 200;
/** How often, if there are none, so that watchers of a store that was fenced learn of it. */
export const idleTickMs = 1000;
/** A look that comes later than this behind its time means that the process did not run. */
const stallThresholdMs = 100;

interface LeaseEntry {
  readonly ttlMs: number;
  deadlineMs: number;
  /** Was given out by `due` and is being deleted. */
  isEnding: boolean;
}

/**
 * Who still lives, as a pure function of the times that it is told. Leases are not persisted: opening a store revokes them all.
 *
 * A holder that lives in a stopped process, or that talks to one, can't keep its lease alive. So time in which the process did not run
 * does not count: it is noticed by a look that comes more than `stallThresholdMs` after the time it was planned for, and then
 * every deadline moves by the time since the look before, which is the stall and at most a tick more.
 */
export class LeaseTable {
  readonly #leases: Map<bigint, LeaseEntry> = new Map();
  #nextId: bigint;
  #lookedMs = 0;
  #plannedMs: number | undefined;

  /** Ids hold the generation, so none is ever given twice although none is written down. */
  constructor(generation: number) {
    this.#nextId = (BigInt(generation) << 32n) + 1n;
  }

  get size(): number {
    return this.#leases.size;
  }

  has(leaseId: bigint): boolean {
    return this.#leases.has(leaseId);
  }

  grant(ttlMs: number, nowMs: number): bigint {
    const id = this.#nextId;
    this.#nextId += 1n;
    this.#leases.set(id, { ttlMs, deadlineMs: nowMs + ttlMs, isEnding: false });
    return id;
  }

  /** Its TTL, which starts anew; undefined if there is no such lease. */
  keepAlive(leaseId: bigint, nowMs: number): number | undefined {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return undefined;
    lease.deadlineMs = nowMs + lease.ttlMs;
    return lease.ttlMs;
  }

  remove(leaseId: bigint): boolean {
    return this.#leases.delete(leaseId);
  }

  /** Takes the lease away if its time is over still: it may have been kept alive since `due`. */
  expire(leaseId: bigint, nowMs: number): boolean {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return false;
    lease.isEnding = false;
    return lease.deadlineMs <= nowMs && this.#leases.delete(leaseId);
  }

  /** Says when the next look is planned, and gives the time until then. */
  plan(nowMs: number): number {
    let delayMs = this.#leases.size === 0 ? idleTickMs : tickMs;
    for (const lease of this.#leases.values()) {
      if (!lease.isEnding) delayMs = Math.min(delayMs, lease.deadlineMs - nowMs);
    }
    delayMs = Math.max(delayMs, 1);
    this.#lookedMs = nowMs;
    this.#plannedMs = nowMs + delayMs;
    return delayMs;
  }

  /** No look is planned any more, so that none can be late. */
  unplan(): void {
    this.#plannedMs = undefined;
  }

  /** Moves the deadlines if the planned look is late. To be called before any decision that depends on time. */
  look(nowMs: number): void {
    if (this.#plannedMs === undefined || nowMs - this.#plannedMs <= stallThresholdMs) return;
    const stallMs = nowMs - this.#lookedMs;
    for (const lease of this.#leases.values()) lease.deadlineMs += stallMs;
    // The timer of the planned look is about to fire as well, and must not count the same stall again.
    this.#lookedMs = nowMs;
    this.#plannedMs = nowMs;
  }

  /** The leases whose time is over, each told once. */
  due(nowMs: number): bigint[] {
    const ids: bigint[] = [];
    for (const [id, lease] of this.#leases) {
      if (lease.isEnding || lease.deadlineMs > nowMs) continue;
      lease.isEnding = true;
      ids.push(id);
    }
    return ids;
  }
}
