import type { Clock } from "../clock.js";
import type { Channel } from "./channel.js";

/** So long the best connection has for itself before the next one is tried beside it. */
const STAGGER_MS = 1_000;

export interface FirstReadyOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Wait for as long as none is ready. Otherwise the last one is given when all have failed: a call to it fails at once, and says why. */
  readonly wait: boolean;
  /** Told once when all have failed, and waiting goes on. */
  readonly onAllFailed: (channels: readonly Channel[]) => void;
}

/**
 * The first of these channels whose connection is ready. They are tried in their order: the next one when the one before failed, or is not
 * ready within a second (a broker that hangs accepts connections, and then says nothing). Rejects with the signal's reason.
 */
export function firstReady(channels: readonly Channel[], options: FirstReadyOptions): Promise<Channel> {
  const { clock, signal, wait, onAllFailed } = options;
  return new Promise((resolve, reject) => {
    // A signal that is aborted already, as by a close while the token was asked for, will not say so again.
    signal.throwIfAborted();
    const started: Channel[] = [];
    const undo: (() => void)[] = [];
    let cancelTimer: () => void = () => {};
    let over = false;
    let told = false;

    const finish = (settle: () => void): void => {
      if (over) return;
      over = true;
      cancelTimer();
      signal.removeEventListener("abort", onAbort);
      for (const channel of started) channel.uses--;
      for (const stop of undo) stop();
      settle();
    };
    const onAbort = (): void => finish(() => reject(signal.reason));
    const start = (): void => {
      const channel = channels[started.length];
      if (channel === undefined) return;
      started.push(channel);
      channel.uses++;
      undo.push(channel.onChange(check));
      channel.connect();
    };
    const check = (): void => {
      if (over) return;
      const ready = started.find((channel) => channel.ready);
      if (ready !== undefined) {
        for (const channel of started.slice(0, started.indexOf(ready))) channel.markSlow();
        finish(() => resolve(ready));
        return;
      }
      while (started.length < channels.length && started.every((channel) => channel.failed)) start();
      if (started.length < channels.length || !started.every((channel) => channel.failed)) return;
      if (!wait) {
        finish(() => resolve(started[started.length - 1]!));
      } else if (!told) {
        told = true;
        onAllFailed(started);
      }
    };
    // Also what keeps the process alive while somebody waits: the pauses of grpc-js do not.
    const tick = (): void => {
      cancelTimer = clock.setTimer(STAGGER_MS, tick);
      start();
      check();
    };

    signal.addEventListener("abort", onAbort, { once: true });
    cancelTimer = clock.setTimer(STAGGER_MS, tick);
    start();
    check();
  });
}
