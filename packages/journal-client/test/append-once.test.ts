import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type AppendRetryEvent, append, isJournalError, JournalError } from "../src/index.js";
import { FakeBroker, type Fault, HastyClock, middling, StillClock, unavailable } from "./append-support.js";

const JOURNAL = "a/journal";
const CONTENT = [Buffer.from("con"), Buffer.from("tent")];

/** Faults for one RPC after the other, then none. */
function failing(...faults: Fault[]): FakeBroker {
  const broker = new FakeBroker();
  broker.plan = ({ index }) => faults[index];
  return broker;
}

const hasty = (): { clock: HastyClock; random: typeof middling } => ({
  clock: new HastyClock(),
  random: middling,
});

describe("append", () => {
  it("appends all of its content as one transaction", async () => {
    const broker = new FakeBroker();
    const response = await append(broker, { journal: JOURNAL }, { content: CONTENT });
    assert.equal(response.status, "OK");
    assert.equal(broker.rpcs.length, 1);
    assert.deepEqual(broker.rpcs[0]?.chunks.map(String), ["con", "tent"]);
  });

  it("takes one part instead of a list, and none at all as a barrier", async () => {
    const broker = new FakeBroker();
    await append(broker, { journal: JOURNAL }, { content: Buffer.from("one") });
    await append(broker, { journal: JOURNAL });
    await append(broker, { journal: JOURNAL }, { content: [] });
    assert.deepEqual(broker.texts(), ["one", "", ""]);
  });

  for (const [name, fault] of [
    ["is unavailable before the commit", { at: "write", error: unavailable() }],
    ["is unavailable at the commit", { at: "commit", error: unavailable() }],
    ["is not the primary", { at: "commit", status: "NOT_JOURNAL_PRIMARY_BROKER" }],
    ["knows no primary", { at: "commit", status: "NO_JOURNAL_PRIMARY_BROKER" }],
    ["has not enough brokers", { at: "early", status: "INSUFFICIENT_JOURNAL_BROKERS" }],
  ] as const satisfies readonly (readonly [string, Fault])[]) {
    it(`tries again with the same content when the broker ${name}`, async () => {
      const broker = failing(fault, fault);
      const events: AppendRetryEvent[] = [];
      await append(
        broker,
        { journal: JOURNAL },
        { content: CONTENT, ...hasty(), onEvent: (event) => events.push(event) },
      );
      assert.equal(broker.rpcs.length, 3);
      assert.equal(broker.text(JOURNAL), "content");
      assert.deepEqual(
        events.map(({ type, journal, attempt, delayMs }) => ({ type, journal, attempt, delayMs })),
        [0, 1].map((attempt) => ({ type: "retry", journal: JOURNAL, attempt, delayMs: 50 })),
      );
    });
  }

  it("waits longer and longer, with jitter", async () => {
    const broker = new FakeBroker();
    broker.plan = ({ index }) => (index < 8 ? { at: "commit", error: unavailable() } : undefined);
    const clock = new StillClock();
    const delays: number[] = [];
    const done = append(broker, { journal: JOURNAL }, { clock, random: middling });
    while (delays.length < 8) delays.push(await clock.step());
    await done;
    assert.deepEqual(delays, [50, 50, 100, 100, 1000, 1000, 5000, 5000]);
    for (const [number, delay] of [
      [0, 37.5],
      [0.999, 62.475],
    ] as const) {
      const late = append(
        failing({ at: "commit", error: unavailable() }),
        { journal: JOURNAL },
        { clock, random: { ...middling, number: () => number } },
      );
      assert.ok(Math.abs((await clock.step()) - delay) < 1e-6);
      await late;
    }
  });

  it("surfaces every other status, and every other failure", async () => {
    for (const [fault, code] of [
      [{ at: "commit", status: "WRONG_APPEND_OFFSET" }, "wrong-append-offset"],
      [{ at: "commit", status: "JOURNAL_NOT_FOUND" }, "journal-not-found"],
      [{ at: "commit", status: "SUSPENDED" }, "suspended"],
      [{ at: "commit", error: new JournalError("transport", "an error", { grpcCode: 2 }) }, "transport"],
      [{ at: "commit", error: new JournalError("invalid-response", "nonsense") }, "invalid-response"],
    ] as const satisfies readonly (readonly [Fault, string])[]) {
      const broker = failing(fault);
      await assert.rejects(
        append(broker, { journal: JOURNAL }, { content: CONTENT, ...hasty() }),
        (error) => error instanceof JournalError && error.code === code,
      );
      assert.equal(broker.rpcs.length, 1);
    }
  });

  it("never tries a request with an offset or register checks again by itself", async () => {
    const fences = [
      { journal: JOURNAL, offset: 5n },
      { journal: JOURNAL, checkRegisters: { include: [{ name: "author", value: "me" }], exclude: [] } },
    ];
    const faults: Fault[] = [
      { at: "write", error: unavailable() },
      { at: "after-commit", error: unavailable() },
      { at: "commit", status: "NOT_JOURNAL_PRIMARY_BROKER" },
      { at: "commit", status: "NO_JOURNAL_PRIMARY_BROKER" },
      { at: "commit", status: "INSUFFICIENT_JOURNAL_BROKERS" },
      { at: "commit", status: "REGISTER_MISMATCH" },
    ];
    for (const request of fences)
      for (const fault of faults) {
        const broker = failing(fault);
        await assert.rejects(append(broker, request, { content: CONTENT, ...hasty() }), (error: unknown) => {
          assert.ok(error instanceof JournalError);
          // Whether it may stand in the journal is said, and only then.
          assert.equal(/not known/.test(error.message), fault.at === "after-commit");
          return true;
        });
        assert.equal(broker.rpcs.length, 1);
      }
    const plain = failing({ at: "commit", error: unavailable() });
    await append(plain, { journal: JOURNAL, offset: 0n }, { ...hasty() });
    assert.equal(plain.rpcs.length, 2, "an offset of 0 is none");
  });

  it("is at least once: an unknown outcome is tried again and may stand there twice", async () => {
    const broker = failing({ at: "after-commit", error: unavailable() });
    await append(broker, { journal: JOURNAL }, { content: CONTENT, ...hasty() });
    assert.equal(broker.text(JOURNAL), "contentcontent");
  });

  it("reads a source anew at every try", async () => {
    let reads = 0;
    const source = {
      async *read(): AsyncGenerator<Uint8Array> {
        reads++;
        yield Buffer.from("read ");
        yield Buffer.from("again");
      },
    };
    const broker = failing({ at: "commit", error: unavailable() });
    await append(broker, { journal: JOURNAL }, { content: [source, Buffer.from("!")], ...hasty() });
    assert.equal(reads, 2);
    assert.equal(broker.text(JOURNAL), "read again!");
  });

  it("aborts when a source breaks, with the source's own error", async () => {
    const broken = unavailable();
    const source = {
      async *read(): AsyncGenerator<Uint8Array> {
        yield Buffer.from("x");
        throw broken;
      },
    };
    const broker = new FakeBroker();
    await assert.rejects(
      append(broker, { journal: JOURNAL }, { content: [Buffer.from("con"), source], ...hasty() }),
      (error) => error === broken,
    );
    assert.deepEqual(
      broker.rpcs.map(({ end }) => end),
      ["aborted"],
    );
  });

  it("leaves a source when the RPC fails", async () => {
    let left = false;
    const source = {
      async *read(): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield Buffer.from("x");
        } finally {
          left = true;
        }
      },
    };
    const broker = failing({
      at: "write",
      error: new JournalError("transport", "an error", { grpcCode: 2 }),
    });
    await assert.rejects(append(broker, { journal: JOURNAL }, { content: source }));
    assert.equal(left, true);
  });

  it("rejects with the signal's reason itself: before, while the broker is slow, and between tries", async () => {
    const reason = new Error("enough");
    const broker = new FakeBroker();
    await assert.rejects(
      append(broker, { journal: JOURNAL }, { content: CONTENT, signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
    assert.equal(broker.rpcs.length, 0);

    const slow = new AbortController();
    const open = broker.hold();
    const waiting = append(broker, { journal: JOURNAL }, { content: CONTENT, signal: slow.signal });
    await broker.reached(1);
    slow.abort(reason);
    await assert.rejects(waiting, (error) => error === reason);
    open();

    const clock = new StillClock();
    const between = new AbortController();
    const failed = append(
      failing({ at: "commit", error: unavailable() }),
      { journal: JOURNAL },
      { clock, random: middling, signal: between.signal },
    );
    await clock.nextDelayMs();
    between.abort(reason);
    await assert.rejects(failed, (error) => error === reason);
    assert.equal(clock.timers, 0);
  });

  it("refuses content that is none, before anything is sent", async () => {
    const broker = new FakeBroker();
    for (const content of ["text", 5, {}, [undefined], [Buffer.from("x"), "text"]])
      await assert.rejects(append(broker, { journal: JOURNAL }, { content: content as never }), (error) =>
        isJournalError(error, "invalid-argument"),
      );
    assert.equal(broker.rpcs.length, 0);
    const source = {
      async *read(): AsyncGenerator<Uint8Array> {
        yield "text" as never;
      },
    };
    await assert.rejects(append(broker, { journal: JOURNAL }, { content: source }), (error) =>
      isJournalError(error, "invalid-argument"),
    );
    assert.equal(broker.text(JOURNAL), "");
  });

  it("does not let an observer that throws disturb it", async () => {
    const broker = failing({ at: "commit", error: unavailable() });
    await append(
      broker,
      { journal: JOURNAL },
      {
        content: CONTENT,
        ...hasty(),
        onEvent: () => {
          throw new Error("an observer");
        },
      },
    );
    assert.equal(broker.text(JOURNAL), "content");
  });
});
