import assert from "node:assert/strict";
import { afterEach, describe, it } from "vitest";
import {
  AppendService,
  type AppendServiceEvent,
  type AsyncAppend,
  AsyncOperation,
  isJournalError,
  OpFutures,
} from "../src/index.js";
import { checkFiles, FakeFiles } from "./append-files.js";
import {
  counting,
  FakeBroker,
  HastyClock,
  middling,
  put,
  StillClock,
  unavailable,
} from "./append-support.js";

const A = "journal/A";
const KIB = 1024;
const MIB = 1024 * KIB;

afterEach(checkFiles);

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
}

function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

describe("AppendService by default", () => {
  it("lets appends join a batch of up to 64 MiB", async () => {
    const broker = new FakeBroker();
    const sizes: number[] = [];
    broker.look = ({ index }, content) => {
      sizes[index] = (sizes[index] ?? 0) + content.length;
    };
    const service = new AppendService(broker);
    const open = broker.hold();
    put(service, A, "x");
    await broker.reached(1);
    const large = service.startAppend({ journal: A });
    for (let count = 0; count < 64; count++) large.writer.write(Buffer.alloc(MIB));
    large.release();
    put(service, A, "joins");
    put(service, A, "comes later");
    open();
    await service.close();
    assert.deepEqual(sizes, [1, 64 * MIB + 5, 11]);
  });

  it("waits for room above 64 MiB in memory, and refuses to write above 128", async () => {
    const broker = new FakeBroker();
    broker.look = () => {};
    const service = new AppendService(broker);
    const open = broker.hold();
    const op = service.startAppend({ journal: A });
    const fill = (mib: number): void => {
      for (let count = 0; count < mib; count++) op.writer.write(Buffer.alloc(MIB));
    };
    fill(63);
    await service.ready();
    fill(1);
    assert.equal(service.usage.memoryBytes, 64 * MIB);
    let ready = false;
    const waiting = service.ready().then(() => {
      ready = true;
    });
    await turns(3);
    assert.equal(ready, false);
    fill(64);
    assert.throws(
      () => op.writer.write("x"),
      (error) => isJournalError(error, "buffer-full"),
    );
    assert.throws(() => op.release());
    open();
    await waiting;
    await service.close();
  });
});

describe("AppendService and its bound", () => {
  it("holds it while 5,000 journals send small appends and no broker takes a byte", async () => {
    const broker = new FakeBroker();
    const { passed, open } = gate();
    broker.flow = () => passed;
    const service = new AppendService(broker);
    const text = "x".repeat(400);
    let most = 0;
    for (let index = 0; index < 5_000; index++) {
      const op = service.startAppend({ journal: `journal/${index}` });
      for (let part = 0; part < 8; part++) op.writer.write(text);
      op.release();
    }
    for (let turn = 0; turn < 20; turn++) {
      await turns(1);
      most = Math.max(most, service.usage.memoryBytes);
    }
    assert.equal(broker.rpcs.length, 5_000);
    assert.ok(most <= 128 * MIB, `${most / MIB} MiB were in use`);
    open();
    await service.close();
    for (let index = 0; index < 5_000; index++) assert.equal(broker.text(`journal/${index}`), text.repeat(8));
    assert.equal(service.usage.memoryBytes, 0);
  }, 30_000);

  it("has ready() wait while no broker takes a byte, with thousands of journals in memory, and go on when they do", async () => {
    const broker = new FakeBroker();
    const { passed, open } = gate();
    broker.flow = () => passed;
    const service = new AppendService(broker);
    const text = "x".repeat(400);
    let started = 0;
    const producer = (async () => {
      for (; started < 6_000; started++) {
        await service.ready();
        const op = service.startAppend({ journal: `journal/${started}` });
        for (let part = 0; part < 8; part++) op.writer.write(text);
        op.release();
      }
    })();
    for (let before = -1; before < started; await turns(3)) before = started;
    assert.ok(started > 4_000 && started < 6_000, `${started} were let in`);
    assert.ok(service.usage.memoryBytes <= 65 * MIB);
    open();
    await producer;
    await service.close();
    for (let index = 0; index < 6_000; index++) assert.equal(broker.text(`journal/${index}`), text.repeat(8));
  }, 30_000);

  it("takes no memory to part an append that is being written from the batch that goes", async () => {
    const broker = new FakeBroker();
    const service = new AppendService(broker);
    const openFirst = broker.hold();
    put(service, A, "x".repeat(100 * KIB));
    await broker.reached(1);
    const text = "slow ".repeat(20 * KIB);
    const first = put(service, A, "first ");
    const slow = service.startAppend({ journal: A });
    slow.writer.write(Buffer.from(text));
    assert.equal(service.usage.memoryBytes, 256 * KIB, "they share a buffer");
    const open = broker.hold();
    openFirst();
    await broker.reached(2);
    assert.equal(service.usage.memoryBytes, 128 * KIB);
    slow.writer.write("er");
    assert.equal(service.usage.memoryBytes, 128 * KIB, "it goes on where it was");
    open();
    await first.done;
    // Would get its memory if that were given back with the batch.
    await put(service, "journal/B", "y".repeat(250 * KIB)).done;
    slow.release();
    await service.close();
    assert.equal(broker.text(A), `${"x".repeat(100 * KIB)}first ${text}er`);
    assert.equal(service.usage.memoryBytes, 0);
  });

  it("sends what is in files although memory is full of appends that wait, one buffer at a time", async () => {
    for (const end of ["commit", "abort"]) {
      const broker = new FakeBroker();
      const stop = new AbortController();
      const files = new FakeFiles();
      const service = new AppendService(broker, {
        clock: new HastyClock(),
        random: counting(),
        maxMemoryBytes: 64 * KIB,
        spill: { dir: "somewhere", maxBytes: 64 * KIB },
        fileSystem: files,
        signal: stop.signal,
      });
      const before = new AsyncOperation();
      const spilled: AsyncAppend[] = [];
      for (let index = 0; index < 16; index++) {
        await service.ready();
        spilled.push(put(service, `journal/${index}`, `${index} `.repeat(2000), new OpFutures([before])));
        await turns(3);
      }
      const filler = service.startAppend({ journal: A });
      let filled = 0;
      while (service.usage.memoryBytes + service.usage.spilledBytes < (128 + 60) * KIB) {
        filler.writer.write(Buffer.alloc(KIB, "f"));
        filled++;
        await turns(1);
      }
      for (; service.usage.memoryBytes < 128 * KIB; filled++) filler.writer.write(Buffer.alloc(KIB, "f"));
      const flow = gate();
      let most = 0;
      broker.flow = () => {
        most = Math.max(most, service.usage.memoryBytes);
        return flow.passed;
      };
      before.resolve();
      await turns(20);
      if (end === "abort") {
        stop.abort(new Error("enough"));
        flow.open();
        for (const op of [...spilled, filler]) assert.equal(await op.err(), stop.signal.reason);
      } else {
        flow.open();
        for (const op of spilled) assert.equal(await op.err(), undefined);
        filler.release();
      }
      await service.close();
      assert.ok(most <= 132 * KIB, `${most} bytes were in memory`);
      assert.deepEqual(service.usage, { memoryBytes: 0, spilledBytes: 0 });
      assert.equal(files.live.size, 0);
      if (end === "abort") continue;
      for (let index = 0; index < 16; index++)
        assert.equal(broker.text(`journal/${index}`), `${index} `.repeat(2000));
      assert.equal(broker.text(A), "f".repeat(filled * KIB));
    }
  });
});

describe("AppendService and its files", () => {
  it("does not write to a file whose last append is committed in the same moment, whenever that is", async () => {
    for (let moment = 0; moment < 60; moment++) {
      const broker = new FakeBroker();
      const files = new FakeFiles();
      const events: AppendServiceEvent[] = [];
      const open = broker.hold();
      const service = new AppendService(broker, {
        clock: new HastyClock(),
        random: counting(),
        maxMemoryBytes: 256 * KIB,
        spill: { dir: "somewhere" },
        fileSystem: files,
        onEvent: (event) => events.push(event),
      });
      const write = (journal: string): AsyncAppend => {
        const op = service.startAppend({ journal });
        for (let part = 0; part < 40; part++) op.writer.write(Buffer.alloc(4 * KIB, String(part)));
        op.release();
        return op;
      };
      const first = write(A);
      await turns(10);
      assert.ok(service.usage.spilledBytes > 0);
      open();
      for (let turn = 0; turn < moment; turn++) await undefined;
      const second = write("journal/B");
      for (let turn = 0; turn < 10; turn++) {
        await turns(1);
        assert.ok(service.usage.spilledBytes >= 0, `${service.usage.spilledBytes} bytes in files`);
      }
      assert.equal(await first.err(), undefined);
      assert.equal(await second.err(), undefined);
      await service.close();
      assert.deepEqual(service.usage, { memoryBytes: 0, spilledBytes: 0 });
      assert.deepEqual(events, []);
      assert.equal(files.live.size, 0);
      assert.equal(broker.text(A), broker.text("journal/B"));
      checkFiles();
    }
  });

  it("moves to files what was being sent when there was no other, so that ready() does not wait for the brokers", async () => {
    const broker = new FakeBroker();
    const files = new FakeFiles();
    const clock = new StillClock();
    const { passed, open } = gate();
    broker.plan = () => ({ at: "write", error: unavailable() });
    broker.flow = () => passed;
    let failures = 1;
    files.plan = (operation) =>
      operation === "create" && failures-- > 0 ? new Error("no space for a moment") : undefined;
    const service = new AppendService(broker, {
      clock,
      random: middling,
      maxMemoryBytes: 64 * KIB,
      spill: { dir: "somewhere" },
      fileSystem: files,
    });
    for (let index = 0; index < 16; index++) put(service, `journal/${index}`, "x".repeat(4 * KIB));
    await turns(3);
    await clock.step();
    await turns(3);
    assert.deepEqual(service.usage, { memoryBytes: 64 * KIB, spilledBytes: 0 });
    const waiting = service.ready();
    open();
    await waiting;
    await turns(3);
    assert.ok(service.usage.spilledBytes >= 32 * KIB);
  });

  it("moves what an append has left of a shared buffer to a file, too", async () => {
    const broker = new FakeBroker();
    const files = new FakeFiles();
    const clock = new StillClock();
    let failures = 1;
    files.plan = (operation) =>
      operation === "create" && failures-- > 0 ? new Error("no space for a moment") : undefined;
    const service = new AppendService(broker, {
      clock,
      random: middling,
      maxMemoryBytes: 4 * KIB,
      spill: { dir: "somewhere" },
      fileSystem: files,
    });
    const slow = service.startAppend({ journal: A });
    const texts = ["first ".repeat(300), "slow ".repeat(400)] as const;
    slow.writer.write(texts[0]);
    slow.release();
    const rest = service.startAppend({ journal: A });
    rest.writer.write(texts[1]);
    await slow.done;
    assert.deepEqual(service.usage, { memoryBytes: 6 * KIB, spilledBytes: 0 });
    await clock.step();
    await turns(3);
    assert.deepEqual(service.usage, { memoryBytes: 0, spilledBytes: texts[1].length });
    rest.release();
    await service.close();
    assert.equal(broker.text(A), texts.join(""));
  });

  it("is closed at once although the disk has just failed", async () => {
    const broker = new FakeBroker();
    const files = new FakeFiles();
    const { passed, open } = gate();
    files.gate = passed;
    files.plan = (operation) => (operation === "write" ? new Error("input/output error") : undefined);
    const service = new AppendService(broker, {
      clock: new StillClock(),
      random: middling,
      maxMemoryBytes: 64 * KIB,
      spill: { dir: "somewhere" },
      fileSystem: files,
    });
    const back = broker.hold();
    const op = put(service, A, "x".repeat(60 * KIB));
    await turns(3);
    back();
    assert.equal(await op.err(), undefined);
    const other = put(service, A, "y".repeat(60 * KIB));
    const closing = service.close();
    await other.done;
    await turns(3);
    open();
    await closing;
    assert.equal(service.usage.memoryBytes, 0);
  });
});
