import { CoordError } from "../../src/errors.js";
import type { Coord } from "../../src/port.js";

/** What happens to the calls of a method: nothing ever, an error, a wait before they reach the store, or (undefined) they reach it. */
export type Trouble = "hangs" | CoordError | Promise<void> | undefined;

type Method = "clusterId" | "get" | "txn" | "grantLease" | "keepAlive" | "revokeLease";

/** A store whose connection goes bad when told to. `calls` counts what was asked, by method. */
export class FlakyCoord {
  readonly coord: Coord;
  readonly calls: Map<string, number> = new Map();
  readonly trouble: Map<Method | "watch", Trouble> = new Map();

  constructor(inner: Coord) {
    const call = async <Result>(
      name: Method,
      signal: AbortSignal | undefined,
      run: () => Promise<Result>,
    ): Promise<Result> => {
      await this.#meet(name, signal);
      return await run();
    };
    this.coord = {
      clusterId: (options) => call("clusterId", options?.signal, () => inner.clusterId(options)),
      get: (selector, options) => call("get", options?.signal, () => inner.get(selector, options)),
      txn: (txn, options) => call("txn", options?.signal, () => inner.txn(txn, options)),
      grantLease: (ttlMs, options) =>
        call("grantLease", options?.signal, () => inner.grantLease(ttlMs, options)),
      keepAlive: (id, options) => call("keepAlive", options?.signal, () => inner.keepAlive(id, options)),
      revokeLease: (id, options) =>
        call("revokeLease", options?.signal, () => inner.revokeLease(id, options)),
      watch: (selector, options) => this.#watch(inner, selector, options),
      close: () => inner.close(),
      [Symbol.asyncDispose]: () => inner.close(),
    };
  }

  count(name: Method | "watch"): number {
    return this.calls.get(name) ?? 0;
  }

  async *#watch(
    inner: Coord,
    ...[selector, options]: Parameters<Coord["watch"]>
  ): ReturnType<Coord["watch"]> & AsyncGenerator {
    await this.#meet("watch", options?.signal);
    for await (const batch of inner.watch(selector, options)) {
      yield batch;
      await this.#meet("watch", options?.signal);
    }
  }

  async #meet(name: Method | "watch", signal: AbortSignal | undefined): Promise<void> {
    this.calls.set(name, this.count(name) + 1);
    signal?.throwIfAborted();
    const trouble = this.trouble.get(name);
    if (trouble === undefined) return;
    if (trouble instanceof Promise) return await trouble;
    if (trouble !== "hangs") throw trouble;
    await new Promise((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  }
}

export const unavailable: CoordError = new CoordError("unavailable", "the network is down");
