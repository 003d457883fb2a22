import { openEmbeddedCoord } from "@x/coord/embedded";
import { grpcBuffers } from "@x/topic-gateway";
import { messagesInFrames, parseTopicName, rangeSizeKey } from "@x/topic-gateway/protocol";
import { expect, it } from "vitest";
import { type BufferEvent, createBufferServer, openBuffer } from "../src/index.js";
import { MemoryFiles } from "./support/memory-files.js";
import { MemoryArchive, MemoryLogDisk, MemoryLogs } from "./support/memory-logs.js";
import { entriesOf, rangeOfKey, topic } from "./support/world.js";

it("gives the smallest messages of the largest batch to a reader over gRPC", async () => {
  await using coord = await openEmbeddedCoord({ directory: "/coord", fileSystem: new MemoryFiles() });
  await coord.txn({ then: [{ type: "put", key: rangeSizeKey(parseTopicName(topic)), value: "16" }] });
  await using server = await createBufferServer({ address: "127.0.0.1:0" });
  let tell = (_: BufferEvent & { type: "opened" }): void => {};
  const open = new Promise<BufferEvent & { type: "opened" }>((resolve) => {
    tell = resolve;
  });
  await using node = await openBuffer({
    id: "a",
    address: server.address,
    coord,
    logs: new MemoryLogs(new MemoryLogDisk()),
    archive: new MemoryArchive(),
    // Half a million messages in one turn take a slow machine seconds.
    leaseTtlMs: 60_000,
    onEvent: (event) => event.type === "opened" && tell(event),
  });
  server.serve(node);
  const { epoch, segment } = await open;
  await using connection = grpcBuffers()(server.address);

  // As many as a batch may hold: in the log each of them is almost four times as large.
  const one = entriesOf([{ key: "k", data: "" }]);
  const count = Math.floor((8 * 1024 * 1024) / one.length);
  const entries = Buffer.alloc(count * one.length);
  for (let i = 0; i < count; i++) entries.set(one, i * one.length);
  async function* batches() {
    yield { lane: 1, open: { topic, range: rangeOfKey("k", 16), epoch }, batch: 1, entries };
  }
  let acknowledged = 0;
  for await (const reply of connection.publish(batches())) {
    expect(reply.type).toBe("ack");
    if (reply.type === "ack") for (const run of reply.runs) acknowledged += run.count;
  }
  expect(acknowledged).toBe(count);

  let next = 1;
  let largest = 0;
  for await (const chunk of connection.read({ segment, fromSequence: 1 })) {
    expect(chunk.firstSequence).toBe(next);
    const [first] = messagesInFrames(chunk.frames);
    expect(first?.sequence).toBe(next);
    next += chunk.count;
    largest = Math.max(largest, chunk.frames.length);
    if (next > count) break;
  }
  expect(largest).toBeLessThanOrEqual(256 * 1024);
});
