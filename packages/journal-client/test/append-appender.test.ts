import assert from "node:assert/strict";
import { pipeline } from "node:stream/promises";
import { describe, it } from "vitest";
import { Appender, append, isJournalError, JournalError, type Status } from "../src/index.js";
import { FakeBroker, ROUTE, unavailable } from "./append-support.js";

const JOURNAL = "a/journal";
const bytes = (text: string): Buffer => Buffer.from(text);

describe("Appender", () => {
  it("sends the request with the first byte, each write as a chunk, and commits", async () => {
    const broker = new FakeBroker();
    const appender = new Appender(broker, { journal: JOURNAL });
    assert.equal(broker.rpcs.length, 0);
    await appender.write(bytes("foo"));
    await appender.write(bytes("bar"));
    assert.equal(broker.text(JOURNAL), "", "nothing is seen before the commit");
    const response = await appender.commit();
    assert.deepEqual(broker.rpcs[0]?.request, { journal: JOURNAL });
    assert.deepEqual(broker.rpcs[0]?.chunks.map(String), ["foo", "bar"]);
    assert.equal(response.commit?.journal, JOURNAL);
    assert.equal(appender.response, response);
    assert.equal(broker.text(JOURNAL), "foobar");
  });

  it("tells the router the route of the broker's answer", async () => {
    const broker = new FakeBroker();
    await new Appender(broker, { journal: JOURNAL }).commit();
    assert.deepEqual(broker.route(JOURNAL), ROUTE);
  });

  it("leaves empty chunks out: to a broker they mean commit", async () => {
    const broker = new FakeBroker();
    const appender = new Appender(broker, { journal: JOURNAL });
    await appender.write(new Uint8Array());
    assert.equal(broker.rpcs.length, 0);
    await appender.write(bytes("x"));
    await appender.write(new Uint8Array());
    await appender.commit();
    assert.deepEqual(broker.rpcs[0]?.chunks.map(String), ["x"]);
  });

  it("commits nothing as a barrier, with one RPC and no chunk", async () => {
    const broker = new FakeBroker();
    const response = await new Appender(broker, { journal: JOURNAL }).commit();
    assert.equal(response.status, "OK");
    assert.deepEqual(broker.rpcs[0]?.chunks, []);
  });

  it("splits chunks that are larger than brokers take", async () => {
    const broker = new FakeBroker();
    const appender = new Appender(broker, { journal: JOURNAL }, { maxChunkBytes: 4 });
    await appender.write(bytes("0123456789"));
    await appender.commit();
    assert.deepEqual(broker.rpcs[0]?.chunks.map(String), ["0123", "4567", "89"]);
    const plain = new Appender(broker, { journal: JOURNAL });
    await plain.write(new Uint8Array(300_000));
    await plain.commit();
    assert.deepEqual(
      broker.rpcs[1]?.chunks.map(({ length }) => length),
      [131_072, 131_072, 37_856],
    );
  });

  it("gives the failure of the RPC from the write that meets it, and from every call after", async () => {
    const broker = new FakeBroker();
    const failure = new JournalError("transport", "an error", { grpcCode: 2 });
    broker.plan = () => ({ at: "write", error: failure });
    const appender = new Appender(broker, { journal: JOURNAL });
    for (const call of [
      () => appender.write(bytes("x")),
      () => appender.write(bytes("y")),
      () => appender.commit(),
    ])
      await assert.rejects(call, (error) => error === failure);
    assert.equal(appender.outcomeUnknown, false);
    assert.equal(broker.route(JOURNAL).primary, -1, "there was no route to learn");
  });

  it("gives the refusal of a broker that answers before the commit", async () => {
    const broker = new FakeBroker();
    broker.plan = () => ({
      at: "early",
      status: "FRAGMENT_STORE_UNHEALTHY",
      storeHealthError: "primary store is unhealthy",
    });
    const appender = new Appender(broker, { journal: JOURNAL });
    await assert.rejects(
      appender.write(bytes("additional content")),
      (error) =>
        isJournalError(error, "fragment-store-unhealthy") && /primary store is unhealthy/.test(error.message),
    );
    assert.equal(appender.response?.status, "FRAGMENT_STORE_UNHEALTHY");
    assert.deepEqual(broker.route(JOURNAL), ROUTE);
  });

  it("forgets the route to a broker that is gone", async () => {
    const broker = new FakeBroker();
    broker.updateRoute(JOURNAL, ROUTE);
    broker.plan = () => ({ at: "write", error: unavailable() });
    await assert.rejects(new Appender(broker, { journal: JOURNAL }).write(bytes("x")));
    assert.equal(broker.route(JOURNAL).primary, -1);
  });

  it("does not take an early OK for a commit", async () => {
    const broker = new FakeBroker();
    broker.plan = () => ({ at: "early", status: "OK" });
    const appender = new Appender(broker, { journal: JOURNAL });
    await assert.rejects(appender.write(bytes("x")), (error) => isJournalError(error, "invalid-response"));
  });

  const STATUSES: readonly [Status, string, RegExp][] = [
    ["JOURNAL_NOT_FOUND", "journal-not-found", /no such journal/],
    ["NO_JOURNAL_PRIMARY_BROKER", "no-journal-primary-broker", /NO_JOURNAL_PRIMARY_BROKER/],
    ["NOT_JOURNAL_PRIMARY_BROKER", "not-journal-primary-broker", /NOT_JOURNAL_PRIMARY_BROKER/],
    ["INSUFFICIENT_JOURNAL_BROKERS", "insufficient-journal-brokers", /INSUFFICIENT/],
    ["WRONG_APPEND_OFFSET", "wrong-append-offset", /1234/],
    ["INDEX_HAS_GREATER_OFFSET", "index-has-greater-offset", /must give the offset/],
    ["NOT_ALLOWED", "not-allowed", /do not allow/],
    ["SUSPENDED", "suspended", /SUSPEND_NO_RESUME/],
    ["REGISTER_MISMATCH", "register-mismatch", /author=somebody.*author=me/],
    ["FRAGMENT_STORE_UNHEALTHY", "fragment-store-unhealthy", /s3: connection timeout/],
    ["OFFSET_NOT_YET_AVAILABLE", "offset-not-yet-available", /OFFSET_NOT_YET_AVAILABLE/],
  ];
  for (const [status, code, sentence] of STATUSES) {
    it(`rejects the commit with "${code}" for ${status}, and learns the route`, async () => {
      const broker = new FakeBroker();
      broker.plan = () => ({ at: "commit", status, storeHealthError: "s3: connection timeout" });
      const appender = new Appender(broker, {
        journal: JOURNAL,
        offset: 1234n,
        suspend: "SUSPEND_NO_RESUME",
        checkRegisters: { include: [{ name: "author", value: "me" }], exclude: [] },
      });
      await appender.write(bytes("foo"));
      await assert.rejects(appender.commit(), (error: unknown) => {
        assert.ok(error instanceof JournalError);
        assert.equal(error.code, code);
        assert.equal(error.journal, JOURNAL);
        assert.match(error.message, sentence);
        return true;
      });
      assert.equal(appender.response?.status, status);
      assert.equal(appender.outcomeUnknown, false, "a refusal is an outcome");
      assert.deepEqual(broker.route(JOURNAL), ROUTE);
    });
  }

  it("says so when the commit fails and may have happened", async () => {
    const broker = new FakeBroker();
    broker.plan = () => ({ at: "after-commit", error: unavailable() });
    const appender = new Appender(broker, { journal: JOURNAL });
    await appender.write(bytes("x"));
    await assert.rejects(appender.commit(), (error: unknown) => {
      assert.ok(error instanceof JournalError);
      assert.equal(error.code, "transport");
      assert.equal(error.grpcCode, 14);
      assert.match(error.message, /not known/);
      return true;
    });
    assert.equal(appender.outcomeUnknown, true);
  });

  it("has the broker discard an append that is aborted, once", async () => {
    const broker = new FakeBroker();
    const appender = new Appender(broker, { journal: JOURNAL });
    await appender.write(bytes("gone"));
    await appender.abort();
    await appender.abort();
    assert.equal(broker.rpcs[0]?.end, "aborted");
    assert.equal(broker.text(JOURNAL), "");
    await assert.rejects(appender.write(bytes("x")), (error) => isJournalError(error, "aborted"));
    await assert.rejects(appender.commit(), (error) => isJournalError(error, "aborted"));
  });

  it("does not call an append rolled back that is aborted after the commit was sent", async () => {
    const broker = new FakeBroker();
    broker.plan = () => ({ at: "after-commit", error: new JournalError("aborted", "given up") });
    const unknown = (error: unknown): boolean =>
      isJournalError(error, "aborted") &&
      error.journal === JOURNAL &&
      /whether .* was committed is not known/.test(error.message);
    const abort = (appender: Appender): unknown => appender.abort();
    const dispose = (appender: Appender): unknown => appender[Symbol.asyncDispose]();
    for (const end of [abort, dispose]) {
      const open = broker.hold();
      const appender = new Appender(broker, { journal: JOURNAL });
      await appender.write(bytes("x"));
      const commit = appender.commit();
      await end(appender);
      open();
      await assert.rejects(commit, unknown);
      assert.equal(appender.outcomeUnknown, true);
      await assert.rejects(appender.commit(), unknown);
    }
    const open = broker.hold();
    const appender = new Appender(broker, { journal: JOURNAL });
    const before = broker.commits;
    const stream = appender.asWritable().on("error", () => {});
    stream.end("x");
    await broker.reached(before + 1);
    stream.destroy();
    open();
    await assert.rejects(appender.commit(), unknown);
    assert.equal(appender.outcomeUnknown, true);
    assert.equal(broker.text(JOURNAL), "xxx", "they were committed indeed");
  });

  it("takes the broker's answer although it comes behind an abort", async () => {
    const broker = new FakeBroker();
    for (const status of ["OK", "NOT_ALLOWED"] as const) {
      broker.plan = () => (status === "OK" ? undefined : { at: "commit", status });
      const open = broker.hold();
      const appender = new Appender(broker, { journal: JOURNAL });
      const commit = appender.commit();
      await appender.abort();
      open();
      if (status === "OK") assert.equal((await commit).status, "OK");
      else await assert.rejects(commit, (error) => isJournalError(error, "not-allowed"));
      assert.equal(appender.outcomeUnknown, false);
      await assert.rejects(appender.write(bytes("x")), (error) =>
        isJournalError(error, status === "OK" ? "invalid-argument" : "not-allowed"),
      );
    }
  });

  it("aborts when it is disposed of uncommitted, and does nothing when it is committed", async () => {
    const broker = new FakeBroker();
    const left = new Appender(broker, { journal: JOURNAL });
    await left.write(bytes("x"));
    await left[Symbol.asyncDispose]();
    assert.equal(broker.rpcs[0]?.end, "aborted");
    const done = new Appender(broker, { journal: JOURNAL });
    await done.commit();
    await done[Symbol.asyncDispose]();
    assert.equal(broker.rpcs[1]?.end, "committed");
  });

  it("is as new after a reset", async () => {
    const broker = new FakeBroker();
    broker.plan = ({ index }) => (index === 0 ? { at: "commit", status: "NOT_ALLOWED" } : undefined);
    const appender = new Appender(broker, { journal: JOURNAL });
    await appender.write(bytes("x"));
    await assert.rejects(appender.commit());
    appender.reset();
    assert.equal(appender.response, undefined);
    await appender.write(bytes("y"));
    await appender.commit();
    assert.equal(broker.text(JOURNAL), "y");
    await assert.rejects(appender.write(bytes("z")), (error) => isJournalError(error, "invalid-argument"));
  });

  it("is as new after a reset although a call of the try before is still under way", async () => {
    const faults = [
      { at: "write", error: unavailable() },
      { at: "commit", error: unavailable() },
    ] as const;
    for (const fault of faults) {
      const call = fault.at;
      const broker = new FakeBroker();
      let end = (): void => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      broker.plan = ({ index }) => (index === 0 ? fault : undefined);
      broker.flow = ({ index }) => (index === 0 && call === "write" ? ended : Promise.resolve());
      if (call === "commit") broker.gate = ended;
      const appender = new Appender(broker, { journal: JOURNAL });
      const old = call === "write" ? appender.write(bytes("old")) : appender.commit();
      await new Promise(setImmediate);
      appender.reset();
      assert.equal(broker.rpcs[0]?.end, "aborted");
      assert.equal(appender.outcomeUnknown, false);
      const next = appender.write(bytes("new"));
      end();
      await assert.rejects(
        old,
        (error) =>
          isJournalError(error, "aborted") && /is not known/.test(error.message) === (call === "commit"),
      );
      await next;
      assert.equal((await appender.commit()).status, "OK");
      assert.equal(broker.text(JOURNAL), "new");
    }
  });

  it("refuses what is no request, in a sentence", async () => {
    const broker = new FakeBroker();
    for (const request of [undefined, null, 5, "a/journal", []]) {
      const refused = (error: unknown): boolean =>
        isJournalError(error, "invalid-argument") &&
        /^AppendRequest is .*: it must be an object/.test(error.message);
      assert.throws(() => new Appender(broker, request as never), refused);
      await assert.rejects(append(broker, request as never, { content: bytes("x") }), refused);
    }
    assert.equal(broker.rpcs.length, 0);
  });

  it("refuses a second call while one is under way, and what is no bytes", async () => {
    const broker = new FakeBroker();
    const appender = new Appender(broker, { journal: JOURNAL });
    const first = appender.write(bytes("x"));
    await assert.rejects(appender.write(bytes("y")), (error) => isJournalError(error, "invalid-argument"));
    await first;
    await assert.rejects(appender.write("text" as unknown as Uint8Array), (error) =>
      isJournalError(error, "invalid-argument"),
    );
    await appender.commit();
    assert.equal(broker.text(JOURNAL), "x");
    for (const maxChunkBytes of [0, -1, 1.5, Number.NaN])
      assert.throws(() => new Appender(broker, { journal: JOURNAL }, { maxChunkBytes }), /maxChunkBytes/);
  });

  it("rejects with the signal's reason itself, before the RPC and while it waits", async () => {
    const broker = new FakeBroker();
    const reason = new Error("enough");
    const before = new Appender(broker, { journal: JOURNAL }, { signal: AbortSignal.abort(reason) });
    await assert.rejects(before.write(bytes("x")), (error) => error === reason);
    assert.equal(broker.rpcs.length, 0);
    const stop = new AbortController();
    const open = broker.hold();
    const during = new Appender(broker, { journal: JOURNAL }, { signal: stop.signal });
    const commit = during.commit();
    await broker.reached(1);
    stop.abort(reason);
    await assert.rejects(commit, (error) => error === reason);
    open();
  });

  it("is a Node stream: ending it commits, and small chunks that wait are joined", async () => {
    const broker = new FakeBroker();
    const appender = new Appender(broker, { journal: JOURNAL });
    const stream = appender.asWritable();
    for (const text of ["one ", "two ", "three ", "four"]) stream.write(text);
    await new Promise<void>((resolve, reject) => stream.end(resolve).on("error", reject));
    assert.equal(broker.text(JOURNAL), "one two three four");
    assert.deepEqual(broker.rpcs[0]?.chunks.map(String), ["one ", "two three four"]);
    await pipeline([bytes("a"), bytes("b")], new Appender(broker, { journal: "b" }).asWritable());
    assert.equal(broker.text("b"), "ab");
  });

  it("is a Node stream: a source that breaks aborts, a broker that refuses breaks the stream", async () => {
    const broker = new FakeBroker();
    const broken = new Error("broken source");
    const source = async function* (): AsyncGenerator<Buffer> {
      yield bytes("x");
      throw broken;
    };
    const appender = new Appender(broker, { journal: JOURNAL });
    await assert.rejects(pipeline(source(), appender.asWritable()), (error) => error === broken);
    await broker.until(() => broker.rpcs[0]?.end === "aborted");
    broker.plan = () => ({ at: "commit", status: "NOT_ALLOWED" });
    await assert.rejects(
      pipeline([bytes("x")], new Appender(broker, { journal: JOURNAL }).asWritable()),
      (error) => isJournalError(error, "not-allowed"),
    );
    assert.equal(broker.text(JOURNAL), "");
  });

  it("is a Node stream with back pressure", async () => {
    const broker = new FakeBroker();
    const stream = new Appender(broker, { journal: JOURNAL }, { maxChunkBytes: 8 }).asWritable();
    assert.equal(stream.write(bytes("0123456789")), true);
    assert.equal(stream.write(bytes("0123456789")), false);
    await new Promise((resolve) => stream.once("drain", resolve));
    await new Promise<void>((resolve) => stream.end(resolve));
    assert.equal(broker.text(JOURNAL), "01234567890123456789");
  });

  it("is a web stream: closing it commits, aborting it aborts", async () => {
    const broker = new FakeBroker();
    await new Blob(["web ", "stream"])
      .stream()
      .pipeTo(new Appender(broker, { journal: JOURNAL }).asWritableStream());
    assert.equal(broker.text(JOURNAL), "web stream");
    const writer = new Appender(broker, { journal: "other" }).asWritableStream().getWriter();
    await writer.write(bytes("gone"));
    await writer.abort();
    assert.equal(broker.rpcs[1]?.end, "aborted");
  });
});
