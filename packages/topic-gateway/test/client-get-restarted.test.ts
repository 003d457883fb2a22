import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Coord, CoordError } from "@x/coord";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { expect, it } from "vitest";
import { type BufferOptions, openBuffer } from "../../topic-buffer/src/index.js";
import { openLocalArchive, openLocalSegmentLog } from "../../topic-buffer/src/local.js";
import { TopicClient } from "../src/client.js";

/** A coord that says nothing any more from `kill` on, as to a process that is gone; to clean up after it there is `bury`. */
function mortal(coord: Coord): { readonly coord: Coord; kill(): void; bury(): void } {
  let dead = false;
  let bury = (): void => {};
  const buried = new Promise<never>((_, reject) => {
    bury = () => reject(new CoordError("closed", "the process is gone"));
  });
  buried.catch(() => {});
  const proxy = new Proxy(coord, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => (dead ? buried : Reflect.apply(value, target, args));
    },
  });
  return {
    coord: proxy,
    kill() {
      dead = true;
    },
    bury,
  };
}

it("finds a message whose buffer was killed and started again at the same address, before the old lease has run out", async () => {
  const directory = await mkdtemp(join(tmpdir(), "get-restarted-"));
  const coord = await openEmbeddedCoord({ directory: join(directory, "coord") });
  const logs = await openLocalSegmentLog({ directory: join(directory, "segments") });
  const archive = await openLocalArchive({ directory: join(directory, "archive") });
  const first = mortal(coord);
  const options: BufferOptions = { id: "b", address: "127.0.0.1:1", coord, logs, archive, leaseTtlMs: 2_000 };
  const old = await openBuffer({ ...options, coord: first.coord });
  let buffer = old;
  const client = await TopicClient.open({
    coord,
    archive,
    connect: () => ({
      publish: (batches, call) => buffer.publish(batches, call),
      read: (request, call) => buffer.read(request, call),
      getMany: (topic, keys, call) => buffer.getMany(topic, keys, call),
      describe: (topic, call) => buffer.describe(topic, call),
      async [Symbol.asyncDispose]() {},
    }),
  });
  try {
    await client.topics.add("t", 16);
    const id = await client.publish("t", { key: "k", data: "durable" });
    first.kill();
    buffer = await openBuffer(options);
    // The records still name the old one, at that address.
    expect((await client.get("t", "k", { timeoutMs: 30_000 }))?.id).toBe(id);
  } finally {
    await client.close();
    first.bury();
    await Promise.all([buffer.close(), old.close()]);
    await coord.close();
    await rm(directory, { recursive: true });
  }
}, 60_000);
