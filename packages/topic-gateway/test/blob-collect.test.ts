import { type BlobStore, memoryStore, type Ref } from "@x/blob-replica";
import { describe, expect, it } from "vitest";
import { type ArchiveNames, memoryNames, openBlobArchive } from "../src/blob.js";
import { TopicError } from "../src/errors.js";
import { chanceOf, codeOf, hooked, NAME, put, readAll, refsOf, segment } from "./support/blob-world.js";

const chunkBytes = 4096;
const draft = segment(Array(40).fill(900)); // ten chunks and a manifest

/** Something to wait for, and to open. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe("collecting the garbage of an archive", () => {
  it("deletes what a dropped segment had with the second call, and nothing of the others", async () => {
    const store = memoryStore();
    const archive = openBlobArchive({ store, names: memoryNames(), chunkBytes });
    const kept = "orders/3/139000000000000001_0-63";
    await put(archive, NAME, draft);
    await put(archive, kept, draft);
    expect(await archive.collect()).toEqual({ kept: 22, deleted: 0, waiting: 0, failed: 0, skipped: 0 });
    await archive.drop(NAME);
    expect(await archive.collect()).toEqual({ kept: 11, deleted: 0, waiting: 11, failed: 0, skipped: 0 });
    await readAll(archive, kept, draft);
    expect(await archive.collect()).toEqual({ kept: 11, deleted: 11, waiting: 0, failed: 0, skipped: 0 });
    expect(await refsOf(store)).toHaveLength(11);
    await readAll(archive, kept, draft);
  });

  it("keeps what a put of the same archive has put so far, however often it is called", async () => {
    const store = memoryStore();
    const half = gate();
    const go = gate();
    let puts = 0;
    const archive = openBlobArchive({
      store: hooked(store, async (call) => {
        if (call !== "put" || ++puts !== 6) return;
        half.open();
        await go.opened;
      }),
      names: memoryNames(),
      chunkBytes,
    });
    const putting = put(archive, NAME, draft);
    await half.opened;
    for (let i = 0; i < 3; i++) expect(await archive.collect()).toMatchObject({ deleted: 0, waiting: 0 });
    go.open();
    await putting;
    await readAll(archive, NAME, draft);
  });

  it("does not disturb a put of the same archive that begins as it does", async () => {
    const inner = memoryNames();
    const asked = gate();
    const go = gate();
    let calls = 0;
    const names: ArchiveNames = {
      ...inner,
      async generation() {
        const generation = await inner.generation();
        if (++calls === 1) {
          asked.open();
          await go.opened;
        }
        return generation;
      },
    };
    const archive = openBlobArchive({ store: memoryStore(), names, chunkBytes });
    const putting = put(archive, NAME, draft);
    await asked.opened;
    await archive.collect();
    go.open();
    await putting;
    await readAll(archive, NAME, draft);
  });

  it("lets a put of another process fail rather than name what may be gone, and its next try works", async () => {
    const store = memoryStore();
    const names = memoryNames();
    const half = gate();
    const go = gate();
    let puts = 0;
    const other = openBlobArchive({
      store: hooked(store, async (call) => {
        if (call !== "put" || ++puts !== 11) return;
        half.open();
        await go.opened;
      }),
      names,
      chunkBytes,
    });
    const collecting = openBlobArchive({ store, names, chunkBytes });
    const putting = codeOf(put(other, NAME, draft));
    await half.opened;
    expect(await collecting.collect()).toEqual({ kept: 0, deleted: 0, waiting: 10, failed: 0, skipped: 0 });
    expect(await collecting.collect()).toEqual({ kept: 0, deleted: 10, waiting: 0, failed: 0, skipped: 0 });
    go.open();
    expect(await putting).toBe("unavailable");
    expect(await names.get(NAME)).toBeUndefined();
    await put(other, NAME, draft);
    await readAll(collecting, NAME, draft);
  });

  it("goes on when some of it can't be deleted, says so, and deletes that the next time", async () => {
    const store = memoryStore();
    const away = new Error("the disk is away");
    let broken = 3;
    const archive = openBlobArchive({
      store: hooked(store, (call) => {
        if (call === "delete" && broken-- > 0) throw away;
      }),
      names: memoryNames(),
      chunkBytes,
    });
    await put(archive, NAME, draft);
    await archive.drop(NAME);
    await archive.collect();
    expect(await archive.collect()).toEqual({
      kept: 0,
      deleted: 8,
      waiting: 3,
      failed: 3,
      skipped: 0,
      firstFailure: away,
    });
    expect(await archive.collect()).toEqual({ kept: 0, deleted: 3, waiting: 0, failed: 0, skipped: 0 });
    expect(await refsOf(store)).toEqual([]);
  });

  it("tells what it did not try any more when one delete after the other failed, and deletes that the next time", async () => {
    const store = memoryStore();
    let isAway = true;
    const archive = openBlobArchive({
      store: hooked(store, (call) => {
        if (call === "delete" && isAway) throw new Error("the disk is away");
      }),
      names: memoryNames(),
      chunkBytes,
    });
    const large = segment(Array(600).fill(900));
    await put(archive, NAME, large);
    await archive.drop(NAME);
    await archive.collect();
    const garbage = (await refsOf(store)).length;
    const { deleted, waiting, failed, skipped } = await archive.collect();
    expect({ deleted, waiting }).toEqual({ deleted: 0, waiting: garbage });
    expect(failed).toBeGreaterThanOrEqual(100);
    expect(skipped).toBeGreaterThan(0);
    expect(failed + skipped).toBe(garbage);
    isAway = false;
    expect(await archive.collect()).toEqual({
      kept: 0,
      deleted: garbage,
      waiting: 0,
      failed: 0,
      skipped: 0,
    });
  });

  it("leaves alone what another process began to put after it began", async () => {
    const store = memoryStore();
    const names = memoryNames();
    const listing = gate();
    const go = gate();
    const slow: BlobStore = {
      ...hooked(store, () => {}),
      async *listRefs(after, options) {
        listing.open();
        await go.opened;
        yield* store.listRefs(after, options);
      },
    };
    const collecting = openBlobArchive({ store: slow, names, chunkBytes });
    await put(openBlobArchive({ store, names, chunkBytes }), "orders/3/1_0-63", draft);
    await collecting.drop("orders/3/1_0-63");
    const collected = collecting.collect();
    await listing.opened;
    // All of it behind the collection's last look at the names.
    await put(openBlobArchive({ store, names, chunkBytes }), NAME, draft);
    go.open();
    expect(await collected).toMatchObject({ deleted: 0, waiting: 22 });
    expect(await collecting.collect()).toEqual({ kept: 11, deleted: 11, waiting: 0, failed: 0, skipped: 0 });
    await readAll(collecting, NAME, draft);
  });

  it("deletes nothing while a manifest that has a name is missing or damaged", async () => {
    const store = memoryStore();
    const names = memoryNames();
    const archive = openBlobArchive({ store, names, chunkBytes });
    await put(archive, NAME, draft);
    await put(archive, "orders/3/1_0-63", draft);
    const { manifest } = (await names.get(NAME))!;
    await archive.drop("orders/3/1_0-63");
    await archive.collect();
    const blob = await store.get(manifest);
    await store.delete?.(manifest);
    expect(await codeOf(archive.collect())).toBe("corrupt");
    expect(await refsOf(store)).toHaveLength(21);
    await store.put(blob);
    expect(await archive.collect()).toMatchObject({ kept: 11, deleted: 11 });
  });

  it("runs once at a time, ends with the reason of an abort, and needs a store that deletes", async () => {
    const store = memoryStore();
    const archive = openBlobArchive({ store, names: memoryNames(), chunkBytes });
    const first = archive.collect();
    expect(await codeOf(archive.collect())).toBe("unavailable");
    await first;
    const reason = { why: "enough" };
    await expect(archive.collect({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const { delete: _, ...rest } = hooked(store, () => {});
    const stuck = openBlobArchive({ store: rest, names: memoryNames() });
    expect(await codeOf(stuck.collect())).toBe("invalid-argument");
  });
});

/**
 * Several processes put, drop, read and collect at once, over one store and one set of names whose every call takes its time; some puts die in
 * the middle. Whatever order that makes, what has a name can be read, and in the end nothing is left but that.
 */
describe("several processes with one archive", () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))(
    "lose nothing and leave nothing (seed %d)",
    async (seed) => {
      const chance = chanceOf(seed);
      const pick = (count: number): number => Math.floor(chance() * count);
      const pause = async (): Promise<void> => {
        for (let turns = pick(6); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      };
      const inner = memoryStore();
      const deleted: Ref[] = [];
      const innerNames = memoryNames();
      const slowNames = (): ArchiveNames => {
        const around = async <T>(call: () => Promise<T>): Promise<T> => {
          await pause();
          const result = await call();
          await pause();
          return result;
        };
        return {
          get: (name) => around(() => innerNames.get(name)),
          put: (name, entry, options) => around(() => innerNames.put(name, entry, options)),
          delete: (name) => around(() => innerNames.delete(name)),
          async *list() {
            for await (const entry of innerNames.list()) {
              await pause();
              // Deleted since: a list need not have it.
              if (await innerNames.get(entry.name)) yield entry;
            }
          },
          generation: () => around(() => innerNames.generation()),
          nextGeneration: (from) => around(() => innerNames.nextGeneration(from)),
        };
      };
      const process = () => {
        const store: BlobStore = {
          ...hooked(inner, pause),
          async delete(ref) {
            await pause();
            deleted.push(ref);
            return (await inner.delete?.(ref)) ?? false;
          },
        };
        return openBlobArchive({ store, names: slowNames(), chunkBytes });
      };
      const archives = [process(), process(), process()];
      const names = ["orders/3/1_0-63", "orders/3/2_0-63", "orders/3/3_0-63"];
      const small = segment(Array(9).fill(900));
      const seen = { put: 0, refused: 0, died: 0, read: 0, collected: 0 };

      const putting = async (): Promise<void> => {
        for (let i = 0; i < 12; i++) {
          const archive = archives[pick(3)]!;
          const name = names[pick(3)]!;
          const dies = chance() < 0.25;
          const source = async function* () {
            for await (const chunk of small.chunks(2)) {
              if (dies && chunk.firstSequence > 6) throw new TopicError("closed", "dead");
              yield chunk;
            }
          };
          const code = await codeOf(archive.put(name, source(), { lastSequence: 9 }));
          if (code === "none") seen.put += 1;
          else if (code === "unavailable") seen.refused += 1;
          else seen.died += 1;
          await pause();
          if (chance() < 0.4) await archive.drop(name);
        }
      };
      const reading = async (): Promise<void> => {
        for (let i = 0; i < 40; i++) {
          const code = await codeOf(readAll(archives[pick(3)]!, names[pick(3)]!, small));
          expect(["none", "log-missing"]).toContain(code);
          if (code === "none") seen.read += 1;
        }
      };
      const collecting = async (archive: (typeof archives)[number]): Promise<void> => {
        for (let i = 0; i < 8; i++) {
          // A manifest of a segment that is dropped meanwhile may be gone when it is looked at: then nothing is deleted.
          const code = await codeOf(archive.collect());
          expect(["none", "corrupt"]).toContain(code);
          if (code === "none") seen.collected += 1;
          await pause();
        }
      };
      await Promise.all([putting(), putting(), reading(), ...archives.slice(0, 2).map(collecting)]);
      expect(seen.put).toBeGreaterThan(0);
      expect(seen.collected).toBeGreaterThan(0);

      const last = archives[2]!;
      let wanted = 0;
      for (const name of names) {
        if (!(await innerNames.get(name))) continue;
        wanted += 4; // three chunks and a manifest
        await readAll(last, name, small);
      }
      await last.collect();
      await last.collect();
      expect(await refsOf(inner)).toHaveLength(wanted);
      for (const name of names) if (await innerNames.get(name)) await readAll(last, name, small);
      expect(deleted.length).toBeGreaterThan(0);
    },
  );
});
