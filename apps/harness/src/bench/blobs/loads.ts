/** The loads of one window: each prepares, is timed, and tells what it moved. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { type BlobStore, getMany, putMany, type Ref, refOf } from "@x/blob-replica";
import type { Call, Figures } from "./call.js";
import { blobsOf } from "./content.js";
import { catchUp, queueCosts, queuedPut } from "./queue-loads.js";
import type { Stores } from "./stores.js";
import { timed, together } from "./timing.js";

const RECORD_BYTES = 64;
const AT_ONCE = 64;

export async function runLoad(call: Call, stores: Stores): Promise<Figures> {
  const { operation, size, count, inFlight = 1 } = call;
  const blobs = blobsOf(count, size);
  switch (operation) {
    case "put":
      return writing(call, stores, (store) => together(blobs, inFlight, (blob) => store.put(blob)));
    case "put-many":
      return writing(call, stores, async (store) => {
        for (const { error } of await putMany(store, blobs)) if (error !== undefined) throw error;
      });
    case "get":
      return reading(call, stores, blobs, (store, refs) =>
        together(refs, inFlight, async (ref) =>
          check(await store.get(ref, { frozen: call.frozen ?? false }), size),
        ),
      );
    case "get-many":
      return reading(call, stores, blobs, async (store, refs) => {
        for await (const { blob, error } of getMany(store, refs)) {
          if (blob === undefined) throw error;
          check(blob, size);
        }
      });
    case "queued-put":
      return queuedPut(call, stores, blobs);
    case "queue-costs":
      return queueCosts(call, stores, blobs);
    case "catch-up":
      return catchUp(call, stores, blobs);
    case "sha256":
      return timed(call, async () => {
        for (const blob of blobs) createHash("sha256").update(blob).digest("hex");
      });
    case "file-put":
      return filePut(call, stores, blobs);
    case "file-put-many":
      return filePutMany(call, stores, blobs);
    case "file-append":
      return fileAppend(call, stores);
  }
}

/** Each round writes to a new store, so that what it writes is never there before. */
async function writing(
  call: Call,
  stores: Stores,
  run: (store: BlobStore) => Promise<unknown>,
): Promise<Figures> {
  const opened: BlobStore[] = [];
  for (let round = 0; round < (call.rounds ?? 1); round++) opened.push(await openStore(call, stores));
  return timed(call, async () => {
    // A round's store goes when it is over: no window holds more than one in memory.
    const store = opened.pop()!; // one for each round
    await run(store);
    await store[Symbol.asyncDispose]?.();
  });
}

async function reading(
  call: Call,
  stores: Stores,
  blobs: readonly Uint8Array[],
  run: (store: BlobStore, refs: readonly Ref[]) => Promise<unknown>,
): Promise<Figures> {
  const store = await openStore(call, stores);
  for (const { error } of await putMany(store, blobs)) if (error !== undefined) throw error;
  const refs = blobs.map(refOf);
  const figures = await timed(call, () => run(store, refs));
  await store[Symbol.asyncDispose]?.();
  return figures;
}

/** What a store costs at least that makes a file for each blob: one write and one fdatasync. Neither renames nor syncs names. */
async function filePut(call: Call, stores: Stores, blobs: readonly Uint8Array[]): Promise<Figures> {
  const folder = stores.newPath();
  await mkdir(folder, { recursive: true });
  let next = 0;
  return timed(call, () =>
    together(blobs, call.inFlight ?? 1, async (blob) => {
      const file = await open(join(folder, String(next++)), "wx");
      await file.write(blob);
      await file.datasync();
      await file.close();
    }),
  );
}

/**
 * What a batch costs at least in a directory store: new files, written and synced, folders for them, a rename to where each belongs, and a sync of each folder that has a
 * new name. Nothing is hashed in the time, or looked at.
 */
async function filePutMany(call: Call, stores: Stores, blobs: readonly Uint8Array[]): Promise<Figures> {
  const root = stores.newPath();
  const top = join(root, "blobs");
  await mkdir(top, { recursive: true });
  const files = blobs.map((blob, i) => {
    const ref = refOf(blob);
    const middle = join(top, ref.slice(0, 2));
    const folder = join(middle, ref.slice(0, 4));
    return { blob, temporary: join(root, String(i)), middle, folder, path: join(folder, ref) };
  });
  const folders = new Set(files.flatMap(({ middle, folder }) => [middle, folder]).concat(top));
  const as = <T>(start: (done: (error: Error | null, result?: T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) =>
      start((error, result) => (error ? reject(error) : resolve(result as T))),
    );
  return timed(call, async () => {
    await together(files, AT_ONCE, async ({ blob, temporary }) => {
      const fd = await as<number>((done) => fs.open(temporary, "wx", done));
      await as((done) => fs.write(fd, blob, done));
      await as((done) => fs.fdatasync(fd, done));
      fs.closeSync(fd);
    });
    await together(files, AT_ONCE, async ({ temporary, folder, path }) => {
      await as((done) => fs.mkdir(folder, { recursive: true }, done));
      await as((done) => fs.rename(temporary, path, done));
    });
    await together([...folders], AT_ONCE, async (folder) => {
      const fd = fs.openSync(folder, "r");
      await as((done) => fs.fsync(fd, done));
      fs.closeSync(fd);
    });
  });
}

/** What a queue on disk costs at least that is synced before it says so. */
async function fileAppend(call: Call, stores: Stores): Promise<Figures> {
  const file = await open(stores.newPath(), "wx");
  const record = Buffer.alloc(RECORD_BYTES, 1);
  const figures = await timed(call, async () => {
    for (let i = 0; i < call.count; i++) {
      await file.write(record);
      await file.datasync();
    }
  });
  await file.close();
  return figures;
}

function openStore({ store }: Call, stores: Stores): Promise<BlobStore> {
  if (store === undefined) throw new Error("this load needs a store");
  return stores.open(store);
}

function check(blob: Uint8Array, size: number): void {
  if (blob.length !== size) throw new Error(`a store gave ${blob.length} bytes of ${size}`);
}
