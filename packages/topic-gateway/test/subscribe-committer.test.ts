import { describe, expect, it } from "vitest";
import { FakeClock, settled } from "../../coord/test/support/fake-clock.js";
import { type CommitResult, Committer } from "../src/subscribe/committer.js";
import { IdTimes } from "../src/subscribe/id-times.js";

interface Written {
  readonly sequence: number;
  readonly finished: boolean;
  readonly answer: (result: CommitResult | Error) => void;
}

function committer(start = 0): {
  readonly clock: FakeClock & { wallMs(): number };
  readonly written: Written[];
  readonly told: string[];
  readonly committer: Committer;
} {
  const base = new FakeClock();
  const clock = Object.assign(base, { wallMs: () => base.monotonicMs() });
  const written: Written[] = [];
  const told: string[] = [];
  const made = new Committer({
    clock,
    start,
    intervalMs: 10,
    write: (sequence, finished) =>
      new Promise((resolve, reject) => {
        const answer = (result: CommitResult | Error): void =>
          result instanceof Error ? reject(result) : resolve(result);
        written.push({ sequence, finished, answer });
      }),
    onFinished: () => told.push("finished"),
    onLost: () => told.push("lost"),
  });
  return { clock, written, told, committer: made };
}

async function stateOf(promise: Promise<void>): Promise<string> {
  let state = "open";
  promise.then(
    () => {
      state = "done";
    },
    (error: { readonly code: string }) => {
      state = error.code;
    },
  );
  await settled();
  return state;
}

describe("commits of acknowledgements", () => {
  it("take along everything acknowledged in one go, whatever the order", async () => {
    const { committer: made, written } = committer();
    const promises = [3, 1, 7, 5].map((sequence) => made.acknowledge(sequence));
    await settled();
    expect(written.map(({ sequence }) => sequence)).toEqual([7]);
    written[0]?.answer("done");
    for (const promise of promises) expect(await stateOf(promise)).toBe("done");
    expect(await stateOf(made.acknowledge(6))).toBe("done");
    expect(written).toHaveLength(1);
  });

  it("are one at a time, and wait for their turn while acknowledgements keep coming", async () => {
    const { committer: made, written, clock } = committer();
    void made.acknowledge(1);
    await settled();
    const second = made.acknowledge(2);
    const third = made.acknowledge(3);
    expect(second).toBe(third);
    await settled();
    expect(written).toHaveLength(1);
    written[0]?.answer("done");
    await clock.advance(9);
    expect(written).toHaveLength(1);
    await clock.advance(1);
    expect(written.map(({ sequence }) => sequence)).toEqual([1, 3]);
    expect(await stateOf(second)).toBe("open");
    written[1]?.answer("done");
    expect(await stateOf(second)).toBe("done");
    // Nothing came meanwhile: the next one need not wait.
    void made.acknowledge(4);
    await settled();
    expect(written).toHaveLength(3);
  });

  it("finish only when everything up to the end is acknowledged, and then without waiting", async () => {
    const { committer: made, written, told } = committer();
    made.setEnd(2);
    await settled();
    expect(written).toEqual([]);
    void made.acknowledge(1);
    await settled();
    void made.acknowledge(2);
    written[0]?.answer("done");
    await settled();
    expect(written.map(({ sequence, finished }) => ({ sequence, finished }))).toEqual([
      { sequence: 1, finished: false },
      { sequence: 2, finished: true },
    ]);
    expect(told).toEqual([]);
    written[1]?.answer("done");
    await settled();
    expect(told).toEqual(["finished"]);
  });

  it("finish an empty segment at once, and one whose end becomes known late", async () => {
    const empty = committer();
    empty.committer.setEnd(0);
    await settled();
    expect(empty.written).toMatchObject([{ sequence: 0, finished: true }]);

    const late = committer(5);
    await late.committer.acknowledge(5);
    late.committer.setEnd(5);
    await settled();
    expect(late.written).toMatchObject([{ sequence: 5, finished: true }]);
  });

  it("reject what is not committed when the lease is lost, and what comes later", async () => {
    const { committer: made, written, told } = committer();
    const first = made.acknowledge(1);
    await settled();
    const second = made.acknowledge(2);
    written[0]?.answer("lost");
    expect(await stateOf(first)).toBe("lease-lost");
    expect(await stateOf(second)).toBe("lease-lost");
    expect(told).toEqual(["lost"]);
    expect(await stateOf(made.acknowledge(3))).toBe("lease-lost");
    expect(written).toHaveLength(1);
  });

  it("resolve what was durable though the lease is gone, and nothing else", async () => {
    const { committer: made, written } = committer();
    const first = made.acknowledge(1);
    await settled();
    const second = made.acknowledge(2);
    written[0]?.answer("done-and-lost");
    expect(await stateOf(first)).toBe("done");
    expect(await stateOf(second)).toBe("lease-lost");
  });

  it("leave it to the result of the commit on its way when the lease is given up", async () => {
    const { committer: made, written } = committer();
    const first = made.acknowledge(1);
    await settled();
    const second = made.acknowledge(2);
    made.lose();
    expect(await stateOf(second)).toBe("lease-lost");
    expect(await stateOf(first)).toBe("open");
    written[0]?.answer("done");
    expect(await stateOf(first)).toBe("done");
    expect(await stateOf(made.acknowledge(1))).toBe("done");
  });

  it("are flushed without waiting for their turn", async () => {
    const { committer: made, written } = committer();
    void made.acknowledge(1);
    await settled();
    void made.acknowledge(2);
    written[0]?.answer("done");
    await settled();
    const flushed = made.flush();
    await settled();
    expect(await stateOf(flushed)).toBe("open");
    written[1]?.answer("done");
    expect(await stateOf(flushed)).toBe("done");
    expect(await stateOf(made.flush())).toBe("done");
  });

  it("end a flush when the write fails", async () => {
    const { committer: made, written } = committer();
    void made.acknowledge(1);
    await settled();
    const flushed = made.flush();
    written[0]?.answer(new Error("the session is over"));
    expect(await stateOf(flushed)).toBe("done");
  });
});

describe("id times", () => {
  it("are known from the first read to the commit", () => {
    const times = new IdTimes();
    times.push([
      { time: 100n, sequence: 1, count: 3 },
      { time: 200n, sequence: 4, count: 2 },
    ]);
    times.push([{ time: 202n, sequence: 6, count: 1 }]);
    expect([0, 1, 3, 4, 6, 7].map((sequence) => times.timeOf(sequence))).toEqual([
      undefined,
      100n,
      102n,
      200n,
      202n,
      undefined,
    ]);
    times.dropThrough(4);
    expect(times.forgotten).toBe(3);
    expect(times.timeOf(3)).toBeUndefined();
    expect(times.timeOf(5)).toBe(201n);
  });

  it("are bounded when nothing is ever committed", () => {
    const times = new IdTimes();
    for (let sequence = 1; sequence <= 200_000; sequence++) {
      times.push([{ time: BigInt(sequence * 10), sequence, count: 1 }]);
    }
    expect(times.forgotten).toBeGreaterThan(100_000);
    expect(times.timeOf(times.forgotten)).toBeUndefined();
    expect(times.timeOf(200_000)).toBe(2_000_000n);
    expect(times.timeOf(times.forgotten + 1)).toBe(BigInt(times.forgotten + 1) * 10n);
  });
});
