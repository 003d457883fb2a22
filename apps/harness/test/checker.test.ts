import { describe, expect, it } from "vitest";
import { checkHistory, formatViolation, type Invariant } from "../src/checker/index.js";
import {
  bookmark,
  type Draft,
  first,
  type Good,
  goodHistory,
  hashOf,
  idOf,
  keys,
  message,
  second,
  segment,
  subscribed,
} from "./checker-histories.js";

function found(draft: Draft): Invariant[] {
  return [...new Set(checkHistory(draft).map(({ invariant }) => invariant))].sort((a, b) => a - b);
}

/** Checks what a change to the good history breaks: nothing else may be told. */
function breaks(change: (good: Good) => void): Invariant[] {
  const good = goodHistory();
  change(good);
  return found(good.draft);
}

describe("a history that keeps every promise", () => {
  it("has no violations", () => {
    expect(checkHistory(goodHistory().draft)).toEqual([]);
  });

  it("may hold messages whose publisher was never told", () => {
    expect(
      breaks(({ draft }) => {
        for (const op of draft.publishes) op.outcome = "unknown";
      }),
    ).toEqual([]);
  });

  it("may lack messages whose publisher was never told", () => {
    expect(
      breaks(({ draft }) => {
        draft.publishes.push({
          topic: "orders",
          key: "k",
          producer: "p",
          number: 5,
          invokedMs: 9,
          outcome: "unknown",
        });
      }),
    ).toEqual([]);
  });
});

describe("invariant 1, every acknowledged message is at exactly one place", () => {
  it("finds a message that is lost", () => {
    const good = goodHistory();
    good.draft.contents[1]?.messages.pop();
    const violations = checkHistory(good.draft);
    expect(violations.map(({ invariant }) => invariant)).toEqual([1, 2]);
    expect(formatViolation(violations[0] as never)).toContain("an acknowledged message is lost: p:4");
  });

  it("finds another message in its place", () => {
    expect(
      breaks(({ draft }) => {
        (draft.publishes[3] as { number: number }).number = 7;
      }),
    ).toEqual([1]);
  });

  it("finds one id that was given to two messages", () => {
    expect(
      breaks(({ draft }) => {
        draft.publishes.push({ ...draft.publishes[3], producer: "q" } as never);
      }),
    ).toEqual([1]);
  });

  it("finds a message at two places", () => {
    expect(
      breaks(({ draft }) => {
        draft.contents.push({ topic: "orders", segment: second, messages: [message(2, 2200n, 4)] });
      }),
    ).toContain(1);
  });

  it("finds a segment that can't be read", () => {
    expect(
      breaks(({ draft }) => {
        Object.assign(draft.contents[1] as object, { damage: "corrupt: damaged at byte 17" });
      }),
    ).toEqual([1]);
  });

  it("says nothing of a message whose segment was deleted", () => {
    expect(
      breaks(({ draft, store }) => {
        store.txn({ [keys.segment(first)]: undefined });
        draft.contents.shift();
      }),
    ).toEqual([]);
  });
});

describe("invariant 2, every delivery is at or below its segment's end", () => {
  it("finds a delivery behind the end", () => {
    expect(
      breaks(({ draft, leases }) => {
        const id = idOf(3, 1600n);
        const like = draft.deliveries[0] as Draft["deliveries"][number];
        draft.deliveries.splice(2, 0, { ...like, sequence: 3, id, number: 9, lease: leases[0] });
      }),
    ).toEqual([2]);
  });

  it("finds a delivery of something else than the log holds", () => {
    expect(
      breaks(({ draft }) => {
        (draft.deliveries[0] as { key: string }).key = "other";
      }),
    ).toEqual([2]);
  });

  it("finds a delivery of a segment that was never recorded", () => {
    expect(
      breaks(({ draft }) => {
        const like = draft.deliveries[0] as Draft["deliveries"][number];
        draft.deliveries.push({ ...like, segment: "1_0-65535" });
      }),
    ).toEqual([2, 9]);
  });
});

describe("invariant 3, of overlapping segments the earlier is sealed first", () => {
  it("finds a segment that was created over an open one", () => {
    expect(
      breaks(({ draft }) => {
        const [seal, create] = draft.revisions.slice(7, 9);
        const events = seal?.events;
        Object.assign(seal as object, { events: create?.events });
        Object.assign(create as object, { events });
      }),
    ).toContain(3);
  });

  it("allows the seal and the successor in one transaction", () => {
    expect(
      breaks(({ draft }) => {
        const [seal] = draft.revisions.splice(7, 1);
        const create = draft.revisions[7];
        create?.events.unshift(...(seal?.events ?? []));
      }),
    ).toEqual([]);
  });

  it("says nothing of segments side by side", () => {
    expect(
      breaks(({ store }) => {
        const [left, right] = ["3000_0-32767", "3000_32768-65535"];
        const sealed = { end: 600, lastSequence: 2, lastTime: 2200n };
        const predecessors = [second] as never;
        store.txn({
          [keys.segment(second)]: segment(second, {
            epoch: 7n,
            log: "log/b",
            predecessors: [first] as never,
            sealed,
          }),
        });
        const epoch = store.txn({ [keys.range(0, 32768)]: "a:1", [keys.range(32768, 65536)]: "b:1" });
        store.txn({ [keys.segment(left)]: segment(left, { epoch, log: "log/c", predecessors }) });
        store.txn({ [keys.segment(right)]: segment(right, { epoch, log: "log/d", predecessors }) });
      }),
    ).toEqual([]);
  });
});

describe("invariant 4, a seal record never changes", () => {
  it("finds another end", () => {
    expect(
      breaks(({ store }) => {
        const sealed = { end: 501, lastSequence: 2, lastTime: 1500n };
        store.txn({ [keys.segment(first)]: segment(first, { epoch: 3n, log: "log/a", sealed }) });
      }),
    ).toEqual([4]);
  });

  it("finds a segment that is open again", () => {
    expect(
      breaks(({ store }) => {
        store.txn({ [keys.segment(first)]: segment(first, { epoch: 3n, log: "log/a" }) });
      }),
    ).toEqual([4]);
  });

  it("finds another log", () => {
    expect(
      breaks(({ store }) => {
        store.txn({
          [keys.segment(second)]: segment(second, {
            epoch: 7n,
            log: "log/c",
            predecessors: [first] as never,
          }),
        });
      }),
    ).toEqual([4]);
  });
});

describe("invariant 5, one epoch for each log, and nothing behind a seal", () => {
  it("finds two segments on one log", () => {
    expect(
      breaks(({ draft }) => {
        const create = draft.revisions[8]?.events[0];
        if (create?.type !== "put") throw new Error("no put");
        const value = Buffer.from(
          segment(second, { epoch: 7n, log: "log/a", predecessors: [first] as never }),
        );
        Object.assign(create, { kv: { ...create.kv, value } });
      }),
    ).toEqual([5]);
  });

  it("finds a segment of an epoch that was over", () => {
    expect(
      breaks(({ draft }) => {
        const create = draft.revisions[8]?.events[0];
        if (create?.type !== "put") throw new Error("no put");
        const value = Buffer.from(
          segment(second, { epoch: 3n, log: "log/b", predecessors: [first] as never }),
        );
        Object.assign(create, { kv: { ...create.kv, value } });
      }),
    ).toEqual([5]);
  });

  it("finds a message that was sent after the seal was seen and acknowledged in that log", () => {
    expect(
      breaks(({ draft }) => {
        (draft.publishes[1] as { invokedMs: number }).invokedMs = 9;
      }),
    ).toEqual([5]);
  });

  it("says nothing of one that was sent before, however late it is acknowledged", () => {
    expect(
      breaks(({ draft }) => {
        Object.assign(draft.publishes[1] as object, { invokedMs: 7, answeredMs: 19 });
      }),
    ).toEqual([]);
  });
});

describe("invariant 6, sequences are dense and id times grow", () => {
  it("finds a gap", () => {
    expect(
      breaks(({ draft }) => {
        for (const op of draft.publishes) op.outcome = "unknown";
        draft.deliveries = [];
        (draft.contents[1]?.messages[1] as { sequence: number }).sequence = 3;
      }),
    ).toEqual([6]);
  });

  it("finds an id time that does not grow", () => {
    expect(
      breaks(({ draft }) => {
        for (const op of draft.publishes) op.outcome = "unknown";
        draft.deliveries = [];
        (draft.contents[1]?.messages[1] as { time: bigint }).time = 2100n;
      }),
    ).toEqual([6]);
  });

  it("finds a successor that starts before its predecessor's last message", () => {
    expect(
      breaks(({ draft }) => {
        const seal = draft.revisions[7]?.events[0];
        if (seal?.type !== "put") throw new Error("no put");
        const sealed = { end: 500, lastSequence: 2, lastTime: 2000n };
        const value = Buffer.from(segment(first, { epoch: 3n, log: "log/a", sealed }));
        Object.assign(seal, { kv: { ...seal.kv, value } });
      }),
    ).toEqual([6]);
  });

  it("finds a log that ends before its recorded end", () => {
    expect(
      breaks(({ draft }) => {
        for (const op of draft.publishes) op.outcome = "unknown";
        draft.deliveries = [];
        draft.contents[0]?.messages.pop();
      }),
    ).toEqual([6]);
  });
});

describe("invariant 7, per producer and key log order is send order", () => {
  function numbers(...order: number[]): Invariant[] {
    return breaks(({ draft }) => {
      draft.publishes = [];
      draft.deliveries = [];
      draft.contents[1]!.messages = order.map((number, index) =>
        message(index + 1, 2100n + BigInt(index), number),
      );
    });
  }

  it("finds two messages that were swapped", () => {
    expect(numbers(4, 3)).toEqual([7]);
  });

  it("allows what was sent again after a failover: only first occurrences count", () => {
    expect(numbers(1, 2, 3, 4)).toEqual([]);
    expect(numbers(3, 4, 5, 3, 4, 5, 6)).toEqual([]);
  });

  it("finds a message that first appears behind a later one that was there before", () => {
    expect(numbers(3, 5, 3, 4)).toEqual([7]);
  });

  it("does not compare different keys, nor different producers", () => {
    expect(
      breaks(({ draft }) => {
        draft.publishes = [];
        draft.deliveries = [];
        draft.contents[1]!.messages = [
          message(1, 2100n, 9, { key: "other" }),
          message(2, 2200n, 1, { producer: "q" }),
          message(3, 2300n, 3),
        ];
      }),
    ).toEqual([]);
  });

  it("finds a message in a segment whose range does not hold its key", () => {
    const good = goodHistory();
    const half = hashOf("k") < 32768 ? "3000_32768-65535" : "3000_0-32767";
    const range = hashOf("k") < 32768 ? keys.range(32768, 65536) : keys.range(0, 32768);
    const sealed = { end: 600, lastSequence: 2, lastTime: 2200n };
    const record = { epoch: 7n, log: "log/b", predecessors: [first] as never, sealed };
    good.store.txn({ [keys.segment(second)]: segment(second, record) });
    const epoch = good.store.txn({ [range]: "a:1" });
    good.store.txn({
      [keys.segment(half)]: segment(half, { epoch, log: "log/c", predecessors: [second] as never }),
    });
    good.draft.contents.push({ topic: "orders", segment: half, messages: [message(1, 3100n, 5)] });
    expect(found(good.draft)).toEqual([7]);
  });
});

describe("invariant 8, a producer's sequence occurs once", () => {
  it("finds it twice, also in different segments", () => {
    expect(
      breaks(({ draft }) => {
        for (const content of draft.contents) {
          (content.messages[0] as { dedup?: unknown }).dedup = { id: "aa", sequence: 1n };
        }
      }),
    ).toEqual([8]);
  });

  it("says nothing when producers have no ids, or other ones", () => {
    expect(
      breaks(({ draft }) => {
        for (const [index, content] of draft.contents.entries()) {
          (content.messages[0] as { dedup?: unknown }).dedup = { id: `a${index}`, sequence: 1n };
        }
      }),
    ).toEqual([]);
  });
});

describe("invariant 9, deliveries of a lease run on from the commit", () => {
  it("finds a message that was left out", () => {
    expect(
      breaks(({ draft }) => {
        draft.faultsEndedMs = undefined as never;
        draft.deliveries.splice(2, 1);
      }),
    ).toEqual([9]);
  });

  it("allows a message to be delivered again", () => {
    expect(
      breaks(({ draft }) => {
        draft.deliveries.push(draft.deliveries[2] as never, draft.deliveries[3] as never);
      }),
    ).toEqual([]);
  });

  it("finds deliveries without a lease", () => {
    expect(
      breaks(({ draft }) => {
        (draft.deliveries[3] as { lease: bigint }).lease = 99n;
      }),
    ).toEqual([9]);
  });

  it("starts behind the position that the subscription was created with", () => {
    const good = goodHistory();
    const created = good.draft.revisions[1]?.events[0];
    if (created?.type !== "put") throw new Error("no put");
    const value = Buffer.from(subscribed({ mode: "latest", revision: 0n, positions: { [first]: 1 } }));
    Object.assign(created, { kv: { ...created.kv, value } });
    good.draft.deliveries.shift();
    expect(found(good.draft)).toEqual([]);
  });
});

describe("invariant 10, a successor waits for its predecessors", () => {
  it("finds a delivery under a lease that is older than the predecessor's finish", () => {
    expect(
      breaks(({ draft, store, leases }) => {
        // The finish of the first comes behind the lease on the second.
        const finish = draft.revisions[9];
        const lease = draft.revisions[10];
        expect(lease?.revision).toBe(leases[1]);
        const events = finish?.events as never;
        Object.assign(finish as object, { events: [] });
        Object.assign(draft.revisions[11] as object, {
          events: [...(draft.revisions[11]?.events ?? []), ...(events as [])],
        });
        expect(store.revision).toBe(12n);
      }),
    ).toEqual([10]);
  });

  it("finds a segment that does not name what it follows", () => {
    expect(
      breaks(({ draft }) => {
        const create = draft.revisions[8]?.events[0];
        if (create?.type !== "put") throw new Error("no put");
        const value = Buffer.from(segment(second, { epoch: 7n, log: "log/b" }));
        Object.assign(create, { kv: { ...create.kv, value } });
      }),
    ).toEqual([10]);
  });

  it("does not wait for what was before the subscription's start", () => {
    const good = goodHistory();
    const created = good.draft.revisions[1]?.events[0];
    if (created?.type !== "put") throw new Error("no put");
    const value = Buffer.from(subscribed({ mode: "latest", revision: 4n }));
    Object.assign(created, { kv: { ...created.kv, value } });
    // Nobody reads the first segment then.
    good.draft.deliveries.splice(0, 2);
    good.draft.commits.shift();
    for (const index of [4, 9]) Object.assign(good.draft.revisions[index] as object, { events: [] });
    expect(found(good.draft)).toEqual([]);
  });
});

describe("invariant 11, bookmarks only move forward, under a lease", () => {
  it("finds one that went back", () => {
    expect(
      breaks(({ draft, store }) => {
        draft.faultsEndedMs = undefined as never;
        store.txn({ [keys.bookmark(second)]: bookmark(second, { sequence: 1 }) });
      }),
    ).toEqual([11]);
  });

  it("finds one that is not finished any more", () => {
    expect(
      breaks(({ store }) => {
        store.txn({ [keys.lease(first)]: "9", [keys.bookmark(first)]: bookmark(first, { sequence: 2 }) });
      }),
    ).toEqual([11]);
  });

  it("finds one that moved when nobody held the segment", () => {
    expect(
      breaks(({ store }) => {
        store.txn({ [keys.lease(second)]: undefined });
        store.txn({ [keys.bookmark(second)]: bookmark(second, { sequence: 2 }) });
      }),
    ).toEqual([11]);
  });

  it("finds one that was finished too early", () => {
    expect(
      breaks(({ store }) => {
        store.txn({ [keys.bookmark(second)]: bookmark(second, { sequence: 2, finished: true }) });
      }),
    ).toEqual([11]);
  });

  it("finds a delivery under a later lease of what was committed", () => {
    expect(
      breaks(({ draft, store }) => {
        store.txn({ [keys.lease(second)]: undefined });
        const lease = store.txn({ [keys.lease(second)]: "10" });
        draft.deliveries.push({ ...(draft.deliveries[3] as Draft["deliveries"][number]), lease });
      }),
    ).toEqual([11]);
  });

  it("allows a delivery under a later lease of what was not committed", () => {
    expect(
      breaks(({ draft, store }) => {
        draft.faultsEndedMs = undefined as never;
        draft.commits.pop();
        draft.revisions.pop();
        store.txn({ [keys.lease(second)]: undefined });
        const lease = store.txn({ [keys.lease(second)]: "10" });
        draft.deliveries.push({ ...(draft.deliveries[2] as Draft["deliveries"][number]), lease });
      }),
    ).toEqual([]);
  });

  it("finds a commit that was confirmed but is not there; an unknown one may be missing", () => {
    const withCommit = (outcome: "ok" | "unknown") =>
      breaks(({ draft }) => {
        draft.faultsEndedMs = undefined as never;
        draft.revisions.pop();
        (draft.commits[1] as { outcome: string }).outcome = outcome;
      });
    expect(withCommit("ok")).toEqual([11]);
    expect(withCommit("unknown")).toEqual([]);
  });
});

describe("invariant 12, everything arrives when faults have ended", () => {
  it("finds a message that never arrived", () => {
    expect(
      breaks(({ draft }) => {
        draft.deliveries.pop();
      }),
    ).toEqual([12]);
  });

  it("finds a message that arrived later than 60 s after the end of the faults", () => {
    const arrivingAt = (timeMs: number) =>
      breaks(({ draft }) => {
        (draft.deliveries[3] as { timeMs: number }).timeMs = timeMs;
      });
    expect(arrivingAt(60_015)).toEqual([]);
    expect(arrivingAt(60_016)).toEqual([12]);
  });

  it("finds a message that was delivered but never committed", () => {
    expect(
      breaks(({ draft }) => {
        draft.commits.pop();
        draft.revisions.pop();
      }),
    ).toEqual([12]);
  });

  it("says nothing of a history in which faults did not end", () => {
    expect(
      breaks(({ draft }) => {
        delete draft.faultsEndedMs;
        draft.deliveries.pop();
      }),
    ).toEqual([]);
  });
});
