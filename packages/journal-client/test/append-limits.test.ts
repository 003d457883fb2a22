import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import {
  AppendService,
  isJournalError,
  JournalClient,
  type RoutedJournalClient,
  type SpillFile,
  type SpillFiles,
} from "../src/index.js";
import { counting, FakeBroker, HastyClock, put } from "./append-support.js";
import { StubBroker } from "./support/stub-broker.js";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
}

/** A disk that keeps no byte, and counts them. */
class CountingFiles implements SpillFiles {
  bytes = 0;

  async sweep(): Promise<void> {}

  async create(): Promise<SpillFile> {
    let own = 0;
    return {
      write: async (parts, position) => {
        for (const { length } of parts) own += length;
        for (const { length } of parts) this.bytes += length;
        assert.equal(position + parts.reduce((sum, { length }) => sum + length, 0), own);
      },
      read: async () => assert.fail("nothing is sent in this test"),
      close: async () => {
        this.bytes -= own;
      },
    };
  }
}

describe("AppendService with files, by default", () => {
  it("keeps up to 8 GiB in them, and what comes then in memory, until that is full too", async () => {
    const broker = new FakeBroker();
    broker.look = () => {};
    const stop = new AbortController();
    const files = new CountingFiles();
    const service = new AppendService(broker, {
      clock: new HastyClock(),
      random: counting(),
      signal: stop.signal,
      spill: { dir: "somewhere" },
      fileSystem: files,
    });
    broker.hold();
    const piece = Buffer.alloc(16 * MIB);
    const write = (bytes: Uint8Array): void => {
      const op = service.startAppend({ journal: "journal/A" });
      try {
        op.writer.write(bytes);
      } catch (error) {
        assert.throws(() => op.release());
        throw error;
      }
      op.release();
    };
    const isFull = (error: unknown): boolean => isJournalError(error, "buffer-full");
    let written = 0;
    for (let full = false; !full; ) {
      // Until nothing more goes to the disk.
      for (let before = -1; before < service.usage.spilledBytes; await turns(3)) {
        before = service.usage.spilledBytes;
      }
      try {
        write(piece);
        written += piece.length;
      } catch (error) {
        assert.ok(isFull(error), String(error));
        full = true;
      }
      assert.ok(written <= 9 * GIB, "there is no end");
    }
    assert.deepEqual(service.usage, { memoryBytes: 128 * MIB, spilledBytes: 8 * GIB });
    assert.equal(files.bytes, 8 * GIB);
    assert.equal(written, 8 * GIB + 128 * MIB);
    assert.throws(() => write(Buffer.alloc(1)), isFull);
    stop.abort(new Error("enough"));
    await service.close();
  }, 60_000);
});

/** Reads nothing, and grants what HTTP/2 grants by default: up to 64 KiB for each RPC, and for all of them. */
async function deafBroker(): Promise<{
  readonly client: JournalClient;
  readonly close: () => Promise<void>;
}> {
  const server = createServer();
  server.on("stream", (stream) => stream.on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client = new JournalClient({ endpoints: `http://127.0.0.1:${port}` });
  const close = async (): Promise<void> => {
    await client.close();
    server.close();
  };
  return { client, close };
}

describe("AppendService over gRPC, when the broker takes nothing", () => {
  it("has each RPC hold 1 MiB of its content at most, besides the memory that it counts", async () => {
    const { client, close } = await deafBroker();
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    try {
      /** What each RPC has taken from the service. */
      const taken = new Map<string, number>();
      const listened: Pick<RoutedJournalClient, "openAppend"> = {
        openAppend: (request, options) => {
          const stream = client.openAppend(request, options);
          return {
            write: async (content) => {
              const goesOn = await stream.write(content);
              taken.set(request.journal, (taken.get(request.journal) ?? 0) + content.length);
              return goesOn;
            },
            commit: () => stream.commit(),
            abort: () => stream.abort(),
          };
        },
      };
      // A service asks nothing else of its client but routes, which are none here.
      const service = new AppendService(Object.assign(new FakeBroker(), listened), { signal: stop.signal });
      const journals = Array.from({ length: 30 }, (_, index) => `a/journal-${index}`);
      const content = Buffer.alloc(2 * MIB);
      for (const journal of journals) {
        await service.ready();
        const op = service.startAppend({ journal });
        op.writer.write(content);
        op.release();
      }
      const least = (): number => Math.min(...journals.map((journal) => taken.get(journal) ?? 0));
      while (least() < MIB / 4) await turns(1);
      await turns(50);
      const most = Math.max(...taken.values());
      assert.ok(most <= MIB, `an RPC has taken ${most} bytes`);
      assert.equal(service.usage.memoryBytes, 60 * MIB);
      stop.abort(new Error("enough"));
      await service.close();
    } finally {
      await close();
    }
  }, 30_000);

  it("lets appends go on into files, though each journal has an RPC that waits", async () => {
    const { client, close } = await deafBroker();
    const stop = new AbortController();
    const dir = await mkdtemp(join(tmpdir(), "x-append-limits-"));
    try {
      const service = client.appendService({ signal: stop.signal, maxMemoryBytes: 2 * MIB, spill: { dir } });
      const content = Buffer.alloc(1.25 * MIB);
      let most = 0;
      // Were a chunk of each in memory until it is taken, 64 of them would fill it.
      for (let index = 0; index < 100; index++) {
        await service.ready();
        const op = service.startAppend({ journal: `a/journal-${index}` });
        op.writer.write(content);
        op.release();
        await turns(5);
        most = Math.max(most, service.usage.memoryBytes);
      }
      await service.ready();
      assert.ok(most <= 4 * MIB, `${most} bytes were in memory`);
      assert.ok(service.usage.spilledBytes >= 120 * MIB);
      stop.abort(new Error("enough"));
      await service.close();
    } finally {
      await close();
      await rm(dir, { recursive: true });
    }
  }, 30_000);
});

describe("AppendService with a signal", () => {
  it("has Node warn of no leak when it appends to many journals at the same time", async () => {
    const warnings: string[] = [];
    const listen = ({ name }: Error): void => void warnings.push(name);
    process.on("warning", listen);
    const stop = new AbortController();
    await using broker = await StubBroker.start();
    const client = new JournalClient({ endpoints: broker.endpoint });
    try {
      const service = client.appendService({ signal: stop.signal });
      for (let index = 0; index < 20; index++) {
        broker.create(`a/journal-${index}`, "");
        put(service, `a/journal-${index}`, "x");
      }
      await service.close();
      await turns(1);
      assert.deepEqual(warnings, []);
    } finally {
      process.off("warning", listen);
      await client.close();
    }
  });
});
