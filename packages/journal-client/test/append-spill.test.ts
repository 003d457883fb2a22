import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** A service with little memory and brokers that commit nothing until told. */
function setUp(options: ConstructorParameters<typeof AppendService>[1] = {}) {
  const broker = new FakeBroker();
  const files = new FakeFiles();
  const clock = new HastyClock();
  const back = broker.hold();
  const service = new AppendService(broker, {
    clock,
    random: counting(),
    maxMemoryBytes: 256 * KIB,
    spill: { dir: "somewhere" },
    fileSystem: files,
    ...options,
  });
  return { broker, files, service, back };
}

/** Recognizable content. */
function block(index: number, size: number): Buffer {
  return Buffer.alloc(size, `${index} `);
}

afterEach(checkFiles);

describe("AppendService with little memory", () => {
  it("waits in ready() for room, and lets one after the other in", async () => {
    const broker = new FakeBroker();
    const service = new AppendService(broker, { maxMemoryBytes: 64 * KIB });
    const open = broker.hold();
    put(service, A, "x".repeat(100 * KIB));
    let inside = 0;
    const waiting = [1, 2, 3, 4].map(async (index) => {
      await service.ready();
      inside++;
      put(service, A, String(index).repeat(60 * KIB));
    });
    await broker.reached(1);
    assert.equal(inside, 0);
    open();
    await Promise.all(waiting);
    await service.close();
    assert.equal(
      broker.text(A),
      "x".repeat(100 * KIB) + ["1", "2", "3", "4"].map((text) => text.repeat(60 * KIB)).join(""),
    );
    assert.equal(service.usage.memoryBytes, 0);
  });

  it("does not let a whole crowd in when there is room for a part of it", async () => {
    const broker = new FakeBroker();
    const service = new AppendService(broker, { maxMemoryBytes: 128 * KIB });
    const open = broker.hold();
    let inside = 0;
    const crowd = Array.from({ length: 1000 }, async (_, index) => {
      await service.ready();
      inside++;
      put(service, A, block(index, 2 * KIB).toString());
    });
    while (service.usage.memoryBytes < 128 * KIB) await new Promise(setImmediate);
    assert.ok(inside < 130, `${inside} were let in`);
    open();
    await Promise.all(crowd);
    await service.close();
    assert.equal(broker.text(A), Array.from({ length: 1000 }, (_, index) => block(index, 2 * KIB)).join(""));
  });

  it("ends the wait of ready() with the signal's reason, and that of all when the service is aborted", async () => {
    const broker = new FakeBroker();
    const stop = new AbortController();
    const service = new AppendService(broker, { maxMemoryBytes: 4 * KIB, signal: stop.signal });
    broker.hold();
    put(service, A, "x".repeat(4 * KIB));
    const reason = new Error("enough");
    await assert.rejects(service.ready({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
    const mine = new AbortController();
    const waiting = service.ready({ signal: mine.signal });
    mine.abort(reason);
    await assert.rejects(waiting, (error) => error === reason);
    const other = service.ready();
    stop.abort(reason);
    await other;
    assert.equal(await service.startAppend({ journal: A }).err(), reason);
  });

  it("fails a write past the bound with buffer-full, rolls that append back, and nothing else", async () => {
    const broker = new FakeBroker();
    const service = new AppendService(broker, { maxMemoryBytes: 64 * KIB });
    const open = broker.hold();
    put(service, A, "x".repeat(100 * KIB));
    const op = service.startAppend({ journal: A });
    op.writer.write("small");
    const full = (error: unknown): boolean => isJournalError(error, "buffer-full");
    assert.throws(() => op.writer.write("y".repeat(64 * KIB)), full);
    assert.throws(() => op.release(), full);
    assert.ok(service.usage.memoryBytes <= 128 * KIB);
    open();
    await put(service, A, "z").done;
    assert.equal(broker.text(A), `${"x".repeat(100 * KIB)}z`);
  });

  it("moves what does not fit to files, in large writes, and sends it in order", async () => {
    const { broker, files, service, back } = setUp();
    const ops: AsyncAppend[] = [];
    const expected: Buffer[] = [];
    for (let index = 0; index < 300; index++) {
      await service.ready();
      const op = service.startAppend({ journal: index % 3 === 0 ? "journal/B" : A });
      const content = block(index, 10 * KIB);
      if (index % 3 !== 0) expected.push(content);
      op.writer.write(content);
      op.release();
      ops.push(op);
    }
    assert.ok(service.usage.memoryBytes <= 512 * KIB);
    assert.ok(service.usage.spilledBytes > 2 * MIB);
    assert.equal(files.sweeps, 1);
    assert.match(files.names[0] ?? "", /^journal-appends-[0-9a-f]{32}\.spill$/);
    back();
    for (const op of ops) assert.equal(await op.err(), undefined);
    assert.deepEqual(Buffer.concat(broker.journals.get(A) ?? []), Buffer.concat(expected));
    assert.equal(service.usage.memoryBytes, 0);
    assert.equal(service.usage.spilledBytes, 0);
    assert.equal(files.live.size, 0);
    const average = files.writes.reduce((sum, size) => sum + size, 0) / files.writes.length;
    assert.ok(average > 8 * KIB, `a write had ${average} bytes on average`);
  });

  it("loses nothing when the disk is full: it keeps the bytes, tells, and tries again", async () => {
    const events: AppendServiceEvent[] = [];
    const { broker, files, service, back } = setUp({ onEvent: (event) => events.push(event) });
    const failures = [new Error("no such directory"), new Error("no space left"), new Error("no space left")];
    const told = [...failures];
    files.plan = (operation) => {
      if (operation === "create" && failures.length === 3) return failures.shift();
      return operation === "write" ? failures.shift() : undefined;
    };
    const expected: Buffer[] = [];
    for (let index = 0; index < 100; index++) {
      await service.ready();
      const content = block(index, 10 * KIB);
      expected.push(content);
      put(service, A, content.toString());
    }
    assert.equal(failures.length, 0);
    back();
    await service.close();
    assert.deepEqual(Buffer.concat(broker.journals.get(A) ?? []), Buffer.concat(expected));
    const failed = events.filter((event) => event.type === "spill-failed");
    assert.deepEqual(
      failed.map(({ error }) => isJournalError(error, "spill-failed") && error.cause),
      told,
    );
    assert.deepEqual(
      failed.map(({ delayMs }) => delayMs),
      [50, 50, 100],
    );
  });

  it("tries an append again when its file cannot be read", async () => {
    const events: AppendServiceEvent[] = [];
    const { broker, files, service, back } = setUp({ onEvent: (event) => events.push(event) });
    let reads = 0;
    files.plan = (operation) =>
      operation === "read" && ++reads <= 2 ? new Error("input/output error") : undefined;
    const expected: Buffer[] = [];
    for (let index = 0; index < 60; index++) {
      await service.ready();
      expected.push(block(index, 10 * KIB));
      put(service, A, block(index, 10 * KIB).toString());
    }
    back();
    await service.close();
    assert.deepEqual(Buffer.concat(broker.journals.get(A) ?? []), Buffer.concat(expected));
    assert.equal(
      events.filter((event) => event.type === "retry" && isJournalError(event.error, "spill-failed")).length,
      2,
    );
  });

  it("does not use memory again that is still being sent", async () => {
    const { broker, service, back } = setUp({ maxMemoryBytes: 32 * KIB });
    back();
    let sent = (): void => {};
    const sending = new Promise<void>((resolve) => {
      sent = resolve;
    });
    broker.flow = ({ index }) => (index === 0 ? sending : Promise.resolve());
    const gate = new AsyncOperation();
    const text = "precious ".repeat(1300);
    put(service, A, text);
    while (broker.rpcs.length === 0) await new Promise(setImmediate);
    const expected: string[] = [];
    for (let index = 0; index < 50; index++) {
      await service.ready();
      expected.push(block(index, 4 * KIB).toString());
      put(service, "journal/B", block(index, 4 * KIB).toString(), new OpFutures([gate]));
    }
    assert.ok(service.usage.spilledBytes > 100 * KIB);
    sent();
    gate.resolve();
    await service.close();
    assert.equal(broker.text(A), text);
    assert.equal(broker.text("journal/B"), expected.join(""));
  });

  it("rolls an append back whose bytes are in a file already", async () => {
    const { broker, files, service, back } = setUp();
    put(service, A, "before ");
    const op = service.startAppend({ journal: A });
    for (let index = 0; index < 200; index++) {
      await service.ready();
      op.writer.write(block(index, 10 * KIB));
    }
    assert.ok(service.usage.spilledBytes > MIB);
    assert.throws(() => op.require(new Error("whoops")).release(), /whoops/);
    put(service, A, "after");
    back();
    await service.close();
    assert.equal(broker.text(A), "before after");
    assert.equal(files.live.size, 0);
    assert.equal(service.usage.memoryBytes, 0);
  });

  it("lets a batch leave while a later append, which shares a chunk with it, is in a file", async () => {
    const { broker, files, service, back } = setUp({ maxMemoryBytes: 4 * KIB });
    back();
    const gate = new AsyncOperation();
    const texts = ["first ".repeat(350), "slow ".repeat(100), "end"] as const;
    const first = put(service, A, texts[0], new OpFutures([gate]));
    const slow = service.startAppend({ journal: A });
    slow.writer.write(texts[1]);
    while (service.usage.memoryBytes > 0) await new Promise(setImmediate);
    gate.resolve();
    assert.equal(await first.err(), undefined);
    assert.deepEqual(broker.texts(), [texts[0]]);
    slow.writer.write(texts[2]);
    slow.release();
    await service.close();
    assert.equal(broker.text(A), texts.join(""));
    assert.equal(files.live.size, 0);
  });

  it("rolls an append back while the chunk that it shares is being written to a file", async () => {
    const { broker, files, service, back } = setUp({ maxMemoryBytes: 4 * KIB });
    back();
    const gate = new OpFutures([new AsyncOperation()]);
    const texts = ["first ".repeat(350), "second ".repeat(500)] as const;
    put(service, A, texts[0], gate);
    const slow = service.startAppend({ journal: A });
    slow.writer.write("slow ".repeat(100));
    put(service, "journal/B", texts[1], gate);
    await new Promise<void>((resolve) => {
      files.plan = (operation) => {
        if (operation === "create") resolve();
        return undefined;
      };
    });
    assert.throws(() => slow.require(new Error("whoops")).release(), /whoops/);
    while (service.usage.memoryBytes > 0) await new Promise(setImmediate);
    for (const operation of gate) (operation as AsyncOperation).resolve();
    await service.close();
    assert.equal(broker.text(A), texts[0]);
    assert.equal(broker.text("journal/B"), texts[1]);
  });

  it("keeps no more than so many bytes in files; then ready() waits for commits", async () => {
    const { broker, files, service, back } = setUp({ spill: { dir: "somewhere", maxBytes: 512 * KIB } });
    let appended = 0;
    const producer = (async () => {
      for (; appended < 200; appended++) {
        await service.ready();
        put(service, A, block(appended, 10 * KIB).toString());
      }
    })();
    while (service.usage.memoryBytes < 256 * KIB || service.usage.spilledBytes < 448 * KIB)
      await new Promise(setImmediate);
    assert.ok(service.usage.spilledBytes <= 512 * KIB);
    assert.ok(appended < 100, `${appended} appends of 10 KiB were let in`);
    back();
    await producer;
    await service.close();
    assert.equal(broker.text(A), Array.from({ length: 200 }, (_, index) => block(index, 10 * KIB)).join(""));
    assert.equal(files.live.size, 0);
  });

  it("moves even small appends of many journals to files", async () => {
    const { broker, service, back } = setUp();
    const waiting: AsyncAppend[] = [];
    for (let index = 0; index < 2000; index++) {
      await service.ready();
      waiting.push(put(service, `journal/${index}`, `content of ${index}`));
    }
    assert.ok(service.usage.memoryBytes <= 512 * KIB);
    back();
    for (const op of waiting) assert.equal(await op.err(), undefined);
    for (let index = 0; index < 2000; index++)
      assert.equal(broker.text(`journal/${index}`), `content of ${index}`);
  });
});

describe("AppendService with real files", () => {
  const dirs: string[] = [];
  const temporary = async (): Promise<string> => {
    const dir = await mkdtemp(join(tmpdir(), "append-spill-"));
    dirs.push(dir);
    return dir;
  };
  afterEach(async () => {
    for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true });
  });

  it("leaves no name in the directory, removes what a crash left, and nothing else", async () => {
    const dir = await temporary();
    const left = `journal-appends-${"0".repeat(32)}.spill`;
    await writeFile(join(dir, left), "");
    await writeFile(join(dir, "precious"), "");
    const { broker, service, back } = setUp({ spill: { dir }, fileSystem: undefined as never });
    const other = setUp({ spill: { dir }, random: counting(), fileSystem: undefined as never });
    for (const each of [service, other.service])
      for (let index = 0; index < 100; index++) {
        await each.ready();
        put(each, A, block(index, 10 * KIB).toString());
      }
    assert.ok(service.usage.spilledBytes > 0);
    assert.deepEqual(await readdir(dir), ["precious"]);
    back();
    other.back();
    await service.close();
    await other.service.close();
    for (const each of [broker, other.broker])
      assert.equal(each.text(A), Array.from({ length: 100 }, (_, index) => block(index, 10 * KIB)).join(""));
  });

  it("does not touch the disk before it has to, and makes the directory then", async () => {
    const dir = join(await temporary(), "deep", "inside");
    const { service, back } = setUp({ spill: { dir }, fileSystem: undefined as never });
    put(service, A, "small");
    await new Promise(setImmediate);
    assert.equal(existsSync(dir), false);
    for (let index = 0; index < 100; index++) {
      await service.ready();
      put(service, A, block(index, 10 * KIB).toString());
    }
    assert.equal(existsSync(dir), true);
    back();
    await service.close();
  });

  it("bridges an hour without brokers and 1 GiB of appends: memory is bounded, and all of it comes, exact and in order", async () => {
    const RECORD = 64 * KIB;
    const JOURNALS = 4;
    const STEPS = 64;
    const PER_STEP = (16 * MIB) / RECORD;
    const template = Buffer.alloc(RECORD + 4096);
    for (let at = 0, seed = 1; at < template.length; at++) {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      template[at] = seed >>> 16;
    }
    const record = (journal: number, index: number): Buffer => {
      const start = (index * 31 + journal * 7) % 4096;
      return template.subarray(start, start + RECORD);
    };
    const clock = new StillClock();
    const broker = new FakeBroker();
    broker.plan = () => (clock.now < 3_600_000 ? { at: "write", error: unavailable() } : undefined);
    const positions = new Array<number>(JOURNALS).fill(0);
    broker.look = ({ request }, chunk) => {
      const journal = Number(request.journal.slice("journal/".length));
      for (let at = 0; at < chunk.length; ) {
        const position = positions[journal] as number;
        const within = position % RECORD;
        const size = Math.min(RECORD - within, chunk.length - at);
        const expected = record(journal, (position - within) / RECORD).subarray(within, within + size);
        if (expected.compare(chunk, at, at + size) !== 0) throw new Error(`wrong bytes at ${position}`);
        at += size;
        positions[journal] = position + size;
      }
    };
    const service = new AppendService(broker, {
      clock,
      random: middling,
      spill: { dir: await temporary() },
      onEvent: ({ type }) => assert.equal(type, "retry"),
    });
    const memory = (): number => {
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const before = memory();
    let most = 0;
    const measure = (): void => {
      most = Math.max(most, memory() - before);
    };
    const ops = new Set<AsyncAppend>();
    let index = 0;
    for (let step = 0; step < STEPS; step++) {
      for (let count = 0; count < PER_STEP; count++, index++) {
        await service.ready();
        const journal = index % JOURNALS;
        const op = service.startAppend({ journal: `journal/${journal}` });
        op.writer.write(record(journal, Math.floor(index / JOURNALS)));
        op.release();
        if (step === STEPS - 1) ops.add(op);
        if (count % 16 === 0) measure();
      }
      clock.advance(3_600_000 / STEPS);
    }
    assert.equal(clock.now, 3_600_000);
    assert.equal(service.usage.spilledBytes > 900 * MIB, true);
    assert.ok(broker.rpcs.length > JOURNALS * 10, "it was tried again and again");
    clock.advance(10_000);
    let settled = false;
    void service.close().then(() => {
      settled = true;
    });
    while (!settled) {
      measure();
      await new Promise(setImmediate);
    }
    for (const op of ops) assert.equal(await op.err(), undefined);
    assert.deepEqual(positions, new Array(JOURNALS).fill((STEPS * 16 * MIB) / JOURNALS));
    assert.deepEqual(service.usage, { memoryBytes: 0, spilledBytes: 0 });
    assert.ok(most < 224 * MIB, `${Math.round(most / MIB)} MiB were in use`);
  }, 120_000);
});
