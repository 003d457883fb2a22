import { setTimeout as sleep } from "node:timers/promises";
import { percentile } from "../stats.js";
import type { Answer, Load, Window } from "./commands.js";
import type { Driver } from "./driver.js";

/** Publishes, and counts or times what is acknowledged. */
export async function runLoad(driver: Driver, load: Load, window: Window): Promise<Answer> {
  switch (load.type) {
    case "publish": {
      const data = payload(load.bytes);
      return await closedLoop(window.countedMs, load.inFlight, 1, () => driver.publish(data));
    }
    case "publish-batches": {
      const batch = Array.from({ length: load.batch }, () => payload(load.bytes));
      return await closedLoop(window.countedMs, load.inFlight, load.batch, () => driver.publishBatch(batch));
    }
    case "one-at-a-time":
      return await oneAtATime(driver, load.bytes, window);
  }
}

/**
 * Sends again whenever something is answered. The time ends when the last answer is there: some systems answer in bursts
 * of all that was on its way, which a window of fixed length would miss or count in full.
 */
async function closedLoop(
  forMs: number,
  inFlight: number,
  each: number,
  send: () => Promise<unknown>,
): Promise<Answer> {
  let done = 0;
  let failed = false;
  const startedMs = performance.now();
  const endMs = startedMs + forMs;
  const worker = async (): Promise<void> => {
    while (!failed && performance.now() < endMs) {
      await send();
      done += each;
    }
  };
  const workers = Array.from({ length: inFlight }, worker);
  try {
    await Promise.all(workers);
  } finally {
    failed = true;
    await Promise.allSettled(workers);
  }
  return { perSecond: (done * 1000) / (performance.now() - startedMs), count: done };
}

async function oneAtATime(driver: Driver, bytes: number, { warmUpMs, countedMs }: Window): Promise<Answer> {
  const data = payload(bytes);
  const samples: number[] = [];
  const countFromMs = performance.now() + warmUpMs;
  const endMs = countFromMs + countedMs;
  for (let nowMs = performance.now(); nowMs < endMs || samples.length === 0; ) {
    const sentMs = nowMs;
    await driver.publish(data);
    nowMs = performance.now();
    if (sentMs >= countFromMs) samples.push(nowMs - sentMs);
  }
  return { p50Ms: percentile(samples, 0.5), p99Ms: percentile(samples, 0.99), count: samples.length };
}

/** Publishes in batches; answers how many messages are there. */
export async function fill(driver: Driver, count: number, bytes: number, withinMs: number): Promise<Answer> {
  const batch = Array.from({ length: 64 }, () => payload(bytes));
  const endMs = performance.now() + withinMs;
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (sent < count && performance.now() < endMs) {
      const size = Math.min(batch.length, count - sent);
      sent += size;
      await driver.publishBatch(batch.slice(0, size));
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return { count: sent };
}

/** Counts from the first delivery (its messages not counted), so that how long joining takes is left out. */
export async function consume(driver: Driver, available: number, withinMs: number): Promise<Answer> {
  await using reader = await driver.openReader();
  const openedMs = performance.now();
  let firstMs = 0;
  let first = 0;
  let total = 0;
  await reader.read((count) => {
    const nowMs = performance.now();
    if (total === 0) [firstMs, first] = [nowMs, count];
    total += count;
    return total < available && nowMs - firstMs < withinMs;
  });
  const endMs = performance.now();
  // All came at once: then there is nothing but the whole time to go by.
  if (total === first) return { perSecond: (total * 1000) / (endMs - openedMs), count: total };
  return { perSecond: ((total - first) * 1000) / (endMs - firstMs), count: total };
}

/** The offered load never waits for answers, up to this many unanswered messages: a system that is so far behind is saturated. */
const MOST_OUTSTANDING = 5_000;
/** How long the messages of a window may take to arrive after its end. */
const LATEST_MS = 8_000;

/** A live consumer and the open loop that feeds it. Times are of one clock: both are in this process. */
export class LiveLoad implements AsyncDisposable {
  readonly #driver: Driver;
  #consumer: AsyncDisposable | undefined;
  #onDelivered: (sentMs: number) => void = () => {};
  #sent = 0;
  #delivered = 0;
  #outstanding = 0;
  #failure: unknown;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  async open(): Promise<void> {
    this.#consumer = await this.#driver.openLive((data) => {
      this.#delivered += 1;
      this.#onDelivered(Buffer.from(data.buffer, data.byteOffset, 8).readDoubleLE(0));
    });
  }

  /** Publishes at a steady pace, whatever comes back, and tells how long each message took from the call of `publish` to the consumer. */
  async run(perSecond: number, bytes: number, { warmUpMs, countedMs }: Window): Promise<Answer> {
    await this.#quiet();
    const startedMs = performance.now();
    const countFromMs = startedMs + warmUpMs;
    const endMs = countFromMs + countedMs;
    const samples: number[] = [];
    let lastDeliveredMs = endMs;
    this.#onDelivered = (sentMs) => {
      lastDeliveredMs = performance.now();
      if (sentMs >= countFromMs) samples.push(lastDeliveredMs - sentMs);
    };
    const template = payload(bytes);
    let offered = 0;
    for (let nowMs = startedMs; nowMs < endMs; nowMs = performance.now()) {
      const due = Math.floor(((nowMs - startedMs) * perSecond) / 1000);
      for (; offered < due; offered++) {
        if (this.#outstanding < MOST_OUTSTANDING) this.#send(template);
      }
      await sleep(1);
    }
    await this.#quiet();
    this.#onDelivered = () => {};
    const deliveredPerSecond = (samples.length * 1000) / (Math.max(lastDeliveredMs, endMs) - countFromMs);
    // Nothing of this window was even taken: it is saturated, and has no latencies.
    if (samples.length === 0) return { deliveredPerSecond };
    return {
      p50Ms: percentile(samples, 0.5),
      p99Ms: percentile(samples, 0.99),
      deliveredPerSecond,
      count: samples.length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#consumer?.[Symbol.asyncDispose]();
    this.#consumer = undefined;
  }

  #send(template: Buffer): void {
    const data = Buffer.from(template);
    data.writeDoubleLE(performance.now(), 0);
    this.#sent += 1;
    this.#outstanding += 1;
    this.#driver.publish(data).then(
      () => {
        this.#outstanding -= 1;
      },
      (error: unknown) => {
        this.#outstanding -= 1;
        this.#failure ??= error;
      },
    );
  }

  /** Until everything is answered and delivered. */
  async #quiet(): Promise<void> {
    const giveUpMs = performance.now() + LATEST_MS;
    while (this.#delivered < this.#sent || this.#outstanding > 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (performance.now() > giveUpMs) {
        const what = `${this.#delivered} of ${this.#sent} messages were delivered, ${this.#outstanding} not acknowledged`;
        throw new Error(`${what}, ${LATEST_MS} ms after the last was sent`);
      }
      await sleep(5);
    }
  }
}

/** Text that does not repeat within a message: a system that compresses must not look fast for it. */
function payload(bytes: number): Buffer {
  const data = Buffer.allocUnsafe(bytes);
  let state = 0x2545f491;
  for (let i = 0; i < bytes; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data[i] = 33 + ((state >>> 8) % 94);
  }
  return data;
}
