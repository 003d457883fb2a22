import type { HashRange } from "@x/topic-gateway/protocol";
import { settled } from "./fake-clock.js";
import { entriesOf, Sender, topic, type World } from "./world.js";

interface OpenLane {
  readonly sender: Sender;
  lanes: number;
  readonly sent: string[];
  seen: number;
}

/**
 * Publishes numbered messages of some keys of one range, in order, through whoever holds the range, and sends again what was not
 * acknowledged. Remembers the id time of each acknowledged one.
 */
export class Publisher {
  /** Data by id time, of what was acknowledged. */
  readonly acked: Map<bigint, string> = new Map();
  readonly #world: World;
  readonly #range: HashRange;
  readonly #keys: readonly string[];
  #unacked: string[] = [];
  #next = 1;
  #lane: OpenLane | undefined;

  constructor(world: World, range: HashRange, keys: readonly string[]) {
    this.#world = world;
    this.#range = range;
    this.#keys = keys;
  }

  get unacked(): number {
    return this.#unacked.length;
  }

  /** Sends `count` more, without waiting for them. */
  async publish(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#unacked.push(String(this.#next));
      this.#next += 1;
    }
    await this.step();
  }

  /** Looks at what came back, and sends what is not on its way. */
  async step(): Promise<void> {
    await settled();
    this.#collect();
    const lane = this.#lane;
    if (!lane) {
      const lease = (await this.#world.leases()).get(`${this.#range.from}-${this.#range.to - 1}`);
      const buffer = this.#world.buffers.find(({ node }) => node.address === lease?.address);
      if (!lease || !buffer || this.#unacked.length === 0) return;
      const sender = new Sender(buffer.node);
      this.#lane = { sender, lanes: 1, sent: [], seen: 0 };
      this.#send(this.#lane, { topic, range: this.#range, epoch: lease.epoch });
      return;
    }
    if (this.#unacked.length > lane.sent.length) this.#send(lane);
  }

  #send(lane: OpenLane, open?: { topic: string; range: HashRange; epoch: bigint }): void {
    const waiting = this.#unacked.slice(lane.sent.length);
    for (const [i, data] of waiting.entries()) {
      const key = this.#keys[Number(data) % this.#keys.length] as string;
      lane.sender.send({
        lane: 1,
        batch: lane.lanes,
        entries: entriesOf([{ key, data }]),
        ...(open && i === 0 && { open }),
      });
      lane.lanes += 1;
      lane.sent.push(data);
    }
  }

  #collect(): void {
    const lane = this.#lane;
    if (!lane) return;
    for (const run of lane.sender.runs(1).slice(lane.seen)) {
      for (let i = 0; i < run.count; i++) {
        const data = lane.sent.shift();
        if (data === undefined || data !== this.#unacked.shift())
          throw new Error("acknowledged what was not sent");
        this.acked.set(run.time + BigInt(i), data);
      }
    }
    lane.seen = lane.sender.runs(1).length;
    if (lane.sender.refusal(1) || lane.sender.ended) {
      lane.sender.end();
      this.#lane = undefined;
    }
  }

  /** Gives the stream up, as a client does whose connection broke. */
  drop(): void {
    this.#collect();
    this.#lane?.sender.abort(new Error("dropped"));
    this.#lane = undefined;
  }

  /** Until everything is acknowledged. */
  async untilAcked(withinMs = 60_000): Promise<void> {
    for (let waited = 0; ; waited += 20) {
      await this.step();
      if (this.#unacked.length === 0) return;
      if (waited >= withinMs)
        throw new Error(`${this.#unacked.length} messages were not acknowledged in ${withinMs} ms`);
      await this.#world.clock.advance(20);
    }
  }
}
