import type { Ref } from "../../ref.js";

/** A blob that a store waits for. */
export interface Entry {
  /** Grows with every put. */
  readonly seq: number;
  /** Of the last put of the blob while it was waited for. */
  lastSeq: number;
  readonly ref: Ref;
  readonly bytes: number;
  /** When it was acknowledged. */
  readonly wallMs: number;
  phase: "fresh" | "in-flight" | "retry" | "gone";
  /** Failed tries. */
  tries: number;
  /** When to try it again: monotonic. */
  notBeforeMs: number;
  /** How many writes the store had taken when this one failed: one that others overtake is to blame itself. */
  successesThen: number;
  /** Nobody may begin to write it: the blob is being deleted. */
  held: boolean;
  /** Others were: its failures say nothing about the store any more. */
  overtaken: boolean;
}

export interface BatchLimits {
  readonly entries: number;
  readonly bytes: number;
}

/** What one store waits for, in the order of acknowledgement, each blob once. Every step costs constant time, on average. */
export class Backlog {
  #order: Entry[] = [];
  #head = 0;
  #fresh = 0;
  readonly #byRef = new Map<Ref, Entry>();
  readonly #retries = new Set<Entry>();
  #bytes = 0;

  get size(): number {
    return this.#byRef.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False when the blob is waited for already: then the entry stands for this put, too. */
  add(seq: number, ref: Ref, bytes: number, wallMs: number): boolean {
    const known = this.#byRef.get(ref);
    if (known) {
      known.lastSeq = Math.max(known.lastSeq, seq);
      return false;
    }
    const entry: Entry = {
      seq,
      lastSeq: seq,
      ref,
      bytes,
      wallMs,
      phase: "fresh",
      tries: 0,
      notBeforeMs: 0,
      successesThen: 0,
      held: false,
      overtaken: false,
    };
    this.#byRef.set(ref, entry);
    this.#order.push(entry);
    this.#bytes += bytes;
    return true;
  }

  find(ref: Ref): Entry | undefined {
    return this.#byRef.get(ref);
  }

  /** False when it is gone already. */
  remove(entry: Entry): boolean {
    if (entry.phase === "gone") return false;
    entry.phase = "gone";
    this.#byRef.delete(entry.ref);
    this.#retries.delete(entry);
    this.#bytes -= entry.bytes;
    // An entry that stays at the front for ever must not keep all that came and went behind it.
    if (this.#order.length > 1024 && this.#order.length > 2 * this.#byRef.size) this.#compact();
    return true;
  }

  #compact(): void {
    const before = this.#order.slice(this.#head, this.#fresh).filter((entry) => entry.phase !== "gone");
    const fresh = this.#order.slice(Math.max(this.#fresh, this.#head));
    this.#order = [...before, ...fresh.filter((entry) => entry.phase !== "gone")];
    this.#head = 0;
    this.#fresh = before.length;
  }

  oldest(): Entry | undefined {
    while (this.#order[this.#head]?.phase === "gone") this.#head++;
    return this.#order[this.#head];
  }

  *entries(): Generator<Entry, void, undefined> {
    for (const entry of this.#byRef.values()) yield entry;
  }

  /** The next to be written: those whose wait is over, then fresh ones. At least one, if there is any, and no more than the limits. */
  take(limits: BatchLimits, nowMs: number): Entry[] {
    const batch: Entry[] = [];
    let bytes = 0;
    const fits = (entry: Entry) =>
      batch.length === 0 || (batch.length < limits.entries && bytes + entry.bytes <= limits.bytes);
    const put = (entry: Entry) => {
      batch.push(entry);
      bytes += entry.bytes;
    };
    for (const entry of this.#retries) {
      if (batch.length >= limits.entries) break;
      if (entry.notBeforeMs <= nowMs && fits(entry)) put(entry);
    }
    for (let entry = this.#nextFresh(); entry !== undefined && fits(entry); entry = this.#nextFresh()) {
      put(entry);
      this.#fresh++;
    }
    return this.#flying(batch);
  }

  /** One to see whether the store is back: a fresh one, so that one bad blob cannot stand for the store, or the one that has waited longest. */
  takeProbe(): Entry[] {
    const fresh = this.#nextFresh();
    if (fresh !== undefined) {
      this.#fresh++;
      return this.#flying([fresh]);
    }
    let first: Entry | undefined;
    for (const entry of this.#retries) {
      if (first === undefined || entry.notBeforeMs < first.notBeforeMs) first = entry;
    }
    return this.#flying(first === undefined ? [] : [first]);
  }

  #flying(batch: Entry[]): Entry[] {
    for (const entry of batch) {
      entry.phase = "in-flight";
      this.#retries.delete(entry);
    }
    return batch;
  }

  #nextFresh(): Entry | undefined {
    for (; this.#fresh < this.#order.length; this.#fresh++) {
      const entry = this.#order[this.#fresh];
      if (entry?.phase === "fresh" && !entry.held) return entry;
    }
    return undefined;
  }

  /** It was in flight and has failed. */
  retry(entry: Entry, notBeforeMs: number): void {
    if (entry.phase === "gone") return;
    entry.phase = "retry";
    entry.notBeforeMs = notBeforeMs;
    if (!entry.held) this.#retries.add(entry);
  }

  /** It is not given out until it is released. One that is in flight stays there. */
  hold(entry: Entry): void {
    entry.held = true;
    this.#retries.delete(entry);
  }

  release(entry: Entry): void {
    entry.held = false;
    // It may have lost its place among the fresh ones. One in flight is settled by whoever writes it.
    if (entry.phase === "fresh" || entry.phase === "retry") this.retry(entry, entry.notBeforeMs);
  }

  get retries(): ReadonlySet<Entry> {
    return this.#retries;
  }
}
