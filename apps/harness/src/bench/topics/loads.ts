import { setTimeout as sleep } from "node:timers/promises";
import { percentile } from "../stats.js";
import type { Answer, Load, Window } from "./commands.js";
import type { Driver } from "./driver.js";

/** Runs a load that sends again when it is answered, and counts what is acknowledged within the window. */
export async function runLoad(driver: Driver, load: Load, window: Window): Promise<Answer> {
  switch (load.type) {
    case "publish": {
      const data = payload(load.bytes);
      return await closedLoop(window, load.inFlight, 1, () => driver.publish(data));
    }
    case "publish-batches": {
      const batch = Array.from({ length: load.batch }, () => payload(load.bytes));
      return await closedLoop(window, load.inFlight, load.batch, () => driver.publishBatch(batch));
    }
    case "one-at-a-time":
      return await oneAtATime(driver, load.bytes, window);
  }
}

async function closedLoop(
  { warmUpMs, countedMs }: Window,
  inFlight: number,
  each: number,
  send: () => Promise<unknown>,
): Promise<Answer> {
  let done = 0;
  let stopping = false;
  const worker = async (): Promise<void> => {
    while (!stopping) {
      await send();
      done += each;
    }
  };
  const workers = Promise.all(Array.from({ length: inFlight }, worker));
  // A failure must end the wait for the window as well.
  const measured = (async (): Promise<number> => {
    await sleep(warmUpMs);
    const [startedMs, before] = [performance.now(), done];
    await sleep(countedMs);
    return ((done - before) * 1000) / (performance.now() - startedMs);
  })();
  try {
    const perSecond = await Promise.race([measured, workers.then(() => measured)]);
    return { perSecond };
  } finally {
    stopping = true;
    await workers;
  }
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
  let startedMs = 0;
  let first = 0;
  let total = 0;
  await reader.read((count) => {
    const nowMs = performance.now();
    if (total === 0) [startedMs, first] = [nowMs, count];
    total += count;
    return total < available && nowMs - startedMs < withinMs;
  });
  return { perSecond: ((total - first) * 1000) / (performance.now() - startedMs), count: total };
}

/** The offered load never waits for answers, up to this many unanswered messages: a system that is that far behind is saturated. */
const MOST_OUTSTANDING = 5_000;
/** How long the messages of a window may take to arrive after its end. */
const LATEST_MS = 3_000;

/** A live consumer and the open loop that feeds it. Times are of one clock: both are in this process. */
export class LiveLoad implements AsyncDisposable {
  readonly #driver: Driver;
  #consumer: AsyncDisposable | undefined;
  #onDelivered: (sentMs: number) => void = () => {};

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  async open(): Promise<void> {
    this.#consumer = await this.#driver.openLive((data) => {
      this.#onDelivered(Buffer.from(data.buffer, data.byteOffset, 8).readDoubleLE(0));
    });
  }

  /** Publishes at a steady pace, whatever comes back, and tells how long each message took from the call of `publish` to the consumer. */
  async run(perSecond: number, bytes: number, { warmUpMs, countedMs }: Window): Promise<Answer> {
    const startedMs = performance.now();
    const countFromMs = startedMs + warmUpMs;
    const endMs = countFromMs + countedMs;
    const samples: number[] = [];
    let delivered = 0;
    let lastDeliveredMs = endMs;
    this.#onDelivered = (sentMs) => {
      if (sentMs < startedMs) return;
      delivered += 1;
      lastDeliveredMs = performance.now();
      if (sentMs >= countFromMs) samples.push(lastDeliveredMs - sentMs);
    };
    const template = payload(bytes);
    let offered = 0;
    let sent = 0;
    let outstanding = 0;
    let failure: unknown;
    for (let nowMs = startedMs; nowMs < endMs; nowMs = performance.now()) {
      const due = Math.floor(((nowMs - startedMs) * perSecond) / 1000);
      for (; offered < due; offered++) {
        if (outstanding >= MOST_OUTSTANDING) continue;
        const data = Buffer.from(template);
        data.writeDoubleLE(performance.now(), 0);
        sent += 1;
        outstanding += 1;
        this.#driver.publish(data).then(
          () => {
            outstanding -= 1;
          },
          (error) => {
            outstanding -= 1;
            failure ??= error;
          },
        );
      }
      await sleep(1);
      if (failure !== undefined) throw failure;
    }
    const giveUpMs = endMs + LATEST_MS;
    while ((delivered < sent || outstanding > 0) && performance.now() < giveUpMs) await sleep(5);
    if (samples.length === 0)
      throw new Error(`nothing of ${sent} messages was delivered within ${LATEST_MS} ms`);
    const countedSeconds = (Math.max(lastDeliveredMs, endMs) - countFromMs) / 1000;
    return {
      p50Ms: percentile(samples, 0.5),
      p99Ms: percentile(samples, 0.99),
      deliveredPerSecond: samples.length / countedSeconds,
      count: samples.length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#consumer?.[Symbol.asyncDispose]();
    this.#consumer = undefined;
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
