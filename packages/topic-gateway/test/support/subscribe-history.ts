/** What consumers did, held against what the store recorded: the rules of the protocol that concern subscriptions. */
import type { WatchBatch } from "@x/coord";
import { expect } from "vitest";
import {
  type BookmarkRecord,
  decodeBookmark,
  decodeSegment,
  parseKey,
  type SegmentName,
  type SegmentRecord,
  segmentName,
} from "../../src/protocol.js";
import type { Message } from "../../src/subscribe/consumer.js";
import type { FakeLog, SubscribeWorld } from "./subscribe-world.js";

export interface Delivery {
  readonly segment: SegmentName;
  readonly sequence: number;
  /** The create revision of the lease that it came under. */
  readonly lease: bigint;
  readonly text: string;
  /** A revision that the store had reached by then. */
  readonly seen: bigint;
}

interface LeaseHistory {
  readonly segment: SegmentName;
  readonly createRevision: bigint;
  /** Of the bookmark when it was leased. */
  readonly from: number;
  endRevision: bigint;
}

export class History {
  readonly deliveries: Delivery[] = [];
  readonly acknowledged: {
    readonly segment: SegmentName;
    readonly sequence: number;
    readonly lease: bigint | undefined;
  }[] = [];

  delivered(message: Message, text: string, seen: bigint): void {
    const [, lease] = message.ack.split(".");
    const { sequence } = message;
    this.deliveries.push({
      segment: message.segment as SegmentName,
      sequence,
      lease: BigInt(lease as string),
      text,
      seen,
    });
  }

  /** The promise of an acknowledgement resolved. One by id is for whatever lease its consumer has by now. */
  done(message: Message, by: "message" | "id"): void {
    const lease = by === "id" ? undefined : BigInt(message.ack.split(".")[1] as string);
    this.acknowledged.push({ segment: message.segment as SegmentName, sequence: message.sequence, lease });
  }

  async check(world: SubscribeWorld): Promise<void> {
    const { leases, bookmarks, records } = replay(await batchesOf(world));
    const byLease = new Map<string, number>();
    for (const { segment, sequence, lease, seen } of this.deliveries) {
      const held = leases.get(`${segment}@${lease}`);
      if (!held)
        throw new Error(`${segment}/${sequence} was delivered under a lease that never was, ${lease}`);
      if (seen >= held.endRevision)
        throw new Error(
          `${segment}/${sequence} was delivered after its lease had ended at ${held.endRevision}`,
        );
      // First deliveries run contiguously from the commit.
      const last = byLease.get(`${segment}@${lease}`) ?? held.from;
      expect(sequence, `${segment} under ${lease}`).toBe(last + 1);
      byLease.set(`${segment}@${lease}`, sequence);
      const end = records.get(segment)?.sealed?.lastSequence;
      if (end !== undefined) expect(sequence).toBeLessThanOrEqual(end);
    }
    for (const { segment, sequence, lease } of this.acknowledged) {
      expect(bookmarks.get(segment)?.sequence ?? 0).toBeGreaterThanOrEqual(sequence);
      if (lease === undefined) continue;
      const again = this.deliveries.find(
        (one) => one.segment === segment && one.lease > lease && one.sequence <= sequence,
      );
      expect(again, `${segment}/${sequence} was acknowledged under ${lease}`).toBeUndefined();
    }
    this.#checkOrderByKey();
  }

  /** Nothing comes for the first time before what was published before it under its key. */
  #checkOrderByKey(): void {
    const seen = new Map<string, number>();
    for (const { text } of this.deliveries) {
      const [key, number] = text.split(":") as [string, string];
      const newest = seen.get(key) ?? 0;
      expect(Number(number), `of ${key} after ${newest}`).toBeLessThanOrEqual(newest + 1);
      seen.set(key, Math.max(newest, Number(number)));
    }
  }

  checkComplete(logs: Iterable<FakeLog>): void {
    const seen = new Set(this.deliveries.map(({ segment, sequence }) => `${segment}/${sequence}`));
    for (const log of logs) {
      for (let sequence = 1; sequence <= log.lastSequence; sequence++) {
        expect(seen.has(`${log.name}/${sequence}`), `${log.name}/${sequence} came`).toBe(true);
      }
    }
  }
}

async function batchesOf(world: SubscribeWorld): Promise<WatchBatch[]> {
  const newest = await world.put("/end", "");
  const batches: WatchBatch[] = [];
  for await (const batch of world.coord.watch({ prefix: "/" }, { fromRevision: 2n })) {
    batches.push(batch);
    if (batch.revision >= newest) break;
  }
  return batches;
}

interface Replayed {
  readonly leases: Map<string, LeaseHistory>;
  readonly bookmarks: Map<SegmentName, BookmarkRecord>;
  readonly records: Map<SegmentName, SegmentRecord>;
}

function replay(batches: readonly WatchBatch[]): Replayed {
  const leases = new Map<string, LeaseHistory>();
  const current = new Map<SegmentName, LeaseHistory>();
  const bookmarks = new Map<SegmentName, BookmarkRecord>();
  const records = new Map<SegmentName, SegmentRecord>();
  for (const { revision, events } of batches) {
    const leased: LeaseHistory[] = [];
    const moved: { segment: SegmentName; isNew: boolean }[] = [];
    // A finishing commit gives its lease back in the same revision.
    const before = new Map(current);
    for (const event of events) {
      const parsed = parseKey(event.type === "put" ? event.kv.key : event.key);
      if (parsed?.kind === "segment" && event.type === "put") {
        records.set(segmentName(parsed.segment), decodeSegment(event.kv.value));
      } else if (parsed?.kind === "bookmark-lease") {
        const segment = segmentName(parsed.segment);
        const held = current.get(segment);
        if (event.type === "put") {
          expect(held, `${segment} is leased once at ${revision}`).toBeUndefined();
          const from = bookmarks.get(segment)?.sequence ?? 0;
          const lease = { segment, createRevision: revision, from, endRevision: 1n << 62n };
          leases.set(`${segment}@${revision}`, lease);
          current.set(segment, lease);
          leased.push(lease);
        } else if (held) {
          held.endRevision = revision;
          current.delete(segment);
        }
      } else if (parsed?.kind === "bookmark" && event.type === "put") {
        const segment = segmentName(parsed.segment);
        const old = bookmarks.get(segment);
        const next = decodeBookmark(event.kv.value);
        expect(next.sequence).toBeGreaterThanOrEqual(old?.sequence ?? 0);
        expect(old?.finished ?? false).toBe(false);
        if (next.finished) expect(next.sequence).toBe(records.get(segment)?.sealed?.lastSequence);
        bookmarks.set(segment, next);
        moved.push({ segment, isNew: !old });
      }
    }
    for (const { segment, isNew } of moved) {
      const holder = isNew ? current.get(segment) : before.get(segment);
      expect(holder, `${segment} is leased when its bookmark moves at ${revision}`).toBeDefined();
    }
    for (const { segment } of leased) {
      for (const predecessor of records.get(segment)?.predecessors ?? []) {
        expect(bookmarks.get(predecessor)?.finished, `${predecessor} before ${segment}`).toBe(true);
      }
    }
  }
  return { leases, bookmarks, records };
}
