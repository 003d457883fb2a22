import assert from "node:assert/strict";
import { describe, it } from "vitest";
import {
  AppendService,
  type AppendServiceEvent,
  type AsyncAppend,
  AsyncOperation,
  finishedOperation,
  isJournalError,
  JournalError,
  OpFutures,
  type Status,
} from "../src/index.js";
import { FakeBroker, HastyClock, middling, put, StillClock, unavailable } from "./append-support.js";

const A = "journal/A";

function setUp(options: ConstructorParameters<typeof AppendService>[1] = {}): {
  broker: FakeBroker;
  service: AppendService;
} {
  const broker = new FakeBroker();
  return {
    broker,
    service: new AppendService(broker, { clock: new HastyClock(), random: middling, ...options }),
  };
}

async function allDone(service: AppendService): Promise<void> {
  for (const future of service.pendingExcept("")) assert.equal(await future.err(), undefined);
}

describe("AppendService", () => {
  it("commits what was released, and gives the broker's answer", async () => {
    const { broker, service } = setUp();
    const op = service.startAppend({ journal: A });
    op.writer.write("hello, ");
    op.writer.write(Buffer.from("wörld"));
    assert.deepEqual([op.response], [undefined]);
    op.release();
    assert.equal(service.pendingExcept("").size, 1);
    assert.equal(await op.err(), undefined);
    await op.done;
    assert.equal(op.response?.status, "OK");
    assert.equal(op.request.journal, A);
    assert.equal(broker.text(A), "hello, wörld");
    assert.equal(service.pendingExcept("").size, 0);
  });

  it("copies what is written: the writer's buffer may be used again", async () => {
    const { broker, service } = setUp();
    const scratch = Buffer.from("first");
    const op = service.startAppend({ journal: A });
    op.writer.write(scratch);
    scratch.write("other");
    op.writer.write(scratch);
    op.release();
    await op.done;
    assert.equal(broker.text(A), "firstother");
  });

  it("tries again until committed, whatever the failure, and tells of each", async () => {
    const events: AppendServiceEvent[] = [];
    const { broker, service } = setUp({ onEvent: (event) => events.push(event) });
    const failures = [
      { at: "write", error: unavailable() },
      { at: "commit", error: new JournalError("transport", "an error", { grpcCode: 2 }) },
      { at: "commit", error: new JournalError("invalid-response", "nonsense") },
      { at: "commit", status: "NOT_JOURNAL_PRIMARY_BROKER" },
      { at: "early", status: "INSUFFICIENT_JOURNAL_BROKERS" },
      { at: "commit", status: "ETCD_TRANSACTION_FAILED" },
      { at: "commit", error: new Error("anything") },
    ] as const;
    broker.plan = ({ index }) => failures[index];
    const op = put(service, A, "hello, world");
    assert.equal(await op.err(), undefined);
    assert.equal(broker.rpcs.length, failures.length + 1);
    assert.equal(broker.text(A), "hello, world");
    assert.deepEqual(
      events.map((event) => event.type === "retry" && [event.journal, event.attempt, event.delayMs]),
      [50, 50, 100, 100, 1000, 1000, 5000].map((delayMs, attempt) => [A, attempt, delayMs]),
    );
  });

  it("sends appends of one turn as one batch, and what comes meanwhile as the next", async () => {
    const { broker, service } = setUp();
    const open = broker.hold();
    const ops = [put(service, A, "one "), put(service, A, "two ")];
    await broker.reached(1);
    ops.push(put(service, A, "three "), put(service, A, "four"));
    open();
    for (const op of ops) assert.equal(await op.err(), undefined);
    assert.deepEqual(broker.texts(), ["one two ", "three four"]);
    assert.equal(ops[0]?.response, ops[1]?.response, "the answer is of the batch");
  });

  it("rolls back an append of its own only, and throws that error from release", async () => {
    const { broker, service } = setUp();
    const abort = (text: string, error: Error): AsyncAppend => {
      const op = service.startAppend({ journal: A });
      op.writer.write(text);
      assert.throws(
        () => op.require(undefined).require(null).require(error).require(new Error("later")).release(),
        (thrown) => thrown === error,
      );
      return op;
    };
    const whoops = new Error("whoops");
    const aborted = abort("aborted first write", whoops);
    put(service, A, "write one");
    abort("ABT", new Error("potato"));
    const last = put(service, A, " write two");
    abort("ABORT ABORT", new Error("tomato"));
    await last.done;
    assert.deepEqual(broker.texts(), ["write one write two"]);
    await aborted.done;
    assert.equal(await aborted.err(), whoops);
    await allDone(service);
  });

  it("sends nothing when all was rolled back, and goes on", async () => {
    const { broker, service } = setUp();
    const op = service.startAppend({ journal: A });
    op.writer.write("gone");
    assert.throws(() => op.require(new Error("whoops")).release());
    await op.done;
    await allDone(service);
    assert.equal(broker.rpcs.length, 0);
    await put(service, A, "here").done;
    assert.equal(broker.text(A), "here");
  });

  it("sends an append without bytes as a barrier", async () => {
    const { broker, service } = setUp();
    const op = service.startAppend({ journal: A });
    op.release();
    assert.equal(await op.err(), undefined);
    assert.deepEqual(broker.texts(), [""]);
  });

  it("begins another batch behind the cut-off", async () => {
    const { broker, service } = setUp({ cutoffBytes: 8 });
    const ops = [0, 1, 2].map(() => put(service, A, "hello, world"));
    for (const op of ops) assert.equal(await op.err(), undefined);
    assert.deepEqual(broker.texts(), ["hello, world", "hello, world", "hello, world"]);
  });

  it("batches requests that ask for the same, and no others", async () => {
    const { broker, service } = setUp();
    const label = (value: string) => [{ name: "author", value }];
    const requests = [
      { journal: A },
      { journal: A, offset: 0n, doNotProxy: false, suspend: "SUSPEND_RESUME" as const },
      { journal: A, unionRegisters: label("x") },
      { journal: A, unionRegisters: label("x") },
      { journal: A, unionRegisters: label("y") },
      { journal: A, subtractRegisters: label("y") },
      { journal: A, checkRegisters: { include: label("y"), exclude: [] } },
      { journal: A, checkRegisters: { include: label("y"), exclude: [] } },
      { journal: A, checkRegisters: { include: [], exclude: label("y") } },
      { journal: A, offset: 3n },
      { journal: A, doNotProxy: true },
      { journal: A, suspend: "SUSPEND_NO_RESUME" as const },
      { journal: A },
    ];
    const ops = requests.map((request, index) => {
      const op = service.startAppend(request);
      op.writer.write(`${index} `);
      op.release();
      return op;
    });
    for (const op of ops) assert.equal(await op.err(), undefined);
    assert.deepEqual(broker.texts(), ["0 1 ", "2 3 ", "4 ", "5 ", "6 7 ", "8 ", "9 ", "10 ", "11 ", "12 "]);
  });

  it("is not confused by a request that its giver changes", async () => {
    const { broker, service } = setUp();
    const request = { journal: A };
    const op = service.startAppend(request);
    request.journal = "other";
    op.writer.write("x");
    op.release();
    await op.done;
    assert.equal(broker.text(A), "x");
  });

  it("keeps the order of startAppend, whatever the order of the releases", async () => {
    const { broker, service } = setUp();
    const ops = [0, 1, 2, 3].map(() => service.startAppend({ journal: A }));
    for (const [index, op] of ops.entries()) op.writer.write(`${index}a `);
    for (const [index, op] of ops.entries()) op.writer.write(`${index}b `);
    for (const index of [3, 1, 2]) ops[index]?.release();
    await new Promise(setImmediate);
    assert.equal(broker.rpcs.length, 0, "nothing overtakes the first");
    ops[0]?.release();
    for (const op of ops) assert.equal(await op.err(), undefined);
    assert.deepEqual(broker.texts(), ["0a 0b 1a 1b 2a 2b 3a 3b "]);
  });

  it("keeps the order of large and small appends that were released in any order", async () => {
    const { broker, service } = setUp();
    const texts = ["a ", "b".repeat(20_000), "c ", "d".repeat(300_000), "e ", "f ".repeat(5_000), "g"];
    const ops = texts.map(() => service.startAppend({ journal: A }));
    for (const [index, op] of ops.entries()) op.writer.write(texts[index] ?? "");
    for (const op of [...ops].reverse()) op.release();
    await ops[0]?.done;
    assert.deepEqual(broker.texts(), [texts.join("")]);
  });

  it("sends what was released although a later append is still being written", async () => {
    const { broker, service } = setUp();
    const first = put(service, A, "first ");
    const slow = service.startAppend({ journal: A });
    slow.writer.write("slow ");
    assert.equal(await first.err(), undefined);
    assert.deepEqual(broker.texts(), ["first "]);
    slow.writer.write("writer ");
    const last = put(service, A, "last");
    slow.release();
    assert.equal(await last.err(), undefined);
    assert.equal(broker.text(A), "first slow writer last");
  });

  it("rolls back an append whose batch left without it", async () => {
    const { broker, service } = setUp();
    const first = put(service, A, "first ");
    const slow = service.startAppend({ journal: A });
    slow.writer.write("slow");
    await first.done;
    slow.writer.write("er");
    assert.throws(() => slow.require(new Error("whoops")).release(), /whoops/);
    await put(service, A, "last").done;
    assert.equal(broker.text(A), "first last");
  });

  it("lets who never releases block his own journal only", async () => {
    const { broker, service } = setUp();
    service.startAppend({ journal: A }).writer.write("never");
    put(service, A, "waits");
    assert.equal(await put(service, "journal/B", "goes").err(), undefined);
    assert.equal(broker.text(A), "");
    assert.equal(service.pendingExcept("").size, 1);
    assert.equal(service.pendingExcept(A).size, 0);
  });

  it("refuses writes, requires and releases after the release", () => {
    const { service } = setUp();
    const op = put(service, A, "x");
    for (const call of [() => op.writer.write("y"), () => op.release(), () => op.require(new Error("late"))])
      assert.throws(call, (error) => isJournalError(error, "invalid-argument"));
  });

  it("rolls back after a write that cannot be taken, and the next append works", async () => {
    const { broker, service } = setUp();
    const op = service.startAppend({ journal: A });
    op.writer.write("taken");
    assert.throws(() => op.writer.write(5 as never), /Uint8Array or a string/);
    assert.throws(() => op.release(), /Uint8Array or a string/);
    await put(service, A, "hello, world").done;
    assert.deepEqual(broker.texts(), ["hello, world"]);
  });

  it("refuses requests and options that are wrong, before anything is queued", () => {
    const { broker, service } = setUp();
    for (const request of [
      undefined,
      null,
      {},
      { journal: "" },
      { journal: "/a" },
      { journal: A, offset: -1n },
    ])
      assert.throws(
        () => service.startAppend(request as never),
        (error) => isJournalError(error, "invalid-argument"),
      );
    put(service, A, "x");
    assert.throws(() => service.startAppend({ journal: A, offset: -1n }), JournalError);
    assert.throws(
      () => service.startAppend({ journal: A }, new Set([undefined as never])),
      (error) => isJournalError(error, "invalid-argument"),
    );
    for (const dependencies of [null, 5, {}])
      assert.throws(
        () => service.startAppend({ journal: A }, dependencies as never),
        (error) => isJournalError(error, "invalid-argument"),
      );
    for (const options of [
      { spill: null as never },
      { spill: {} as never },
      { spill: { dir: "" } },
      { maxMemoryBytes: 0 },
      { cutoffBytes: -1 },
      { spill: { dir: "d", maxBytes: 1.5 } },
    ])
      assert.throws(
        () => new AppendService(broker, options),
        (error) => isJournalError(error, "invalid-argument"),
      );
  });

  it("takes a name with metadata as the journal that it names", async () => {
    const { broker, service } = setUp();
    const first = service.startAppend({ journal: `${A};meta` });
    const second = service.startAppend({ journal: A });
    second.writer.write("second");
    second.release();
    await new Promise(setImmediate);
    assert.equal(broker.rpcs.length, 0);
    assert.equal(service.pendingExcept(A).size, 0);
    assert.equal(service.pendingExcept(`${A};meta`).size, 0);
    first.writer.write("first ");
    first.release();
    await second.done;
    assert.deepEqual(broker.texts(), ["first ", "second"]);
  });

  const FINAL: readonly [Status, string][] = [
    ["FRAGMENT_STORE_UNHEALTHY", "fragment-store-unhealthy"],
    ["REGISTER_MISMATCH", "register-mismatch"],
    ["INDEX_HAS_GREATER_OFFSET", "index-has-greater-offset"],
    ["NOT_ALLOWED", "not-allowed"],
    ["JOURNAL_NOT_FOUND", "journal-not-found"],
    ["WRONG_APPEND_OFFSET", "wrong-append-offset"],
  ];
  for (const [status, code] of FINAL) {
    it(`gives up on ${status}, and fails what comes after it in the journal`, async () => {
      const { broker, service } = setUp();
      broker.plan = ({ index }) =>
        index === 0 ? { at: "commit", status, storeHealthError: "s3: connection timeout" } : undefined;
      const open = broker.hold();
      const op = put(service, A, "hello, world");
      await broker.reached(1);
      const later = put(service, A, "later");
      open();
      const error = await op.err();
      assert.ok(isJournalError(error));
      assert.equal(error.code, code);
      if (status === "FRAGMENT_STORE_UNHEALTHY") assert.match(error.message, /s3: connection timeout/);
      assert.equal(await later.err(), error);
      assert.equal(await put(service, A, "even later").err(), error);
      assert.equal(await put(service, "journal/B", "unharmed").err(), undefined);
      assert.equal(broker.text(A), "");
      assert.equal(broker.rpcs.filter(({ request }) => request.journal === A).length, 1);
      assert.deepEqual(await Promise.all([...service.pendingExcept("")].map((future) => future.err())), [
        error,
      ]);
      assert.equal(service.pendingExcept(A).size, 0);
    });
  }

  it("gives up on a suspended journal when the request does not resume it, and waits when it does", async () => {
    const { broker, service } = setUp();
    broker.plan = ({ index }) => (index < 2 ? { at: "commit", status: "SUSPENDED" } : undefined);
    const op = service.startAppend({ journal: A, suspend: "SUSPEND_NO_RESUME" });
    op.release();
    assert.ok(isJournalError(await op.err(), "suspended"));
    assert.equal(await put(service, "journal/B", "x").err(), undefined);
    assert.equal(broker.rpcs.length, 3);
  });

  it("tries fenced requests again only when nothing can have been committed", async () => {
    const fenced = {
      journal: A,
      checkRegisters: { include: [{ name: "author", value: "me" }], exclude: [] },
    };
    for (const [fault, tries] of [
      [{ at: "write", error: unavailable() }, 2],
      [{ at: "commit", status: "NO_JOURNAL_PRIMARY_BROKER" }, 2],
      [{ at: "after-commit", error: unavailable() }, 1],
      [{ at: "commit", error: unavailable() }, 1],
    ] as const) {
      const { broker, service } = setUp();
      broker.plan = ({ index }) => (index === 0 ? fault : undefined);
      const op = service.startAppend(fenced);
      op.writer.write("x");
      op.release();
      const error = await op.err();
      assert.equal(broker.rpcs.length, tries);
      if (tries === 2) assert.equal(error, undefined);
      else assert.ok(isJournalError(error, "transport") && /not known/.test(error.message));
    }
  });

  it("does not begin before its dependencies are done", async () => {
    const { broker, service } = setUp();
    const gate = new AsyncOperation();
    const op = put(service, A, "x", new OpFutures([gate, finishedOperation()]));
    await new Promise(setImmediate);
    assert.equal(broker.rpcs.length, 0);
    gate.resolve();
    assert.equal(await op.err(), undefined);
  });

  it("joins a batch that waits for the same or for more, and begins another for less", async () => {
    const { broker, service } = setUp();
    const [one, two, three] = [new AsyncOperation(), new AsyncOperation(), new AsyncOperation()];
    put(service, A, "a", new OpFutures([one, two]));
    put(service, A, "b", new OpFutures([two]));
    put(service, A, "c");
    put(service, A, "d", new OpFutures([one, finishedOperation()]));
    const last = put(service, A, "e", new OpFutures([three]));
    for (const operation of [one, two, three]) operation.resolve();
    assert.equal(await last.err(), undefined);
    assert.deepEqual(broker.texts(), ["abcd", "e"]);
  });

  it("runs appends whose journals depend on each other in a cycle, in order and in batches", async () => {
    const { broker, service } = setUp();
    const steps = [
      ["journal/A", "write one"],
      ["journal/B", "write two"],
      ["journal/C", "write three"],
      ["journal/B", "write four"],
      ["journal/A", "write five"],
      ["journal/C", "write six"],
    ] as const;
    for (const [journal, text] of steps) {
      put(service, journal, text, service.pendingExcept(journal));
      put(service, journal, "!", service.pendingExcept(journal));
    }
    await allDone(service);
    assert.deepEqual(
      broker.rpcs.map(({ request, chunks }) => [request.journal, Buffer.concat(chunks).toString()]),
      steps.map(([journal, text]) => [journal, `${text}!`]),
    );
  });

  it("has a barrier wait for appends that are not even written", async () => {
    const { broker, service } = setUp();
    const slow = service.startAppend({ journal: A });
    const barrier = put(service, "target", "checkpoint", service.pendingExcept("target"));
    const late = put(service, A, "late");
    await new Promise(setImmediate);
    assert.equal(broker.rpcs.length, 0);
    slow.writer.write("slow ");
    slow.release();
    assert.equal(await barrier.err(), undefined);
    assert.deepEqual(broker.texts(), ["slow late", "checkpoint"]);
    assert.equal(await late.err(), undefined);
  });

  it("has a barrier not fail because an append was rolled back", async () => {
    const { broker, service } = setUp();
    const op = service.startAppend({ journal: A });
    const pending = service.pendingExcept("target");
    const barrier = put(service, "target", "checkpoint", pending);
    const direct = put(service, "other", "x", new OpFutures([op]));
    assert.throws(() => op.require(new Error("whoops")).release());
    assert.equal(await barrier.err(), undefined);
    assert.equal(await direct.err(), undefined);
    assert.equal(broker.text("target"), "checkpoint");
    for (const future of pending) assert.equal(await future.err(), undefined);
  });

  it("fails for good with a dependency, and shows it in pendingExcept", async () => {
    const { broker, service } = setUp();
    const [one, two] = [new AsyncOperation(), new AsyncOperation()];
    const first = put(service, A, "foo", new OpFutures([one]));
    const second = put(service, A, "bar", new OpFutures([two]));
    two.resolve();
    const cause = new Error("an error");
    one.resolve(cause);
    for (const op of [first, second, put(service, A, "baz")]) {
      const error = await op.err();
      assert.ok(isJournalError(error, "dependency-failed"));
      assert.equal(error.cause, cause);
      assert.match(error.message, /an error/);
    }
    const later = put(service, A, "more");
    for (const future of service.pendingExcept(""))
      assert.ok(isJournalError(await future.err(), "dependency-failed"));
    await later.done;
    assert.equal(service.pendingExcept("").size, 1);
    const dependent = put(service, "journal/B", "x", service.pendingExcept("journal/B"));
    assert.ok(isJournalError(await dependent.err(), "dependency-failed"));
    assert.equal(broker.rpcs.length, 0);
  });

  it("takes a future that rejects for one that has failed", async () => {
    const { service } = setUp();
    const err = (): Promise<unknown> => Promise.reject(new Error("badly made"));
    for (const [index, done] of [Promise.resolve(), undefined as never].entries()) {
      const op = put(service, `journal/${index}`, "x", new OpFutures([{ done, err }]));
      assert.ok(isJournalError(await op.err(), "dependency-failed"));
    }
  });

  it("aborts what is pending and what depends on it when its signal does, and everything later", async () => {
    const stop = new AbortController();
    const { broker, service } = setUp({ signal: stop.signal });
    broker.hold();
    const flying = put(service, A, "hello, world");
    await broker.reached(1);
    const dependent = put(service, "journal/B", "another write", new OpFutures([flying]));
    const stuck = put(service, "journal/C", "x", new OpFutures([new AsyncOperation()]));
    const writing = service.startAppend({ journal: "journal/D" });
    writing.writer.write("not yet released");
    await new Promise(setImmediate);
    const reason = new Error("enough");
    stop.abort(reason);
    for (const op of [flying, dependent, stuck, writing, service.startAppend({ journal: A })]) {
      await op.done;
      assert.equal(await op.err(), reason);
    }
    assert.equal(broker.rpcs.length, 1);
    assert.equal(broker.rpcs[0]?.end, "failed");
    assert.equal(service.usage.memoryBytes, 0);
  });

  it("ends the appends that are still being written when its signal aborts, and tells their writers", async () => {
    const stop = new AbortController();
    const { broker, service } = setUp({ signal: stop.signal });
    const reason = new Error("enough");
    const [first, second, third] = [0, 1, 2].map(() => service.startAppend({ journal: A })) as [
      AsyncAppend,
      AsyncAppend,
      AsyncAppend,
    ];
    for (const op of [first, second, third]) op.writer.write("never ");
    second.release();
    const own = new Error("own");
    third.require(own);
    const barrier = service.pendingExcept("");
    const other = setUp();
    const dependent = put(other.service, "journal/B", "x", barrier);
    stop.abort(reason);
    const late = service.startAppend({ journal: A });
    const elsewhere = service.startAppend({ journal: "journal/C" });
    await service.close();
    for (const op of [first, second, late, elsewhere]) {
      await op.done;
      assert.equal(await op.err(), reason);
    }
    assert.equal(await third.err(), own);
    for (const op of [first, late, elsewhere]) {
      op.require(own);
      for (const call of [() => op.writer.write("x"), () => op.release(), () => op.release()])
        assert.throws(call, (error) => error === reason);
    }
    assert.throws(
      () => third.release(),
      (error) => error === own,
    );
    assert.equal(broker.rpcs.length, 0);
    assert.deepEqual(service.usage, { memoryBytes: 0, spilledBytes: 0 });
    // It waited for what was never committed.
    assert.ok(isJournalError(await dependent.err(), "dependency-failed"));
    assert.equal(other.broker.rpcs.length, 0);
  });

  it("is disposed of at once after an abort, although a writer has thrown before its release", async () => {
    const stop = new AbortController();
    const { broker } = setUp();
    const whoops = new Error("whoops");
    await assert.rejects(
      async () => {
        await using service = new AppendService(broker, { signal: stop.signal });
        try {
          service.startAppend({ journal: A }).writer.write("x");
          throw whoops;
        } finally {
          stop.abort();
        }
      },
      (error) => error === whoops,
    );
    assert.equal(broker.rpcs.length, 0);
  });

  it("aborts between two tries, and leaves no timer and no listener behind", async () => {
    const stop = new AbortController();
    let listeners = 0;
    const signal = new Proxy(stop.signal, {
      get(target, name) {
        if (name === "addEventListener") listeners++;
        if (name === "removeEventListener") listeners--;
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const clock = new StillClock();
    const { broker, service } = setUp({ signal, clock });
    broker.plan = () => ({ at: "write", error: unavailable() });
    const op = put(service, A, "x");
    await clock.nextDelayMs();
    stop.abort(new Error("enough"));
    assert.equal(await op.err(), stop.signal.reason);
    assert.equal(clock.timers, 0);
    assert.equal(listeners, 0);
  });

  it("keeps nothing of journals that are idle, nor a whole buffer for a small append", async () => {
    const { broker, service } = setUp();
    broker.sink = () => void broker.rpcs.splice(0);
    for (let wave = 0; wave < 20; wave++) {
      const ops: AsyncAppend[] = [];
      for (let index = 0; index < 5_000; index++) ops.push(put(service, `journal/${wave}/${index}`, "x"));
      assert.ok(service.usage.memoryBytes <= 5_000 * 1024);
      for (const op of ops) await op.done;
      assert.equal(service.pendingExcept("").size, 0);
      assert.equal(service.usage.memoryBytes, 0);
    }
  }, 60_000);

  it("waits for what was started when it is closed, and takes no more", async () => {
    const { broker, service } = setUp();
    const open = broker.hold();
    const op = put(service, A, "x");
    let closed = false;
    const closing = service.close().then(() => {
      closed = true;
    });
    assert.throws(
      () => service.startAppend({ journal: A }),
      (error) => isJournalError(error, "closed"),
    );
    await broker.reached(1);
    assert.equal(closed, false);
    const stop = new AbortController();
    const impatient = service.close({ signal: stop.signal });
    stop.abort(new Error("no time"));
    await assert.rejects(impatient, /no time/);
    open();
    await closing;
    assert.equal(await op.err(), undefined);
    await service[Symbol.asyncDispose]();
  });

  it("passes the other calls on to its client", async () => {
    const { broker, service } = setUp();
    const route = { members: [], primary: -1, endpoints: [] };
    service.updateRoute(A, route);
    assert.equal(broker.route(A), route);
    assert.equal(service.route(A), route);
    assert.equal(service.isNoopRouter, false);
    assert.equal(service.fragments, broker.fragments);
    await service.openAppend({ journal: A }).commit();
    assert.equal(broker.rpcs.length, 1);
  });
});

describe("OpFutures", () => {
  const [a, b, c, d] = [1, 2, 3, 4].map(() => new AsyncOperation()) as [
    AsyncOperation,
    AsyncOperation,
    AsyncOperation,
    AsyncOperation,
  ];
  const set = (...futures: AsyncOperation[]): OpFutures => new OpFutures(futures);

  it("knows a subset by identity", () => {
    assert.equal(set().isSubsetOf(set()), true);
    assert.equal(set(d).isSubsetOf(set()), false);
    for (const one of [a, b, c, d]) assert.equal(set(one).isSubsetOf(set(a, b, c, d)), true);
    assert.equal(set(a, b, c, d).isSubsetOf(set(a, b, c, d)), true);
    assert.equal(set(a, b, c, d).isSubsetOf(set(a, b, new AsyncOperation(), d)), false);
    for (const some of [set(a, c), set(b, c), set(b, d)])
      assert.equal(some.isSubsetOf(set(a, b, c, d)), true);
    assert.equal(set(a, b, c).isSubsetOf(set(a, c, d)), false);
    assert.equal(set(a, c, d).isSubsetOf(set(a, b, d)), false);
  });
});

describe("AsyncOperation", () => {
  it("is done when it is resolved, once, well or with an error", async () => {
    const error = new Error("an error");
    const operation = new AsyncOperation();
    const done = operation.done;
    operation.resolve(error);
    operation.resolve();
    await done;
    assert.equal(await operation.err(), error);
    assert.equal(await finishedOperation().err(), undefined);
    assert.equal(await finishedOperation(error).err(), error);
    await finishedOperation().done;
  });
});
