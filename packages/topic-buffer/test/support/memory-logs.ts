import {
  continueChain,
  type FrameChain,
  type FrameChunk,
  frameLinks,
  type ReadLogOptions,
  readFrame,
  type SegmentArchive,
  type SegmentEnd,
  type SegmentLogStore,
  type SegmentLogWriter,
  TopicError,
} from "@x/topic-gateway/protocol";

interface MemoryLog {
  bytes: Buffer;
  sealed: boolean;
}

/** What several buffers share: a folder of logs. */
export class MemoryLogDisk {
  readonly logs: Map<string, MemoryLog> = new Map();
  readonly id: string;

  constructor(id = "disk") {
    this.id = id;
  }
}

export type LogCall = "create" | "append" | "appended" | "seal" | "sealed" | "read" | "drop";

/** One process's view of the disk. `hook` comes before each call (and after append and seal); it may throw or never come back. */
export class MemoryLogs implements SegmentLogStore {
  readonly id: string;
  readonly #disk: MemoryLogDisk;
  hook: (call: LogCall, name: string) => Promise<void> = async () => {};

  constructor(disk: MemoryLogDisk) {
    this.id = disk.id;
    this.#disk = disk;
  }

  owns(name: string): boolean {
    return name.startsWith(`${this.id}/`);
  }

  async create(name: string, headerFrame: Buffer): Promise<SegmentLogWriter> {
    await this.#call("create", name);
    if (this.#disk.logs.has(name)) throw new TopicError("log-exists", `${name} is there`);
    const log: MemoryLog = { bytes: Buffer.from(headerFrame), sealed: false };
    this.#disk.logs.set(name, log);
    let failed = false;
    return {
      append: async (frames) => {
        if (failed) throw new TopicError("log-failed", `${name} failed before`);
        failed = true;
        await this.#call("append", name);
        log.bytes = Buffer.concat([log.bytes, frames]);
        await this.#call("appended", name);
        if (log.sealed) throw new TopicError("log-sealed", `${name} is sealed`);
        failed = false;
      },
      close: async () => {
        failed = true;
      },
    };
  }

  async seal(name: string): Promise<SegmentEnd> {
    await this.#call("seal", name);
    const log = this.#log(name);
    log.sealed = true;
    await this.#call("sealed", name);
    let end: SegmentEnd = { end: 0, lastSequence: 0, lastTime: 0n };
    let chain: FrameChain | undefined;
    for (const { at, frame } of framesOf(log.bytes)) {
      if (!chain) {
        const links = frameLinks(log.bytes, at);
        chain = {
          nonce: Uint8Array.from(links.nonce),
          checksum: links.checksum,
          lastSequence: 0,
          lastTime: frame.time,
        };
      } else if (!continueChain(chain, log.bytes, at, frame)) {
        throw new TopicError("corrupt", `${name} does not continue at ${at}`);
      }
      end = { end: frame.next, lastSequence: chain.lastSequence, lastTime: chain.lastTime };
    }
    return end;
  }

  async *read(
    name: string,
    { fromSequence = 1, lastSequence, signal }: ReadLogOptions,
  ): AsyncGenerator<FrameChunk> {
    await this.#call("read", name);
    const { bytes } = this.#log(name);
    for (const { at, frame } of framesOf(bytes)) {
      signal?.throwIfAborted();
      if (frame.kind !== "message" || frame.sequence < fromSequence) continue;
      if (frame.sequence > lastSequence) return;
      yield { frames: bytes.subarray(at, frame.next), firstSequence: frame.sequence, count: 1 };
    }
  }

  async drop(name: string): Promise<void> {
    await this.#call("drop", name);
    this.#disk.logs.delete(name);
  }

  async #call(call: LogCall, name: string): Promise<void> {
    if (!this.owns(name)) throw new TopicError("unavailable", `${name} is in another store`);
    await this.hook(call, name);
  }

  #log(name: string): MemoryLog {
    const log = this.#disk.logs.get(name);
    if (!log) throw new TopicError("log-missing", `${name} is not there`);
    return log;
  }
}

function* framesOf(
  bytes: Buffer,
): Generator<{ at: number; frame: Exclude<ReturnType<typeof readFrame>, string> }> {
  for (let at = 0; at < bytes.length; ) {
    const frame = readFrame(bytes, at);
    if (typeof frame === "string") throw new TopicError("corrupt", `no frame at ${at}`);
    yield { at, frame };
    at = frame.next;
  }
}

export class MemoryArchive implements SegmentArchive {
  readonly segments: Map<string, Buffer> = new Map();
  /** Called before each put; may throw. */
  hook: (name: string) => Promise<void> = async () => {};

  async put(
    name: string,
    chunks: AsyncIterable<FrameChunk>,
    { lastSequence }: { readonly lastSequence: number },
  ): Promise<void> {
    await this.hook(name);
    const parts: Buffer[] = [];
    let sequence = 0;
    for await (const chunk of chunks) {
      if (chunk.firstSequence !== sequence + 1) throw new TopicError("corrupt", "a gap in what is archived");
      sequence += chunk.count;
      parts.push(Buffer.from(chunk.frames));
    }
    if (sequence !== lastSequence)
      throw new TopicError("corrupt", `${sequence} of ${lastSequence} messages to archive`);
    this.segments.set(name, Buffer.concat(parts));
  }

  async *read(name: string, { fromSequence = 1, lastSequence }: ReadLogOptions): AsyncGenerator<FrameChunk> {
    const bytes = this.segments.get(name);
    if (!bytes) throw new TopicError("log-missing", `${name} is not there`);
    for (const { at, frame } of framesOf(bytes)) {
      if (frame.sequence < fromSequence || frame.sequence > lastSequence) continue;
      yield { frames: bytes.subarray(at, frame.next), firstSequence: frame.sequence, count: 1 };
    }
  }

  async drop(name: string): Promise<void> {
    this.segments.delete(name);
  }
}
