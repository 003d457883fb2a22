#!/usr/bin/env node
/**
 * The limit row: a log of length-prefixed messages over TCP that does nothing else. What has arrived is written and synced
 * together, and acknowledged after that. Run as `node raw-log.js FILE`; prints `READY port=N pid=N`.
 *
 * A connection begins with one byte. "P" publishes: frames come in, u32 counts of frames that are durable go out. "S" and a
 * u64 offset read: the durable bytes from there on go out. "C" commits: u64 positions come in, and go out once durable.
 */
import { open } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { inFrames, inWhole, PUBLISH, READ, u32 } from "./raw-wire.js";

const path = process.argv[2];
if (path === undefined) throw new Error("usage: raw-log FILE");
const log = await open(path, "w+");
const commits = await open(`${path}.commits`, "w+");
const READ_BYTES = 1 << 20;

interface Publisher {
  readonly socket: Socket;
  /** Complete frames that arrived and are not yet being written. */
  waiting: Buffer[];
  frames: number;
}

let durable = 0;
let committing = false;
const publishers = new Set<Publisher>();
const readers = new Set<() => void>();

/** Group commit: one write and one sync take along all that came while the one before was on its way. */
async function commit(): Promise<void> {
  if (committing) return;
  committing = true;
  for (;;) {
    const taken = [...publishers].filter(({ frames }) => frames > 0);
    if (taken.length === 0) break;
    const acks = taken.map(({ socket, frames }) => ({ socket, ack: u32(frames) }));
    const bytes = taken.flatMap(({ waiting }) => waiting);
    for (const publisher of taken) Object.assign(publisher, { waiting: [], frames: 0 });
    const { bytesWritten } = await log.writev(bytes, durable);
    await log.datasync();
    durable += bytesWritten;
    for (const { socket, ack } of acks) socket.write(ack);
    for (const wake of readers) wake();
  }
  committing = false;
}

function publish(socket: Socket): (data: Buffer) => void {
  const publisher: Publisher = { socket, waiting: [], frames: 0 };
  publishers.add(publisher);
  socket.once("close", () => publishers.delete(publisher));
  return inFrames((frames, count) => {
    publisher.waiting.push(frames);
    publisher.frames += count;
    void commit();
  });
}

function sendFrom(socket: Socket, from: number): void {
  let offset = from;
  let sending = false;
  const send = async (): Promise<void> => {
    if (sending) return;
    sending = true;
    while (offset < durable && !socket.destroyed) {
      const length = Math.min(READ_BYTES, durable - offset);
      const { buffer, bytesRead } = await log.read(Buffer.allocUnsafe(length), 0, length, offset);
      offset += bytesRead;
      if (!socket.write(buffer.subarray(0, bytesRead))) await drained(socket);
    }
    sending = false;
  };
  const wake = (): void => void send();
  readers.add(wake);
  socket.once("close", () => readers.delete(wake));
  wake();
}

function storePositions(socket: Socket): (data: Buffer) => void {
  let latest: Buffer | undefined;
  let storing = false;
  const store = async (): Promise<void> => {
    if (storing) return;
    storing = true;
    for (let position = latest; position !== undefined; position = latest) {
      latest = undefined;
      await commits.write(position, 0, 8, 0);
      await commits.datasync();
      socket.write(position);
    }
    storing = false;
  };
  return inWhole(8, (positions) => {
    latest = positions.subarray(-8);
    void store();
  });
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("drain", resolve);
    socket.once("close", resolve);
  });
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  socket.once("data", (hello) => {
    if (hello[0] === READ) return sendFrom(socket, Number(hello.readBigUInt64LE(1)));
    const receive = hello[0] === PUBLISH ? publish(socket) : storePositions(socket);
    if (hello.length > 1) receive(hello.subarray(1));
    socket.on("data", receive);
  });
});
server.listen(0, "127.0.0.1", () => {
  console.log(`READY port=${(server.address() as AddressInfo).port} pid=${process.pid}`);
});
