import { type EmbeddedCoord, openEmbeddedCoord } from "@x/coord/embedded";
import { murmur3Mod } from "@x/space";
import {
  type BufferApi,
  type Clock,
  decodeBody,
  decodeSegment,
  encodeBody,
  encodeRangeSize,
  formatHashRange,
  type HashRange,
  type IdRun,
  messagesInFrames,
  type PublishBatch,
  type PublishReply,
  parseKey,
  parseTopicName,
  prefixes,
  type Random,
  rangeLeaseKey,
  rangeOfHash,
  rangeSizeKey,
  type SegmentId,
  type SegmentRecord,
  type TopicName,
} from "@x/topic-gateway/protocol";
import { type BufferEvent, type BufferNode, type BufferOptions, openBuffer } from "../../src/index.js";
import { FakeClock, settled } from "./fake-clock.js";
import { FaultyCoord } from "./faulty-coord.js";
import { MemoryFiles } from "./memory-files.js";
import { MemoryArchive, MemoryLogDisk, MemoryLogs } from "./memory-logs.js";

export const topic: TopicName = parseTopicName("orders");

/** A buffer with everything it stands on in the hands of a test. */
export interface TestBuffer {
  readonly node: BufferNode;
  readonly coord: FaultyCoord;
  readonly logs: MemoryLogs;
  readonly events: BufferEvent[];
  /** Nothing it does gets anywhere any more, as if its process were gone. */
  kill(): void;
}

/** Numbers that look like chance, the same in every run. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    return murmur3Mod(new Uint8Array(Uint32Array.of(state).buffer), 2 ** 32);
  };
  return {
    number: () => next() / 2 ** 32,
    bytes: (count) => Uint8Array.from({ length: count }, () => next() & 0xff),
  };
}

/** One clock, one coordination store, one disk, one archive, and any number of buffers. */
export class World implements AsyncDisposable {
  readonly clock: FakeClock = new FakeClock();
  readonly disk: MemoryLogDisk = new MemoryLogDisk();
  readonly archive: MemoryArchive = new MemoryArchive();
  readonly buffers: TestBuffer[] = [];
  readonly coord: EmbeddedCoord;
  readonly #dead: Set<TestBuffer> = new Set();
  #seed = 1;

  private constructor(coord: EmbeddedCoord) {
    this.coord = coord;
  }

  static async open(): Promise<World> {
    const holder: { world?: World } = {};
    const lateClock: Clock = {
      monotonicMs: () => holder.world?.clock.monotonicMs() ?? 1000,
      wallMs: () => 0,
      setTimer: (ms, callback) => (holder.world as World).clock.setTimer(ms, callback),
    };
    const files = new MemoryFiles();
    const coord = await openEmbeddedCoord({
      directory: "/coord",
      clock: lateClock,
      fileSystem: files,
      randomBytes: seededRandom(7).bytes,
    });
    holder.world = new World(coord);
    return holder.world;
  }

  async createTopic(factor: number, name: string = topic): Promise<void> {
    const key = rangeSizeKey(parseTopicName(name));
    await this.coord.txn({ then: [{ type: "put", key, value: encodeRangeSize(factor) }] });
    await settled();
  }

  /** A buffer that is registered; its ranges come with time. */
  async startBuffer(
    id: string,
    options: Partial<BufferOptions> & { readonly clock?: Clock } = {},
  ): Promise<TestBuffer> {
    const coord = new FaultyCoord(this.coord);
    const logs = new MemoryLogs(this.disk);
    const events: BufferEvent[] = [];
    this.#seed += 1;
    const { clock = this.clock, ...others } = options;
    const node = await this.clock.during(
      openBuffer({
        id,
        address: `${id}.test:1`,
        coord,
        logs,
        archive: this.archive,
        runtime: { clock, random: seededRandom(this.#seed) },
        onEvent: (event) => events.push(event),
        ...others,
      }),
    );
    const buffer: TestBuffer = {
      node,
      coord,
      logs,
      events,
      kill: () => {
        this.#dead.add(buffer);
        coord.partition();
        logs.hook = () => new Promise(() => {});
      },
    };
    this.buffers.push(buffer);
    return buffer;
  }

  /** Until every range of the topic takes appends. */
  async untilOpen(factor: number, name: string = topic): Promise<void> {
    await this.clock.until(() => {
      const open = new Set<string>();
      for (const { node } of this.buffers) {
        for (const range of node.status().ranges) {
          if (range.topic === name && range.phase === "open") open.add(formatHashRange(range.range));
        }
      }
      return open.size === 65536 / 2 ** factor;
    });
  }

  async segments(
    name: string = topic,
  ): Promise<{ id: SegmentId; record: SegmentRecord; created: bigint; modified: bigint }[]> {
    const { kvs } = await this.coord.get({ prefix: `${prefixes.segments}${name}/` });
    return kvs.map((kv) => {
      const parsed = parseKey(kv.key);
      if (parsed?.kind !== "segment") throw new Error(kv.key);
      return {
        id: parsed.segment,
        record: decodeSegment(kv.value),
        created: kv.createRevision,
        modified: kv.modRevision,
      };
    });
  }

  async leases(name: string = topic): Promise<Map<string, { address: string; epoch: bigint }>> {
    const { kvs } = await this.coord.get({ prefix: `${prefixes.rangeLeases}${name}/` });
    return new Map(
      kvs.map((kv) => [
        kv.key.slice(kv.key.lastIndexOf("/") + 1),
        { address: Buffer.from(kv.value).toString(), epoch: kv.createRevision },
      ]),
    );
  }

  async epochOf(range: HashRange, name: string = topic): Promise<bigint> {
    const { kvs } = await this.coord.get({ key: rangeLeaseKey(parseTopicName(name), range) });
    return kvs[0]?.createRevision ?? 0n;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const buffer of this.buffers) {
      if (this.#dead.has(buffer)) continue;
      const { node, coord, logs } = buffer;
      logs.hook = async () => {};
      coord.heal();
      coord.onTxn = () => "none";
      await this.clock.during(node.close());
    }
    await this.coord.close();
  }
}

export function rangeOfKey(key: string, factor: number): HashRange {
  return rangeOfHash(murmur3Mod(key, 65535), factor);
}

export function entriesOf(messages: readonly { readonly key: string; readonly data: string }[]): Buffer {
  const parts: Buffer[] = [];
  for (const { key, data } of messages) {
    const body = encodeBody({ key, data: Buffer.from(data), time: 0 });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(body.length);
    parts.push(length, body);
  }
  return Buffer.concat(parts);
}

/** A publisher's end of one stream: what is sent, and what came back. */
export class Sender {
  readonly replies: PublishReply[] = [];
  /** How the replies ended: undefined while they go on, or by themselves. */
  failure: unknown;
  ended = false;
  readonly #waiting: PublishBatch[] = [];
  #inputEnded = false;
  #wake: () => void = () => {};
  readonly #stop: AbortController = new AbortController();
  readonly done: Promise<void>;
  /** Batches that the buffer has taken from the stream. */
  taken = 0;

  constructor(buffer: BufferApi) {
    this.done = this.#run(buffer);
  }

  async #run(buffer: BufferApi): Promise<void> {
    try {
      for await (const reply of buffer.publish(this.#input(), { signal: this.#stop.signal }))
        this.replies.push(reply);
    } catch (error) {
      this.failure = error;
    }
    this.ended = true;
  }

  async *#input(): AsyncGenerator<PublishBatch> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next) {
        this.taken += 1;
        yield next;
      } else if (this.#inputEnded) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  send(batch: PublishBatch): void {
    this.#waiting.push(batch);
    this.#wake();
  }

  end(): void {
    this.#inputEnded = true;
    this.#wake();
  }

  abort(reason: unknown): void {
    this.#stop.abort(reason);
  }

  /** The last batch acknowledged on a lane. */
  acked(lane: number): number {
    let batch = 0;
    for (const reply of this.replies) if (reply.type === "ack" && reply.lane === lane) batch = reply.batch;
    return batch;
  }

  refusal(lane: number): { code: string; message: string } | undefined {
    for (const reply of this.replies) if (reply.type === "refused" && reply.lane === lane) return reply;
    return undefined;
  }

  runs(lane: number): IdRun[] {
    return this.replies.flatMap((reply) => (reply.type === "ack" && reply.lane === lane ? reply.runs : []));
  }
}

/** Everything a served segment gives now: sequence, key and data. */
export async function readAll(
  buffer: BufferApi,
  segment: SegmentId,
  until: number,
  fromSequence = 1,
): Promise<{ sequence: number; key: string; data: string }[]> {
  const found: { sequence: number; key: string; data: string }[] = [];
  if (until < fromSequence) return found;
  for await (const chunk of buffer.read({ segment, fromSequence })) {
    for (const frame of messagesInFrames(chunk.frames)) {
      const { key, data } = decodeBody(frame.body);
      found.push({ sequence: frame.sequence, key, data: Buffer.from(data).toString() });
    }
    if ((found.at(-1)?.sequence ?? 0) >= until) break;
  }
  return found;
}
