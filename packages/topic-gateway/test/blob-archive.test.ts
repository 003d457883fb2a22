import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BlobError,
  type BlobStore,
  createReplica,
  directoryStore,
  memoryStore,
  type Replica,
} from "@x/blob-replica";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ArchiveNames, type BlobArchive, memoryNames, openBlobArchive } from "../src/blob.js";
import { TopicError } from "../src/errors.js";
import { codeOf, drain, hooked, NAME, put, readAll, refsOf, segment } from "./support/blob-world.js";

const chunkBytes = 4096;

describe("an archive whose process dies while it puts", () => {
  it.each([1, 2, 5, 9, 10, 11])(
    "has nothing of the segment after %d blobs, a later put works, and what was left is collected",
    async (putsBefore) => {
      const draft = segment(Array(40).fill(900)); // ten chunks and a manifest
      const store = memoryStore();
      const names = memoryNames();
      let puts = 0;
      const dying = openBlobArchive({
        store: hooked(store, (call) => {
          if (call === "put" && ++puts > putsBefore)
            throw new BlobError("unavailable", "the process is gone");
        }),
        names:
          putsBefore === 11
            ? { ...names, put: () => Promise.reject(new TopicError("unavailable", "gone")) }
            : names,
        chunkBytes,
      });
      expect(await codeOf(put(dying, NAME, draft))).toBe("unavailable");
      expect(await refsOf(store)).toHaveLength(putsBefore);

      const archive = openBlobArchive({ store, names, chunkBytes });
      expect(await codeOf(drain(archive.read(NAME, { lastSequence: 40 })))).toBe("log-missing");
      await put(archive, NAME, draft);
      await readAll(archive, NAME, draft);
      expect(await refsOf(store)).toHaveLength(putsBefore + 11);
      expect(await archive.collect()).toEqual({
        kept: 11,
        deleted: 0,
        waiting: putsBefore,
        failed: 0,
        skipped: 0,
      });
      expect(await archive.collect()).toEqual({
        kept: 11,
        deleted: putsBefore,
        waiting: 0,
        failed: 0,
        skipped: 0,
      });
      await readAll(archive, NAME, draft);
      expect(await refsOf(store)).toHaveLength(11);
    },
  );
});

describe("putting a segment", () => {
  it("keeps few blobs in memory, and waits for the store", async () => {
    const draft = segment(Array(300).fill(900));
    let running = 0;
    let most = 0;
    let pulled = 0;
    let stored = 0;
    const ahead: number[] = [];
    const archive = openBlobArchive({
      store: hooked(memoryStore(), async (call) => {
        if (call !== "put") return;
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        stored += 1;
      }),
      names: memoryNames(),
      chunkBytes,
    });
    async function* counted() {
      for await (const chunk of draft.chunks(4)) {
        pulled += 1;
        ahead.push(pulled - stored);
        yield chunk;
      }
    }
    await archive.put(NAME, counted(), { lastSequence: 300 });
    expect(most).toBe(8);
    expect(Math.max(...ahead)).toBeLessThanOrEqual(10);
    await readAll(archive, NAME, draft);
  });

  it("keeps few bytes in memory when its blobs are large", async () => {
    const draft = segment(Array(40).fill(1_000_000));
    let bytes = 0;
    let most = 0;
    const store = memoryStore();
    const archive = openBlobArchive({
      store: {
        ...hooked(store, () => {}),
        async put(blob, options) {
          bytes += blob.length;
          most = Math.max(most, bytes);
          await new Promise((resolve) => setImmediate(resolve));
          bytes -= blob.length;
          return await store.put(blob, options);
        },
      },
      names: memoryNames(),
      chunkBytes: 5_000_000,
    });
    await put(archive, NAME, draft);
    expect(most).toBeGreaterThan(10_000_000);
    expect(most).toBeLessThanOrEqual(16 * 1024 * 1024);
    await readAll(archive, NAME, draft);
  });

  it("again writes nothing when all of it is there, and all of it anew when something is missing", async () => {
    const draft = segment(Array(40).fill(900));
    const store = memoryStore();
    let puts = 0;
    const archive = openBlobArchive({
      store: hooked(store, (call) => {
        if (call === "put") puts += 1;
      }),
      names: memoryNames(),
      chunkBytes,
    });
    await put(archive, NAME, draft);
    await put(archive, NAME, draft);
    expect(puts).toBe(11);
    for (const what of ["XSEGDATA", "XSEGLIST"]) {
      const before = new Set(await refsOf(store));
      await archive.drop(NAME);
      await put(archive, NAME, draft);
      for (const ref of await refsOf(store)) {
        const isWanted = Buffer.from(await store.get(ref)).toString("latin1", 0, 8) === what;
        if (before.has(ref) || !isWanted) continue;
        await store.delete?.(ref);
        break;
      }
      expect(await codeOf(drain(archive.read(NAME, { lastSequence: 40 })))).toBe("corrupt");
      await put(archive, NAME, draft);
      await readAll(archive, NAME, draft);
    }
  });

  it("is refused under a name that has another last sequence, and the first one stays", async () => {
    const archive = openBlobArchive({ store: memoryStore(), names: memoryNames() });
    const draft = segment(2);
    await put(archive, NAME, draft);
    expect(await codeOf(put(archive, NAME, segment(1)))).toBe("log-exists");
    await readAll(archive, NAME, draft);
  });

  it("does not take frames of two logs for one segment", async () => {
    const [one, two] = [segment(3, 1), segment(3, 2)];
    one.frames[2] = two.frames[2]!;
    const archive = openBlobArchive({ store: memoryStore(), names: memoryNames() });
    expect(await codeOf(put(archive, NAME, one))).toBe("corrupt");
  });

  it("ends with the very reason of an abort, whatever it waits for, and nothing of it runs on", async () => {
    const draft = segment(Array(40).fill(900));
    for (const at of [1, 4, 11]) {
      const reason = { why: at };
      const controller = new AbortController();
      let puts = 0;
      let running = 0;
      const store = memoryStore();
      const waiting: BlobStore = {
        ...hooked(store, () => {}),
        async put(blob, options) {
          running += 1;
          try {
            if (++puts === at) controller.abort(reason);
            await new Promise((resolve) => setImmediate(resolve));
            return await store.put(blob, options);
          } finally {
            running -= 1;
          }
        },
      };
      const archive = openBlobArchive({ store: waiting, names: memoryNames(), chunkBytes });
      const options = { lastSequence: 40, signal: controller.signal };
      await expect(archive.put(NAME, draft.chunks(), options)).rejects.toBe(reason);
      expect(running).toBe(0);
      expect(await codeOf(drain(archive.read(NAME, { lastSequence: 40 })))).toBe("log-missing");
    }
  });

  it.each([0, 4095, 64 * 1024 * 1024 + 1, 5000.5])("is not possible in chunks of %d bytes", (bytes) => {
    expect(() =>
      openBlobArchive({ store: memoryStore(), names: memoryNames(), chunkBytes: bytes }),
    ).toThrowError(expect.objectContaining({ code: "invalid-argument" }));
  });
});

describe("reading a segment", () => {
  it("fetches what is asked for, and one blob ahead", async () => {
    const draft = segment(Array(40).fill(900)); // four messages to a chunk
    const fetched: string[] = [];
    const names = memoryNames();
    const archive = openBlobArchive({
      store: hooked(memoryStore(), (call, ref) => {
        if (call === "get") fetched.push(ref as string);
      }),
      names,
      chunkBytes,
    });
    await put(archive, NAME, draft);
    fetched.length = 0;
    await draft.expect(archive.read(NAME, { fromSequence: 18, lastSequence: 19 }), { from: 18, to: 19 });
    expect(fetched, "the manifest and one chunk").toHaveLength(2);
    fetched.length = 0;
    for await (const chunk of archive.read(NAME, { fromSequence: 18, lastSequence: 40 })) {
      expect(chunk).toMatchObject({ firstSequence: 18, count: 3 });
      break;
    }
    expect(fetched, "the manifest, one chunk and the next").toHaveLength(3);
  });

  it("goes on in what was archived anew when it comes upon damage", async () => {
    const draft = segment(Array(40).fill(900));
    const store = memoryStore();
    const names = memoryNames();
    const archive = openBlobArchive({ store, names, chunkBytes });
    await put(archive, NAME, draft);
    const old = await refsOf(store);
    const chunks = archive.read(NAME, { lastSequence: 40 })[Symbol.asyncIterator]();
    const first = await chunks.next();
    expect(first.value).toMatchObject({ firstSequence: 1, count: 4 });
    for (const ref of old) await store.delete?.(ref);
    await put(archive, NAME, draft);
    let next = 5;
    for (let { done, value } = await chunks.next(); !done; { done, value } = await chunks.next()) {
      expect(value.firstSequence).toBe(next);
      next += value.count;
    }
    expect(next).toBe(41);
  });

  it("that was dropped and collected meanwhile says that it is missing, and not that it is damaged", async () => {
    const draft = segment(Array(40).fill(900));
    const archive = openBlobArchive({ store: memoryStore(), names: memoryNames(), chunkBytes });
    await put(archive, NAME, draft);
    const chunks = archive.read(NAME, { lastSequence: 40 })[Symbol.asyncIterator]();
    await chunks.next();
    await archive.drop(NAME);
    await archive.collect();
    await archive.collect();
    const rest = (async () => {
      while (!(await chunks.next()).done);
    })();
    expect(await codeOf(rest)).toBe("log-missing");
  });

  it("notices every flipped bit, of chunks and manifests alike", async () => {
    const draft = segment([10, 60, 3, 0, 40]);
    const names = memoryNames();
    const blobs = new Map<string, Uint8Array>();
    // A store that looks at nothing.
    const store: BlobStore = {
      async get(ref) {
        return Uint8Array.from(blobs.get(ref) as Uint8Array);
      },
      async put(blob, { ref } = {}) {
        blobs.set(ref as string, Uint8Array.from(blob));
        return { ref: ref!, added: true };
      },
      async *listRefs() {},
    };
    const archive = openBlobArchive({ store, names });
    await put(archive, NAME, draft);
    expect(blobs.size).toBe(2);
    for (const blob of blobs.values()) {
      for (let at = 0; at < blob.length; at++) {
        // The four reserved bytes of a chunk say nothing.
        if (at >= 12 && at < 16 && Buffer.from(blob).toString("latin1", 0, 8) === "XSEGDATA") continue;
        blob[at] = (blob[at] as number) ^ (1 << (at % 8));
        const error = await drain(archive.read(NAME, { lastSequence: 5 })).catch((caught) => caught);
        expect(error, `byte ${at}`).toMatchObject({
          code: "corrupt",
          message: expect.stringContaining(NAME),
        });
        blob[at] = (blob[at] as number) ^ (1 << (at % 8));
      }
    }
    await readAll(archive, NAME, draft);
  });

  it("of a store that is away is unavailable, and not damaged", async () => {
    let away = false;
    const archive = openBlobArchive({
      store: hooked(memoryStore(), (call) => {
        if (call === "get" && away) throw new BlobError("unavailable", "away");
      }),
      names: memoryNames(),
    });
    const draft = segment(5);
    await put(archive, NAME, draft);
    away = true;
    expect(await codeOf(readAll(archive, NAME, draft))).toBe("unavailable");
    expect(await codeOf(put(archive, NAME, draft))).toBe("unavailable");
    expect(await codeOf(archive.collect())).toBe("unavailable");
    away = false;
    await readAll(archive, NAME, draft);
  });
});

describe("an archive in two folders", () => {
  let folder: string;
  let replica: Replica;
  let archive: BlobArchive;
  let names: ArchiveNames;
  const draft = segment(Array(40).fill(900));
  const disk = (name: string) => ({ name, store: directoryStore(join(folder, name)) });
  const files = async (name: string): Promise<string[]> =>
    (await readdir(join(folder, name), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "blob-archive-"));
    replica = await createReplica({ sync: [disk("1"), disk("2")] });
    names = memoryNames();
    archive = openBlobArchive({ store: replica, names, chunkBytes });
    await put(archive, NAME, draft);
  });
  afterEach(async () => {
    await replica[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it("has every blob in both", async () => {
    expect(await files("1")).toHaveLength(11);
    expect(await files("2")).toHaveLength(11);
  });

  it("reads right when blobs of one are damaged or gone, and heals them", async () => {
    const good = new Map(
      await Promise.all((await files("1")).map(async (file) => [file, await readFile(file)] as const)),
    );
    for (const [i, [file, bytes]] of [...good].entries()) {
      if (i % 2 === 0) await rm(file);
      else await writeFile(file, Buffer.from(bytes).fill(0, bytes.length >> 1));
    }
    await readAll(archive, NAME, draft);
    // A new replica asks the first store first, until that is found to be damaged.
    await expect
      .poll(
        async () => {
          await using fresh = await createReplica({ sync: [disk("1"), disk("2")] });
          await readAll(openBlobArchive({ store: fresh, names }), NAME, draft);
          for await (const { sync } of fresh.states())
            if (sync.every(({ repairBacklog }) => repairBacklog === 0)) break;
          const now = await Promise.all(
            [...good.keys()].map((file) => readFile(file).catch(() => undefined)),
          );
          return [...good.values()].every((bytes, i) => now[i]?.equals(bytes));
        },
        { timeout: 20_000 },
      )
      .toBe(true);
  });

  it("is read on when one folder is gone, and says so when both are", async () => {
    await rm(join(folder, "1"), { recursive: true });
    const reader = openBlobArchive({
      store: await createReplica({
        sync: ["1", "2"].map((name) => ({
          name,
          store: directoryStore(join(folder, name), { create: false }),
        })),
      }),
      names,
    });
    await readAll(reader, NAME, draft);
    await rm(join(folder, "2"), { recursive: true });
    expect(await codeOf(readAll(reader, NAME, draft))).toBe("unavailable");
  });

  it("is damaged when a blob is damaged in both, and says which messages", async () => {
    for (const file of [...(await files("1")), ...(await files("2"))]) {
      const bytes = await readFile(file);
      if (bytes.toString("latin1", 0, 8) === "XSEGDATA") await writeFile(file, bytes.fill(0, 100));
    }
    const error = await drain(archive.read(NAME, { fromSequence: 7, lastSequence: 40 })).catch(
      (caught) => caught,
    );
    expect(error).toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(
        /^of the archived segment orders\/3\/\S+ the blob where sequence 5 should be is lost/,
      ),
    });
  });
});
