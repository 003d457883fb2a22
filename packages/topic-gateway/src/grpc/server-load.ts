/** What all calls of a server hold together, and how much they may. */
import { TopicError } from "../errors.js";
import type { Clock } from "../protocol/runtime.js";

export interface GatewayServerLimits {
  /**
   * Of all calls together, what has arrived of messages until they are answered and durable, and answers until they are taken. From
   * half of it on streams are not read further; beyond it calls end with RESOURCE_EXHAUSTED. At least 16 MiB. Default: 256 MiB.
   */
  readonly maxBytes?: number;
  /** Open at the same time: beyond it new ones end with RESOURCE_EXHAUSTED. Default: 4,096. */
  readonly maxCalls?: number;
  /** Beyond it connections are closed at once. Default: 1,024. */
  readonly maxConnections?: number;
  /** Within it a message that has begun has to arrive, as has the whole request of a call that is no stream, and an answer has to be taken. Default: 30,000. */
  readonly stallTimeoutMs?: number;
}

const MIN_BYTES = 16 * 1024 * 1024;

const DEFAULT_LIMITS: Required<GatewayServerLimits> = {
  maxBytes: 16 * MIN_BYTES,
  maxCalls: 4_096,
  maxConnections: 1_024,
  stallTimeoutMs: 30_000,
};

/** With the defaults. @throws TopicError "invalid-argument" */
export function parseLimits(limits: GatewayServerLimits = {}): Required<GatewayServerLimits> {
  const { maxBytes, maxCalls, maxConnections, stallTimeoutMs } = { ...DEFAULT_LIMITS, ...limits };
  return {
    maxBytes: atLeast("maxBytes", maxBytes, MIN_BYTES),
    maxCalls: atLeast("maxCalls", maxCalls, 1),
    maxConnections: atLeast("maxConnections", maxConnections, 1),
    stallTimeoutMs: atLeast("stallTimeoutMs", stallTimeoutMs, 1),
  };
}

/** @throws TopicError "invalid-argument" */
function atLeast(name: string, value: number, least: number): number {
  if (typeof value === "number" && value >= least) return value;
  throw new TopicError(
    "invalid-argument",
    `limits.${name} must be a number of at least ${least}, not ${String(value)}`,
  );
}

export class ServerLoad {
  readonly #maxBytes: number;
  readonly #maxCalls: number;
  readonly #clock: Pick<Clock, "setTimer">;
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #calls = 0;
  #isLettingGo = false;

  constructor(
    limits: Pick<Required<GatewayServerLimits>, "maxBytes" | "maxCalls">,
    clock: Pick<Clock, "setTimer">,
  ) {
    this.#maxBytes = limits.maxBytes;
    this.#maxCalls = limits.maxCalls;
    this.#clock = clock;
  }

  /** Held now. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Open now. */
  get calls(): number {
    return this.#calls;
  }
  /** No stream should read more than what has begun to arrive. */
  get isBusy(): boolean {
    return this.#bytes * 2 >= this.#maxBytes;
  }

  /** False, and nothing is counted, when there are too many. */
  enter(): boolean {
    if (this.#calls >= this.#maxCalls) return false;
    this.#calls += 1;
    return true;
  }

  leave(): void {
    this.#calls -= 1;
  }

  /** False, and nothing is added, when that would be too much. */
  tryAdd(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Of what was let in already. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
    this.#letGo();
  }

  /** Calls back when it is not busy any more: those that wait one after the other, oldest first. */
  wait(read: () => void): void {
    this.#waiting.add(read);
  }

  forget(read: () => void): void {
    this.#waiting.delete(read);
  }

  /** What one of them brings is counted before the next one is let go. */
  #letGo(): void {
    if (this.#isLettingGo || this.isBusy) return;
    const [oldest] = this.#waiting;
    if (!oldest) return;
    this.#waiting.delete(oldest);
    this.#isLettingGo = true;
    this.#clock.setTimer(0, () => {
      this.#isLettingGo = false;
      this.#letGo();
    });
    oldest();
  }
}
