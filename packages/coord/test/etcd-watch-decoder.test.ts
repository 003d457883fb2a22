import type { IEvent, IWatchResponse } from "etcd3";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeWatch, type WatchState } from "../src/etcd/watch-decoder.js";
import type { WatchBatch } from "../src/port.js";
import { describeEvents } from "./etcd-support.js";

interface Transaction {
  readonly revision: number;
  readonly keys: readonly string[];
}

const start: WatchState = { next: 1n, created: true, fragments: [] };

function response(parts: Partial<IWatchResponse> & { readonly revision?: number } = {}): IWatchResponse {
  const { revision = 1, ...rest } = parts;
  return {
    header: { cluster_id: "1", member_id: "1", raft_term: "1", revision: String(revision) },
    watch_id: "0",
    created: false,
    canceled: false,
    compact_revision: "0",
    cancel_reason: "",
    fragment: false,
    events: [],
    ...rest,
  };
}

function eventsOf({ revision, keys }: Transaction): IEvent[] {
  return keys.map((key, index) => ({
    type: index % 2 === 0 ? "Put" : "Delete",
    kv: {
      key: Buffer.from(key),
      value: Buffer.from(String(revision)),
      create_revision: "1",
      mod_revision: String(revision),
      version: "1",
      lease: "0",
    },
    prev_kv: null as unknown as IEvent["prev_kv"], // as it comes when it was not asked for
  }));
}

/**
 * A history, and how its events come: the lengths of responses, whether they are fragmented, and signs of life
 * between them.
 */
const histories = fc
  .array(
    fc.tuple(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 4 }),
    ),
    {
      maxLength: 30,
    },
  )
  .map((steps) => {
    let revision = 0;
    return steps.map(([gap, keys]): Transaction => {
      revision += gap;
      return { revision, keys };
    });
  });

describe("decoding a watch's responses", () => {
  it("gives every revision whole and once, however the events come", () => {
    const cuts = fc.infiniteStream(
      fc.record({ revisions: fc.integer({ min: 1, max: 4 }), fragment: fc.nat(4) }),
    );
    fc.assert(
      fc.property(histories, cuts, fc.nat(3), (history, cut, repeat) => {
        const newest = history.at(-1)?.revision ?? 1;
        let state = start;
        const told: unknown[] = [];
        const feed = (answer: IWatchResponse): void => {
          const step = decodeWatch(state, answer);
          expect(step.news.type).toBe("batches");
          if (step.news.type !== "batches") return;
          for (const batch of step.news.batches) told.push([Number(batch.revision), describeEvents(batch)]);
          state = step.state;
          // What is to be resumed from is never past something that was not told.
          const done = told.length;
          expect(Number(state.next)).toBeLessThanOrEqual(history[done]?.revision ?? Number.POSITIVE_INFINITY);
          if (done > 0) expect(Number(state.next)).toBeGreaterThan(history[done - 1]!.revision);
        };
        for (let index = 0; index < history.length; ) {
          const { revisions, fragment } = cut.next().value;
          // Some that were told already come again.
          const transactions = history.slice(Math.max(index - repeat, 0), index + revisions);
          const events = transactions.flatMap(eventsOf);
          index += revisions;
          const size = fragment === 0 ? events.length : fragment;
          for (let at = 0; at < events.length; at += size) {
            // The header of a watch that catches up is the store's newest revision, also with more to come.
            const part = events.slice(at, at + size);
            feed(response({ revision: newest, events: part, fragment: at + size < events.length }));
          }
          feed(
            response({ created: true, canceled: true, watch_id: "-1", cancel_reason: "a probe's answer" }),
          );
        }
        expect(told).toEqual(history.map((each) => [each.revision, describeEvents(batchOf(each))]));
      }),
    );
  });

  it("moves on with progress, and never back", () => {
    const { state } = decodeWatch(start, response({ revision: 41, watch_id: "-1" }));
    expect(state.next).toBe(42n);
    expect(decodeWatch(state, response({ revision: 7 })).state.next).toBe(42n);
  });

  it("knows the answer to the creation from that to a probe", () => {
    const asked = { ...start, created: false };
    expect(decodeWatch(asked, response({ created: true })).news).toEqual({ type: "created" });
    const refusal = response({
      created: true,
      canceled: true,
      cancel_reason: "etcdserver: permission denied",
    });
    expect(decodeWatch(asked, refusal).news).toEqual({
      type: "ended",
      reason: "etcdserver: permission denied",
    });
    expect(decodeWatch(start, refusal).news).toEqual({ type: "batches", batches: [] });
  });

  it("knows compaction from other ends", () => {
    const compacted = response({ canceled: true, compact_revision: "9007199254740993" });
    expect(decodeWatch(start, compacted).news).toEqual({
      type: "compacted",
      compactRevision: 9_007_199_254_740_993n,
    });
    const ended = response({ canceled: true, cancel_reason: "why not" });
    expect(decodeWatch(start, ended).news).toEqual({ type: "ended", reason: "why not" });
  });
});

function batchOf(transaction: Transaction): WatchBatch {
  const { news } = decodeWatch({ ...start, next: 0n }, response({ events: eventsOf(transaction) }));
  if (news.type !== "batches" || news.batches[0] === undefined) throw new Error("no batch");
  return news.batches[0];
}
