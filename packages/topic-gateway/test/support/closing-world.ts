/** A client whose store and buffers a test can hold up, and what they were asked for. */
import { type Coord, CoordError, type WatchBatch } from "@x/coord";
import { expect } from "vitest";
import { TopicClient } from "../../src/client.js";
import {
  type BufferConnection,
  type Clock,
  type ConnectBuffer,
  rangeLeaseKey,
  type SegmentArchive,
} from "../../src/protocol.js";
import { FakeStream } from "./publishing-world.js";
import { type FakeLog, SubscribeWorld, TOPIC } from "./subscribe-world.js";

/**
 * "hangs": there is no answer, but who gives up hears so. "deaf": the call takes no notice of its signal either. "refuses": it fails,
 * at once.
 */
export type Holding = "hangs" | "deaf" | "refuses";

type Args = readonly unknown[];

/** Calls on their way to somebody. */
class Line {
  readonly asked: string[] = [];
  /** By method, or "*" for all. */
  readonly holding = new Map<string, Holding>();
  /** Behind each call, before its answer arrives. */
  after: ((method: string) => Promise<void>) | undefined;
  readonly #waiting = new Set<() => void>();

  /** @throws signal.reason */
  async pass(method: string, signal: AbortSignal | undefined): Promise<void> {
    this.asked.push(method);
    const holding = this.holding.get(method) ?? this.holding.get("*");
    if (!holding) return;
    if (holding === "refuses") throw new CoordError("unavailable", `no ${method} now`);
    await new Promise<void>((resolve, reject) => {
      this.#waiting.add(resolve);
      if (holding === "deaf") return;
      const onAbort = (): void => {
        this.#waiting.delete(resolve);
        reject(signal?.reason);
      };
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Everything held up goes on, and nothing is held up any more. */
  letGo(): void {
    this.holding.clear();
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }
}

export async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

const ADDRESS = "a:1";

export class ClosingWorld implements AsyncDisposable {
  readonly world: SubscribeWorld;
  readonly store = new Line();
  readonly buffers = new Line();
  readonly archive = new Line();
  readonly stream = new FakeStream();
  /** That the store has granted, and that were not revoked. */
  readonly leases = new Set<bigint>();
  openConnections = 0;
  /** While it is pending, nothing new is told of the records. A rejection ends the watch. */
  watchHeld: Promise<never> | undefined;
  /** That run now, and that were ever set, of the client alone: the store has others. */
  timers = 0;
  timersEverSet = 0;
  readonly coord: Coord;
  client!: TopicClient;
  log!: FakeLog;

  private constructor(world: SubscribeWorld) {
    this.world = world;
    this.coord = this.#through(world.coord);
  }

  /** With the topic "t", a segment of it with the messages "k:1" and "k:2", and its subscription "s". */
  static async open(): Promise<ClosingWorld> {
    const world = await SubscribeWorld.open();
    const made = new ClosingWorld(world);
    await world.subscribed();
    made.log = await world.open("0-65535", ADDRESS, [], ["k:1", "k:2"]);
    await world.put(rangeLeaseKey(TOPIC, { from: 0, to: 65536 }), ADDRESS);
    const opening = TopicClient.open({
      coord: made.coord,
      connect: made.#connect,
      archive: made.#archive(),
      runtime: {
        clock: made.#clock(),
        random: { number: world.random, bytes: (count) => new Uint8Array(count) },
      },
    });
    await world.settle();
    made.client = await opening;
    return made;
  }

  /** Of everybody. */
  get asked(): string[] {
    return [...this.store.asked, ...this.buffers.asked, ...this.archive.asked];
  }

  async settle(): Promise<void> {
    await this.world.settle();
  }

  /** Nothing is left of the client that would do anything, whatever comes. */
  async expectQuiet(): Promise<void> {
    const left = { timers: this.timers, connections: this.openConnections, leases: [...this.leases] };
    expect(left).toEqual({ timers: 0, connections: 0, leases: [] });
    const asked = this.asked.length;
    const { timersEverSet } = this;
    await this.world.advance(120_000);
    this.log.append("k:later");
    await this.world.put("/x/something", "happens");
    await this.settle();
    expect(this.asked.slice(asked)).toEqual([]);
    expect(this.timersEverSet).toBe(timersEverSet);
  }

  #clock(): Clock {
    const { clock } = this.world;
    return {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      setTimer: (delayMs, callback) => {
        this.timers += 1;
        this.timersEverSet += 1;
        let runs = true;
        const over = (): void => {
          if (runs) this.timers -= 1;
          runs = false;
        };
        const cancel = clock.setTimer(delayMs, () => {
          over();
          callback();
        });
        return () => {
          over();
          cancel();
        };
      },
    };
  }

  #through(coord: Coord): Coord {
    return new Proxy<Coord>(coord, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function" || typeof name !== "string") return method;
        if (name === "watch") return (...args: Args) => this.#watch(Reflect.apply(method, target, args));
        return async (...args: Args) => {
          const options = (args.at(-1) ?? {}) as { readonly signal?: AbortSignal };
          await this.store.pass(name, options.signal);
          const answer: unknown = await Reflect.apply(method, target, args.map(withoutSignal));
          if (name === "grantLease") this.leases.add((answer as { readonly id: bigint }).id);
          if (name === "revokeLease") this.leases.delete(args[0] as bigint);
          await this.store.after?.(name);
          return answer;
        };
      },
    });
  }

  /** Listening asks for nothing. */
  async *#watch(batches: AsyncIterable<WatchBatch>): AsyncGenerator<WatchBatch> {
    for await (const batch of batches) {
      await this.watchHeld;
      yield batch;
    }
  }

  readonly #connect: ConnectBuffer = (address): BufferConnection => {
    const { buffers, stream } = this;
    const buffer = this.world.buffer(address).connect();
    this.openConnections += 1;
    return {
      publish: (batches, { signal } = {}) => stream.run(batches, signal),
      async *read(request, options) {
        await buffers.pass("read", options?.signal);
        yield* buffer.read(request, options);
      },
      async *getMany(topic, keys, options) {
        await buffers.pass("getMany", options?.signal);
        yield* buffer.getMany(topic, keys, options);
      },
      describe: async (topic, options) => {
        await buffers.pass("describe", options?.signal);
        return await buffer.describe(topic, options);
      },
      [Symbol.asyncDispose]: async () => {
        this.openConnections -= 1;
      },
    };
  };

  #archive(): SegmentArchive {
    const { archive } = this;
    return {
      put: () => Promise.reject(new Error("not in these tests")),
      // biome-ignore lint/correctness/useYield: what is in it matters to nobody
      async *read(_name, { signal }) {
        await archive.pass("archive", signal);
      },
      drop: () => Promise.resolve(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const line of [this.store, this.buffers, this.archive]) line.letGo();
    await this.client.close({ signal: AbortSignal.abort() });
    await this.world[Symbol.asyncDispose]();
  }
}

/** The store is not told either that somebody has given up. */
function withoutSignal(arg: unknown): unknown {
  if (typeof arg !== "object" || arg === null || !("signal" in arg)) return arg;
  const { signal: _, ...rest } = arg;
  return rest;
}
