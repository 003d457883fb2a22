/** Segments that a test writes as it likes, served by fake buffers, over a real embedded store in memory and a clock that moves when told to. */
import type { Coord, KeyValue } from "@x/coord";
import { CoordError } from "@x/coord";
import { type EmbeddedCoord, openEmbeddedCoord } from "@x/coord/embedded";
import { FakeClock, settled } from "../../../coord/test/support/fake-clock.js";
import { MemoryFileSystem } from "../../../coord/test/support/memory-file-system.js";
import { randomBytesFrom, randomFrom } from "../../../coord/test/support/random.js";
import { Connections } from "../../src/client/connections.js";
import type { ClientContext } from "../../src/client/context.js";
import type { TopicEvent } from "../../src/client/events.js";
import { fanoutOverBuffers } from "../../src/client/places.js";
import {
  type BufferConnection,
  type Clock,
  encodeBody,
  encodeHeaderFrame,
  encodeMessageFrames,
  encodeRangeSize,
  encodeSegment,
  encodeSubscription,
  type FrameChain,
  type FrameChunk,
  parseHashRange,
  rangeSizeKey,
  type SegmentArchive,
  type SegmentId,
  type SegmentName,
  type SegmentRecord,
  type SegmentStatus,
  StateCache,
  type SubscriptionName,
  segmentKey,
  segmentName,
  serverKey,
  sleep,
  subscriptionKey,
  TopicError,
  type TopicName,
} from "../../src/protocol.js";

export const TOPIC = "t" as TopicName;
/** Some time of ids; segments start there plus a little. */
export const EPOCH = 139_000_000_000_000_000n;

/** The messages of one segment, and who waits for more of them. */
export class FakeLog {
  readonly id: SegmentId;
  readonly name: SegmentName;
  readonly keys: string[] = [];
  readonly #chain: FrameChain;
  readonly #frames: Buffer[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(id: SegmentId) {
    this.id = id;
    this.name = segmentName(id);
    this.#chain = encodeHeaderFrame(Buffer.from("01234567"), id.startTime, Buffer.alloc(0)).chain;
  }

  get lastSequence(): number {
    return this.#chain.lastSequence;
  }

  get lastTime(): bigint {
    return this.#chain.lastTime;
  }

  /** One message for each text; its key is what is before the colon. */
  append(...texts: string[]): void {
    const bodies = texts.map((text) =>
      encodeBody({ key: text.split(":")[0] as string, data: Buffer.from(text), time: 1_700_000_000_000_000 }),
    );
    const { bytes, offsets } = encodeMessageFrames(this.#chain, bodies, this.#chain.lastTime + 1n);
    offsets.forEach((at, i) => {
      this.#frames.push(bytes.subarray(at, offsets[i + 1] ?? bytes.length));
    });
    this.keys.push(...texts.map((text) => text.split(":")[0] as string));
    this.wake();
  }

  wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  frames(from: number, last: number): Buffer {
    return Buffer.concat(this.#frames.slice(from - 1, last));
  }

  async more(): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
    });
  }
}

/** What a fake buffer does with a read instead of serving it. */
export type Misbehaviour = (chunk: FrameChunk) => FrameChunk | undefined;

export class FakeBuffer {
  readonly address: string;
  readonly serves = new Map<SegmentName, FakeLog>();
  /** Nobody gets an answer, and no stream ends. */
  hangs = false;
  /** Everybody gets "unavailable". */
  isDown = false;
  chunkMessages = 100;
  misbehave: Misbehaviour | undefined;
  reads = 0;

  constructor(address: string) {
    this.address = address;
  }

  fail(): void {
    this.isDown = true;
    for (const log of this.serves.values()) log.wake();
  }

  connect(): BufferConnection {
    const buffer = this;
    return {
      publish: () => {
        throw new Error("nothing is published in these tests");
      },
      async *read({ segment, fromSequence }, { signal } = {}) {
        buffer.reads += 1;
        signal?.throwIfAborted();
        const aborted = new Promise<never>((_, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason));
        });
        aborted.catch(() => {});
        if (buffer.hangs) await aborted;
        const log = buffer.serves.get(segmentName(segment));
        if (!log)
          throw new TopicError("not-owner", `${buffer.address} does not serve ${segmentName(segment)}`);
        for (let next = fromSequence; ; ) {
          if (buffer.isDown) throw new TopicError("unavailable", `${buffer.address} is down`);
          signal?.throwIfAborted();
          const last = Math.min(log.lastSequence, next + buffer.chunkMessages - 1);
          if (last < next) {
            await Promise.race([log.more(), aborted]);
            continue;
          }
          const chunk = { frames: log.frames(next, last), firstSequence: next, count: last - next + 1 };
          const shown = buffer.misbehave ? buffer.misbehave(chunk) : chunk;
          if (shown) yield shown;
          next = last + 1;
        }
      },
      async *getMany(_topic, keys) {
        for (const index of keys.keys()) yield { index, found: undefined };
      },
      async describe(_topic, { signal } = {}) {
        if (buffer.isDown) throw new TopicError("unavailable", `${buffer.address} is down`);
        if (buffer.hangs) {
          await new Promise((_, reject) => {
            signal?.addEventListener("abort", () => reject(signal.reason));
          });
        }
        return [...buffer.serves.values()].map(
          (log): SegmentStatus => ({
            segment: log.id,
            durableSequence: log.lastSequence,
            bytes: 0,
            open: true,
          }),
        );
      },
      async [Symbol.asyncDispose]() {},
    };
  }
}

/** What a call to the store meets on its way: applied and answered, never sent, applied with the answer lost, or applied when nobody waits for it any more. */
export type Weather = "fine" | "hangs" | "not-sent" | "answer-lost" | "late";

/** A process of its own: a view, connections, and a way to the store that can be cut. */
export class FakeProcess {
  readonly context: ClientContext;
  readonly events: TopicEvent[] = [];
  weather: () => Weather = () => "fine";
  /** Of the watch alone; by default as of the calls. */
  watchWeather: () => Weather = () => this.weather();

  constructor(context: Omit<ClientContext, "emit">) {
    this.context = { ...context, emit: (event) => this.events.push(event) };
  }
}

export class SubscribeWorld implements AsyncDisposable {
  readonly clock: FakeClock & { wallMs(): number };
  readonly coord: EmbeddedCoord;
  readonly logs = new Map<SegmentName, FakeLog>();
  readonly buffers = new Map<string, FakeBuffer>();
  readonly archived = new Map<string, FakeLog>();
  readonly random: () => number;
  readonly #close: (() => Promise<void>)[] = [];
  incarnation = 0n;
  #segments = 0n;

  private constructor(clock: FakeClock & { wallMs(): number }, coord: EmbeddedCoord, random: () => number) {
    this.clock = clock;
    this.coord = coord;
    this.random = random;
  }

  static async open(seed = 1): Promise<SubscribeWorld> {
    const base = new FakeClock();
    const clock = Object.assign(base, { wallMs: () => base.monotonicMs() + 1_700_000_000_000 });
    const random = randomFrom(seed);
    const coord = await openEmbeddedCoord({
      directory: "coord",
      clock,
      fileSystem: new MemoryFileSystem(),
      randomBytes: randomBytesFrom(random),
    });
    const world = new SubscribeWorld(clock, coord, random);
    await world.put(rangeSizeKey(TOPIC), encodeRangeSize(16));
    world.incarnation = (await world.key(rangeSizeKey(TOPIC)))?.createRevision as bigint;
    return world;
  }

  async process(options: { readonly archive?: boolean } = {}): Promise<FakeProcess> {
    let process: FakeProcess | undefined;
    const coord = through(this.coord, this.clock, {
      calls: () => process?.weather() ?? "fine",
      watch: () => process?.watchWeather() ?? "fine",
    });
    const cache = await StateCache.open(coord, { clock: this.clock });
    const connections = new Connections((address) => this.buffer(address).connect(), cache);
    const runtime = {
      clock: this.clock,
      random: { number: this.random, bytes: randomBytesFrom(this.random) },
    };
    const archive = options.archive ? this.#archive() : undefined;
    const fanout = fanoutOverBuffers(runtime);
    process = new FakeProcess({ coord, cache, connections, fanout, archive, runtime });
    const made = process;
    this.#close.push(async () => {
      made.weather = () => "fine";
      made.watchWeather = () => "fine";
      await connections[Symbol.asyncDispose]();
      await cache.close();
    });
    return process;
  }

  buffer(address: string): FakeBuffer {
    let buffer = this.buffers.get(address);
    if (!buffer) {
      buffer = new FakeBuffer(address);
      this.buffers.set(address, buffer);
    }
    return buffer;
  }

  // --- records

  async put(key: string, value: string): Promise<bigint> {
    return (await this.coord.txn({ then: [{ type: "put", key, value }] })).revision;
  }

  async key(key: string): Promise<KeyValue | undefined> {
    return (await this.coord.get({ key })).kvs[0];
  }

  async subscribed(name = "s"): Promise<void> {
    const record = { mode: "earliest", revision: 0n, positions: {}, generation: 1 } as const;
    await this.put(subscriptionKey(TOPIC, name as SubscriptionName), encodeSubscription(record));
  }

  /** Opens a segment behind the given ones, which should be sealed. Without an address nobody serves it. */
  async open(
    range: string,
    address: string | undefined,
    predecessors: readonly FakeLog[] = [],
    texts: readonly string[] = [],
  ): Promise<FakeLog> {
    this.#segments += 1n;
    const log = new FakeLog({
      topic: TOPIC,
      startTime: EPOCH + this.#segments * 1_000_000n,
      range: parseHashRange(range),
    });
    this.logs.set(log.name, log);
    if (texts.length > 0) log.append(...texts);
    await this.#record(log, { state: "open", predecessors: predecessors.map((one) => one.name) }, address);
    return log;
  }

  /** Records the end of a segment; who serves it afterwards, if it changes. */
  async seal(log: FakeLog, address?: string | null): Promise<void> {
    const { lastSequence, lastTime } = log;
    const before = await this.#read(log);
    const sealed = { end: 1000, lastSequence, lastTime };
    await this.#record(log, { ...before, state: "sealed", sealed }, address);
  }

  async archive(log: FakeLog): Promise<void> {
    this.archived.set(`${TOPIC}/${this.incarnation}/${log.name}`, log);
    await this.#record(log, { ...(await this.#read(log)), state: "archived" }, null);
  }

  async tombstone(log: FakeLog): Promise<void> {
    await this.#record(log, { ...(await this.#read(log)), state: "deleted" }, null);
  }

  /** Another one serves it now, or nobody. */
  async serve(log: FakeLog, address: string | null): Promise<void> {
    await this.#record(log, await this.#read(log), address);
  }

  readonly #records = new Map<SegmentName, Partial<SegmentRecord>>();

  async #read(log: FakeLog): Promise<Partial<SegmentRecord>> {
    return this.#records.get(log.name) ?? {};
  }

  async #record(
    log: FakeLog,
    fields: Partial<SegmentRecord>,
    address: string | null | undefined,
  ): Promise<void> {
    this.#records.set(log.name, fields);
    const record: SegmentRecord = {
      incarnation: this.incarnation,
      layout: this.incarnation,
      epoch: 1n,
      log: "x/y",
      predecessors: [],
      state: "open",
      ...fields,
    };
    const put = { type: "put", key: segmentKey(log.id), value: encodeSegment(log.id, record) } as const;
    const server = serverKey(log.id);
    if (address === undefined) {
      await this.coord.txn({ then: [put] });
    } else if (address === null) {
      for (const buffer of this.buffers.values()) buffer.serves.delete(log.name);
      await this.coord.txn({ then: [put, { type: "delete", key: server }] });
    } else {
      this.buffer(address).serves.set(log.name, log);
      await this.coord.txn({ then: [put, { type: "put", key: server, value: address }] });
    }
  }

  #archive(): SegmentArchive {
    const { archived } = this;
    return {
      put: () => Promise.reject(new Error("not in these tests")),
      async *read(name, { fromSequence = 1, lastSequence }) {
        const log = archived.get(name);
        if (!log) throw new TopicError("log-missing", `${name} is not there`);
        const count = lastSequence - fromSequence + 1;
        yield { frames: log.frames(fromSequence, lastSequence), firstSequence: fromSequence, count };
      },
      drop: () => Promise.resolve(),
    };
  }

  /** Transactions that follow from each other take a few turns each. */
  async settle(): Promise<void> {
    for (let i = 0; i < 4; i++) await settled();
  }

  async advance(ms: number): Promise<void> {
    await this.settle();
    await this.clock.advance(ms);
    await this.settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#close) await close();
    await this.coord.close();
  }
}

/** A store behind a bad connection. */
function through(
  inner: Coord,
  clock: Clock,
  weather: { readonly calls: () => Weather; readonly watch: () => Weather },
): Coord {
  const call = async <T>(
    options: { readonly signal?: AbortSignal } | undefined,
    run: (options?: { readonly signal?: AbortSignal }) => Promise<T>,
  ): Promise<T> => {
    options?.signal?.throwIfAborted();
    const now = weather.calls();
    // Behind the end of a session, as a rule.
    if (now === "late") clock.setTimer(11_000, () => run().catch(() => {}));
    if (now === "hangs" || now === "late") {
      await new Promise((_, reject) => {
        options?.signal?.addEventListener("abort", () => reject(options.signal?.reason));
      });
    }
    if (now === "not-sent") throw new CoordError("unavailable", "not sent");
    const result = await run(options);
    if (now === "answer-lost") throw new CoordError("unavailable", "the answer was lost");
    return result;
  };
  return {
    clusterId: (options) => call(options, (options) => inner.clusterId(options)),
    get: (selector, options) => call(options, (signal) => inner.get(selector, { ...options, ...signal })),
    txn: (txn, options) => call(options, (options) => inner.txn(txn, options)),
    grantLease: (ttlMs, options) => call(options, (options) => inner.grantLease(ttlMs, options)),
    keepAlive: (id, options) => call(options, (options) => inner.keepAlive(id, options)),
    revokeLease: (id, options) => call(options, (options) => inner.revokeLease(id, options)),
    async *watch(selector, options) {
      for await (const batch of inner.watch(selector, options)) {
        // What happened meanwhile is told late, as it is when a connection is back.
        while (weather.watch() === "hangs" && !options?.signal?.aborted) {
          await sleep(clock, 50, options?.signal).catch(() => {});
        }
        yield batch;
      }
    },
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export function textOf(message: { readonly data: Uint8Array }): string {
  return Buffer.from(message.data).toString();
}
