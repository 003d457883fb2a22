/**
 * The network between simulated processes: streams over connections that are slow, stall, break and are never told the truth
 * at once. It knows nothing of what is carried; `buffer-service.ts` and `coord-service.ts` do.
 */
import { Call, type Message } from "./call.js";
import { ConnectionError, pairOf } from "./connection.js";
import type { DeathCause, SimProcess } from "./process.js";
import type { SeededRandom } from "./random.js";
import type { Scheduler } from "./scheduler.js";

/** What a process offers at an address: a stream of answers for a request and, if there are any, a stream of inputs. */
export type Service = (method: string, request: unknown, call: ServerCall) => AsyncIterable<unknown>;

export interface ServerCall {
  readonly inputs: AsyncIterable<unknown>;
  /** Aborts when the caller has left, or is taken for dead. */
  readonly signal: AbortSignal;
}

/**
 * `stall`: messages wait, and after some seconds each side gives its connections up by itself.
 * `blackhole`: messages wait, and hardly anybody notices.
 */
export type PartitionMode = "stall" | "blackhole";

interface Partition {
  readonly mode: PartitionMode;
  readonly stalled: (() => void)[];
}

/** Factors of one host pair's latency. */
const USUAL_LATENCY_MS: readonly [number, number] = [0.1, 1.5];
const SLOW_CHANCE = 0.02;
const SLOW_LATENCY_MS: readonly [number, number] = [5, 60];

export class Network {
  readonly scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #listeners = new Map<string, { readonly process: SimProcess; readonly service: Service }>();
  /** The name of the process that has, or last had, an address. */
  readonly #names = new Map<string, { readonly name: string; readonly host: string }>();
  readonly #partitions = new Map<string, Partition>();
  readonly #calls = new Set<Call>();
  readonly #darkHosts = new Set<string>();
  #callCount = 0;
  /** Multiplies all latencies. */
  slowness = 1;

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.scheduler = scheduler;
    this.#random = random;
  }

  listen(process: SimProcess, address: string, service: Service): void {
    this.#listeners.set(address, { process, service });
    this.#names.set(address, { name: process.name, host: process.host });
    process.onDeath(() => {
      if (this.#listeners.get(address)?.process === process) this.#listeners.delete(address);
    });
  }

  /**
   * Calls a method of whoever listens at the address. Nothing is sent before the first `next` of the answers.
   * @throws (the answers do) ConnectionError, `signal.reason`, what the service threw
   */
  call(
    from: SimProcess,
    address: string,
    request: {
      readonly method: string;
      readonly body: unknown;
      readonly inputs?: AsyncIterable<unknown>;
      readonly signal?: AbortSignal;
      /** One answer, which also ends the call. */
      readonly isUnary?: boolean;
    },
  ): AsyncIterableIterator<unknown, undefined> {
    this.#callCount += 1;
    const id = `${request.method}@${this.#callCount}`;
    const peer = this.#names.get(address);
    const call = new Call({ network: this, id, from, address, toName: peer?.name ?? address, request });
    return call.answers(() => {
      this.#calls.add(call);
      this.#expectLoss(call);
    });
  }

  /** A call with one answer. @throws ConnectionError, `signal.reason`, what the service threw */
  async ask(
    from: SimProcess,
    address: string,
    request: { readonly method: string; readonly body: unknown; readonly signal?: AbortSignal },
  ): Promise<unknown> {
    const answer = await this.call(from, address, { ...request, isUnary: true }).next();
    if (answer.done) throw new ConnectionError(`${request.method} was not answered`);
    return answer.value;
  }

  forget(call: Call): void {
    this.#calls.delete(call);
  }

  /** Who is at the address, or why nobody answers there. */
  dial(address: string): { readonly process: SimProcess; readonly service: Service } | "refused" | "silent" {
    const listener = this.#listeners.get(address);
    if (listener) return listener;
    const host = this.#names.get(address)?.host;
    return host !== undefined && this.isDark(host) ? "silent" : "refused";
  }

  setPower(host: string, isOn: boolean): void {
    if (isOn) this.#darkHosts.delete(host);
    else this.#darkHosts.add(host);
  }

  isDark(host: string): boolean {
    return this.#darkHosts.has(host);
  }

  partition(a: string, b: string, mode: PartitionMode): void {
    const pair = pairOf(a, b);
    if (this.#partitions.has(pair)) return;
    this.scheduler.trace(`${pair} are parted (${mode})`);
    this.#partitions.set(pair, { mode, stalled: [] });
    for (const call of this.#calls) if (call.pair === pair) this.#expectLoss(call);
  }

  heal(a: string, b: string): void {
    const pair = pairOf(a, b);
    const partition = this.#partitions.get(pair);
    if (!partition) return;
    this.scheduler.trace(`${pair} are joined again`);
    this.#partitions.delete(pair);
    // TCP sends again what was not acknowledged, in order, when its timer runs out.
    const delayMs = this.#random.between(1, 500);
    for (const go of partition.stalled) this.scheduler.after(delayMs, `${pair} sends again`, go);
  }

  healAll(): void {
    for (const pair of [...this.#partitions.keys()]) {
      const [a, b] = pair.split("|") as [string, string];
      this.heal(a, b);
    }
    this.slowness = 1;
  }

  /** Breaks all connections between two processes: both sides learn of it after a moment, what is on its way is lost. */
  reset(a: string, b: string): void {
    const pair = pairOf(a, b);
    this.scheduler.trace(`${pair} are reset`);
    for (const call of [...this.#calls]) {
      if (call.pair === pair) call.break("the connection was reset", () => this.latencyMs());
    }
  }

  latencyMs(): number {
    const [from, to] = this.#random.chance(SLOW_CHANCE) ? SLOW_LATENCY_MS : USUAL_LATENCY_MS;
    return this.#random.between(from, to) * this.slowness;
  }

  /** How long a peer takes to notice the death of a process. */
  detectionMs(cause: DeathCause): number {
    return cause === "killed" ? this.latencyMs() : this.#random.between(500, 8000);
  }

  /** Carries one message; each direction of a call keeps its order by giving the time of its last arrival. */
  carry(message: Message): number {
    const { pair, label, notBeforeMs, arrive } = message;
    const arrivalMs = Math.max(notBeforeMs, this.scheduler.nowMs + this.latencyMs());
    const attempt = (): void => {
      const partition = this.#partitions.get(pair);
      if (partition) partition.stalled.push(attempt);
      else arrive();
    };
    this.scheduler.after(arrivalMs - this.scheduler.nowMs, label, attempt);
    return arrivalMs;
  }

  /** While two processes are parted, each side gives a call up some time. */
  #expectLoss(call: Call): void {
    const partition = this.#partitions.get(call.pair);
    if (!partition) return;
    const [from, to] = partition.mode === "stall" ? [500, 6000] : [15_000, 40_000];
    for (const side of ["caller", "server"] as const) {
      this.scheduler.after(this.#random.between(from, to), `${call.id}: ${side} loses patience`, () => {
        if (this.#partitions.get(call.pair) === partition) call.lose(side, "nothing was heard of the peer");
      });
    }
  }
}
