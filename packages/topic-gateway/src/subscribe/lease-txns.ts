/**
 * The transactions by which a consumer leases a segment, commits to its bookmark, and gives it back. While the store is unavailable
 * they are repeated until the signal aborts. A repeated one that is refused tells from what it finds whether the first
 * was applied: nobody but the holder of a lease writes its bookmark.
 */
import type { Compare, Coord, KeyValue, Op, TxnResult } from "@x/coord";
import { bookmarkKey, bookmarkLeaseKey, subscriptionKey } from "../protocol/keys.js";
import type { SubscriptionName } from "../protocol/names.js";
import { type BookmarkRecord, decodeBookmark, encodeBookmark } from "../protocol/records.js";
import { type Clock, sleep } from "../protocol/runtime.js";
import type { SegmentId } from "../protocol/segment-id.js";
import { ANSWER_MS, askWithin, isUnavailable } from "./attempts.js";
import type { CommitResult } from "./committer.js";

const RETRY_MS = 100;

export interface LeasePort {
  readonly coord: Coord;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface LeaseSubject {
  readonly subscription: SubscriptionName;
  readonly segment: SegmentId;
  /** What the lease's value says. */
  readonly session: string;
  /** What the lease hangs on. */
  readonly leaseId: bigint;
  /** The subscription as it was looked at. */
  readonly subscriptionRevision: bigint;
  readonly generation: number;
}

export interface SegmentLease {
  readonly subject: LeaseSubject;
  /** The lease's create revision. */
  readonly createRevision: bigint;
  /** The bookmark's. Moves with each commit. */
  bookmarkRevision: bigint;
  /** The position to go on behind. */
  readonly position: number;
  /** The revision of the store that has it. */
  readonly revision: bigint;
}

/** Leases a segment, or undefined if somebody else has it or what was read of it is no longer so. */
export async function acquireLease(
  port: LeasePort,
  subject: LeaseSubject,
  read: {
    readonly bookmark: BookmarkRecord | undefined;
    readonly bookmarkRevision: bigint;
    readonly position: number;
  },
): Promise<SegmentLease | undefined> {
  const keys = keysOf(subject);
  const first: BookmarkRecord = {
    sequence: read.position,
    time: 0n,
    finished: false,
    generation: subject.generation,
  };
  const result = await repeat(port, {
    compare: [
      { key: keys.lease, target: "create", op: "=", value: 0n },
      { key: keys.bookmark, target: "mod", op: "=", value: read.bookmarkRevision },
      { key: keys.subscription, target: "mod", op: "=", value: subject.subscriptionRevision },
    ],
    then: [
      { type: "put", key: keys.lease, value: subject.session, lease: subject.leaseId },
      ...(read.bookmark
        ? []
        : [{ type: "put", key: keys.bookmark, value: encodeBookmark(subject.segment, first) } as const]),
    ],
    else: lookAt(keys),
  });
  const { revision } = result;
  if (result.succeeded) {
    const bookmarkRevision = read.bookmark ? read.bookmarkRevision : revision;
    return { subject, createRevision: revision, bookmarkRevision, position: read.position, revision };
  }
  const { lease, bookmark, subscription } = found(result);
  // Mine by an attempt whose answer was lost: the ids of leases are never used again.
  if (!lease || lease.lease !== subject.leaseId || textOf(lease) !== subject.session) return undefined;
  const mine: SegmentLease = {
    subject,
    createRevision: lease.createRevision,
    bookmarkRevision: bookmark?.modRevision ?? 0n,
    position: read.position,
    revision,
  };
  const isAsRead = bookmark?.modRevision === (read.bookmark ? read.bookmarkRevision : lease.createRevision);
  if (isAsRead && subscription?.modRevision === subject.subscriptionRevision) return mine;
  await releaseLease(port, subject, mine.createRevision);
  return undefined;
}

/** Moves the bookmark. A finished segment's lease is given back by the same transaction. */
export async function commitBookmark(
  port: LeasePort,
  lease: SegmentLease,
  next: { readonly sequence: number; readonly time: bigint; readonly finished: boolean },
): Promise<{ readonly result: CommitResult; readonly revision: bigint }> {
  const { subject } = lease;
  const keys = keysOf(subject);
  const record: BookmarkRecord = { ...next, generation: subject.generation };
  const put: Op = { type: "put", key: keys.bookmark, value: encodeBookmark(subject.segment, record) };
  for (;;) {
    const answer = await repeat(port, {
      compare: [
        holds(keys.lease, lease.createRevision),
        { key: keys.subscription, target: "mod", op: "=", value: subject.subscriptionRevision },
        { key: keys.bookmark, target: "mod", op: "=", value: lease.bookmarkRevision },
      ],
      then: next.finished ? [put, { type: "delete", key: keys.lease }] : [put],
      else: lookAt(keys),
    });
    const { revision } = answer;
    if (answer.succeeded) {
      lease.bookmarkRevision = revision;
      return { result: "done", revision };
    }
    const there = found(answer);
    const reached = passed(there.bookmark, record);
    const isHeld = there.lease?.createRevision === lease.createRevision;
    if (!isHeld || there.subscription?.modRevision !== subject.subscriptionRevision) {
      if (!reached) return { result: "lost", revision };
      // It was this commit, or one before it, that gave the lease back as finished.
      return { result: next.finished ? "done" : "done-and-lost", revision };
    }
    const moved = there.bookmark?.modRevision ?? 0n;
    if (moved === lease.bookmarkRevision) {
      // All that was compared holds now: it changed and changed back, which revisions can't. Not to be relied on.
      return { result: "lost", revision };
    }
    lease.bookmarkRevision = moved;
    if (reached) return { result: "done", revision };
  }
}

/** Gives a lease back if it is still that one. Resolves with the revision that is without it. */
export async function releaseLease(
  port: LeasePort,
  subject: Pick<LeaseSubject, "subscription" | "segment">,
  createRevision: bigint,
): Promise<bigint> {
  const key = bookmarkLeaseKey(subject.subscription, subject.segment);
  const { revision } = await repeat(port, {
    compare: [holds(key, createRevision)],
    then: [{ type: "delete", key }],
    else: [],
  });
  return revision;
}

/** A transaction that may be applied more than once without harm, until there is an answer. @throws signal.reason, CoordError */
export async function repeat(
  { coord, clock, signal }: LeasePort,
  txn: { readonly compare: readonly Compare[]; readonly then: readonly Op[]; readonly else: readonly Op[] },
): Promise<TxnResult> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await askWithin(clock, ANSWER_MS, signal, (limit) => coord.txn(txn, { signal: limit }));
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
    await sleep(clock, RETRY_MS, signal);
  }
}

interface Keys {
  readonly lease: string;
  readonly bookmark: string;
  readonly subscription: string;
}

function keysOf({ subscription, segment }: LeaseSubject): Keys {
  return {
    lease: bookmarkLeaseKey(subscription, segment),
    bookmark: bookmarkKey(subscription, segment),
    subscription: subscriptionKey(segment.topic, subscription),
  };
}

function holds(key: string, createRevision: bigint): Compare {
  return { key, target: "create", op: "=", value: createRevision };
}

function lookAt(keys: Keys): Op[] {
  return [
    { type: "get", key: keys.lease },
    { type: "get", key: keys.bookmark },
    { type: "get", key: keys.subscription },
  ];
}

function found(result: TxnResult): Partial<Record<keyof Keys, KeyValue>> {
  const [lease, bookmark, subscription] = result.results.map((one) =>
    one.type === "get" ? one.kvs[0] : undefined,
  );
  return { ...(lease && { lease }), ...(bookmark && { bookmark }), ...(subscription && { subscription }) };
}

/** Whether the bookmark is at least where it should be moved to. */
function passed(kv: KeyValue | undefined, wanted: BookmarkRecord): boolean {
  if (!kv) return false;
  let record: BookmarkRecord;
  try {
    record = decodeBookmark(kv.value);
  } catch {
    return false;
  }
  if (record.generation !== wanted.generation) return false;
  return record.finished || (!wanted.finished && record.sequence >= wanted.sequence);
}

function textOf(kv: KeyValue): string {
  return Buffer.from(kv.value).toString("utf8");
}
