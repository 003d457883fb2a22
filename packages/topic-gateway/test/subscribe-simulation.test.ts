import { describe, it } from "vitest";
import { StateCache } from "../src/protocol.js";
import { type Consumer, type Message, openConsumer } from "../src/subscribe/consumer.js";
import { History } from "./support/subscribe-history.js";
import { type FakeLog, type FakeProcess, SubscribeWorld, textOf } from "./support/subscribe-world.js";

const SLOTS = 8;
const SLOT = 65536 / SLOTS;
const STEPS = 150;
const SEEDS = 20;
const ADDRESSES = ["a:1", "b:1", "c:1"];

interface Member {
  readonly process: FakeProcess;
  readonly consumer: Consumer;
  readonly unacknowledged: Message[];
  state: "well" | "cut" | "late" | "silent";
}

/** A topic that rolls, moves, splits and merges under consumers that come, go, crash, are cut off and fall silent. */
class Simulation {
  readonly world: SubscribeWorld;
  readonly history = new History();
  readonly #observer: StateCache;
  readonly #members: Member[] = [];
  readonly #numbers = new Map<string, number>();
  #open: FakeLog[] = [];
  #left: Promise<void>[] = [];

  private constructor(world: SubscribeWorld, observer: StateCache) {
    this.world = world;
    this.#observer = observer;
  }

  static async start(seed: number): Promise<Simulation> {
    const world = await SubscribeWorld.open(seed);
    await world.subscribed();
    const simulation = new Simulation(world, await StateCache.open(world.coord, { clock: world.clock }));
    simulation.#open = [await world.open("0-32767", "a:1"), await world.open("32768-65535", "b:1")];
    await simulation.#join();
    return simulation;
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.world.random() * from.length)] as T;
  }

  #chance(probability: number): boolean {
    return this.world.random() < probability;
  }

  async step(): Promise<void> {
    const happens = this.#pick([
      () => this.#append(),
      () => this.#append(),
      () => this.#append(),
      () => this.#replace(),
      () => this.#trouble(),
      () => this.#change(),
    ]);
    await happens();
    for (const member of this.#members) {
      if (member.state !== "silent" && this.#chance(0.7)) await this.#consume(member);
    }
    if (this.#chance(0.02)) this.world.clock.stall(3_000 + this.world.random() * 20_000);
    await this.world.clock.advance(this.#pick([0, 1, 5, 30, 200, 1000, 4000]));
  }

  #append(): void {
    const log = this.#pick(this.#open);
    const { from, to } = log.id.range;
    const slot = Math.floor((from + this.world.random() * (to - from)) / SLOT);
    const texts = Array.from({ length: 1 + Math.floor(this.world.random() * 4) }, () => {
      const number = (this.#numbers.get(`s${slot}`) ?? 0) + 1;
      this.#numbers.set(`s${slot}`, number);
      return `s${slot}:${number}`;
    });
    log.append(...texts);
  }

  /** Seals one or two segments and opens their successors: a roll, a takeover, a split or a merge. */
  async #replace(): Promise<void> {
    const { world } = this;
    const first = this.#pick(this.#open);
    const second = this.#open.find((log) => log.id.range.from === first.id.range.to);
    const old = second && this.#chance(0.3) ? [first, second] : [first];
    const address = this.#pick(ADDRESSES);
    for (const log of old) {
      if (this.#chance(0.3)) {
        await world.serve(log, null);
        await world.clock.advance(this.world.random() * 2000);
      }
      await world.seal(log, address);
    }
    const { from } = first.id.range;
    const { to } = (old.at(-1) as FakeLog).id.range;
    const middle = from + Math.floor((to - from) / SLOT / 2) * SLOT;
    const isSplit = old.length === 1 && middle > from && this.#chance(0.4);
    const ranges = isSplit ? [`${from}-${middle - 1}`, `${middle}-${to - 1}`] : [`${from}-${to - 1}`];
    this.#open = this.#open.filter((log) => !old.includes(log));
    for (const range of ranges) this.#open.push(await world.open(range, address, old));
    if (this.#chance(0.3)) await world.archive(this.#pick(old));
  }

  #trouble(): void {
    const buffer = this.world.buffer(this.#pick(ADDRESSES));
    buffer.hangs = this.#chance(0.3);
    if (this.#chance(0.3)) buffer.fail();
    else buffer.isDown = false;
    buffer.chunkMessages = 1 + Math.floor(this.world.random() * 5);
  }

  async #change(): Promise<void> {
    const member = this.#members.length > 0 ? this.#pick(this.#members) : undefined;
    if (!member || (this.#members.length < 4 && this.#chance(0.4))) {
      await this.#join();
    } else if (this.#chance(0.3)) {
      this.#leave(member);
    } else if (member.state === "well") {
      member.state = this.#pick(["cut", "late", "silent"]);
    } else {
      member.state = "well";
    }
  }

  async #join(): Promise<void> {
    const { world } = this;
    const process = await world.process({ archive: true });
    const opening = openConsumer(process.context, "t", "s", {
      consumer: "c",
      prefetchBytes: 500,
      drainMs: this.#pick([0, 500, 2000]),
      ackDeadlineMs: 15_000,
      commitIntervalMs: this.#pick([0, 10, 100]),
    });
    await world.settle();
    const member: Member = { process, consumer: await opening, unacknowledged: [], state: "well" };
    process.weather = () => {
      if (member.state === "cut") return "hangs";
      if (member.state === "late") return "late";
      if (this.#chance(0.95)) return "fine";
      return this.#pick(["not-sent", "answer-lost", "late"]);
    };
    this.#members.push(member);
  }

  /** Properly, or without a word. */
  #leave(member: Member): void {
    this.#members.splice(this.#members.indexOf(member), 1);
    if (this.#chance(0.5)) {
      member.state = "well";
      this.#left.push(member.consumer.close());
    } else {
      member.state = "cut";
      this.#left.push(Promise.resolve().then(() => member.consumer.close()));
    }
  }

  async #consume({ consumer, unacknowledged }: Member): Promise<void> {
    const messages = await consumer.pull({ maxMessages: 1 + Math.floor(this.world.random() * 6), waitMs: 0 });
    for (const message of messages) {
      this.history.delivered(message, textOf(message), this.#observer.state.revision);
    }
    unacknowledged.push(...messages);
    while (unacknowledged.length > 0 && this.#chance(0.8)) {
      const index = Math.floor(this.world.random() * Math.min(3, unacknowledged.length));
      const [message] = unacknowledged.splice(index, 1) as [Message];
      const way = this.#pick(["message", "token", "id"] as const);
      const acknowledging = {
        message: () => message.acknowledge(),
        token: () => consumer.acknowledge(message.ack),
        id: () => consumer.acknowledgeId(message.idParts),
      }[way]();
      acknowledging.then(
        () => this.history.done(message, way === "id" ? "id" : "message"),
        (error: { readonly code: string }) => {
          if (error.code !== "lease-lost" && error.code !== "closed") throw error;
        },
      );
    }
  }

  /** All troubles end, and one consumer takes what is left within a minute. */
  async finish(): Promise<void> {
    const { world } = this;
    for (const buffer of world.buffers.values()) {
      buffer.hangs = false;
      buffer.isDown = false;
    }
    for (const log of this.#open) await world.seal(log, "a:1");
    for (const member of [...this.#members]) this.#leave(member);
    await this.#join();
    const [last] = this.#members as [Member];
    last.process.weather = () => "fine";
    for (let ms = 0; ms < 60_000; ms += 500) {
      await world.advance(500);
      const messages = await last.consumer.pull({ maxMessages: 1000, waitMs: 0 });
      for (const message of messages) {
        this.history.delivered(message, textOf(message), this.#observer.state.revision);
        void message.acknowledge().then(() => this.history.done(message, "message"));
      }
    }
    this.#left.push(last.consumer.close());
    await world.advance(60_000);
    await Promise.all(this.#left);
    await this.#observer.close();
    await this.history.check(world);
    this.history.checkComplete(world.logs.values());
  }
}

describe("consumers in a simulated world", () => {
  it.each(Array.from({ length: SEEDS }, (_, i) => i + 1))(
    "keep the protocol's rules, and everything comes (seed %i)",
    async (seed) => {
      const simulation = await Simulation.start(seed);
      for (let i = 0; i < STEPS; i++) await simulation.step();
      await simulation.finish();
      await simulation.world[Symbol.asyncDispose]();
    },
    30_000,
  );
});
