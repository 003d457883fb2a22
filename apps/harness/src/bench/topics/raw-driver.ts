import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { COMMIT, frameEnd, inFrames, inWhole, PUBLISH, READ, u32, u64 } from "../raw-wire.js";
import type { Driver, Reader } from "./driver.js";

/** The other end of `raw-log.ts`. What is published in one turn leaves in one write. */
export async function openRawDriver(port: number): Promise<Driver> {
  return new RawDriver(port, await dial(port, Buffer.of(PUBLISH)));
}

interface Waiting {
  readonly frames: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class RawDriver implements Driver {
  readonly #port: number;
  readonly #socket: Socket;
  #pieces: Buffer[] = [];
  #waiting: Waiting[] = [];
  /** Frames that are acknowledged, of those that wait. */
  #acknowledged = 0;
  #sentBytes = 0;
  /** Where the current topic begins in the one log. */
  #topicStart = 0;

  constructor(port: number, socket: Socket) {
    this.#port = port;
    this.#socket = socket;
    socket.on(
      "data",
      inWhole(4, (acks) => this.#onAcks(acks)),
    );
    socket.once("close", () => {
      for (const { reject } of this.#waiting) reject(new Error("the raw log closed the connection"));
    });
  }

  async useTopic(): Promise<void> {
    this.#topicStart = this.#sentBytes;
  }

  publish(data: Buffer): Promise<void> {
    return this.publishBatch([data]);
  }

  publishBatch(batch: readonly Buffer[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#pieces.length === 0) setImmediate(() => this.#flush());
      for (const data of batch) {
        this.#pieces.push(u32(data.length), data);
        this.#sentBytes += 4 + data.length;
      }
      this.#waiting.push({ frames: batch.length, resolve, reject });
    });
  }

  async openReader(): Promise<Reader> {
    const from = this.#topicStart;
    const commits = await dial(this.#port, Buffer.of(COMMIT));
    let data: Socket | undefined;
    return {
      read: async (deliver) => {
        const source = await dial(this.#port, Buffer.concat([Buffer.of(READ), u64(from)]));
        data = source;
        let position = from;
        let ended = false;
        await new Promise<void>((resolve, reject) => {
          const fail = (): void => reject(new Error("the raw log closed the connection"));
          commits.once("close", fail);
          source.once("close", () => ended || fail());
          const onFrames = inFrames((frames, count) => {
            if (ended) return;
            position += frames.length;
            commits.write(u64(position));
            if (deliver(count)) return;
            ended = true;
            source.destroy();
          });
          source.on("data", onFrames);
          const onCommits = inWhole(8, (positions) => {
            const committed = Number(positions.readBigUInt64LE(positions.length - 8));
            if (ended && committed >= position) resolve();
          });
          commits.on("data", onCommits);
        });
      },
      async [Symbol.asyncDispose]() {
        data?.destroy();
        commits.destroy();
      },
    };
  }

  async openLive(onMessage: (data: Uint8Array) => void): Promise<AsyncDisposable> {
    const source = await dial(this.#port, Buffer.concat([Buffer.of(READ), u64(this.#sentBytes)]));
    const commits = await dial(this.#port, Buffer.of(COMMIT));
    let position = this.#sentBytes;
    const onFrames = inFrames((frames) => {
      for (let start = 0; start < frames.length; ) {
        const end = frameEnd(frames, start);
        onMessage(frames.subarray(start + 4, end));
        start = end;
      }
      position += frames.length;
      commits.write(u64(position));
    });
    source.on("data", onFrames);
    commits.resume();
    return {
      async [Symbol.asyncDispose]() {
        source.destroy();
        commits.destroy();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }

  #flush(): void {
    this.#socket.write(Buffer.concat(this.#pieces));
    this.#pieces = [];
  }

  #onAcks(acks: Buffer): void {
    for (let at = 0; at < acks.length; at += 4) this.#acknowledged += acks.readUInt32LE(at);
    let done = 0;
    for (const { frames, resolve } of this.#waiting) {
      if (this.#acknowledged < frames) break;
      this.#acknowledged -= frames;
      done += 1;
      resolve();
    }
    this.#waiting = this.#waiting.slice(done);
  }
}

async function dial(port: number, hello: Buffer): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  socket.on("error", () => socket.destroy());
  socket.write(hello);
  return socket;
}
