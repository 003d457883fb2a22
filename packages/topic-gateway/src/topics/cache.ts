import { type Coord, follow } from "@x/coord";
import { TopicError } from "../errors.js";
import type { Clock } from "../protocol/runtime.js";
import { SystemState } from "./state.js";

/**
 * A `SystemState` that is kept current by one watch. Nothing in it is precious: every decision that writes is a transaction that
 * compares what it relies on, and what it is behind by shows as a refused one.
 */
export class StateCache implements AsyncDisposable {
  readonly state: SystemState = new SystemState();
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #failure: unknown;

  /** Resolves when the first snapshot is there. @throws as the coordination store does, or with `signal.reason` */
  static async open(
    coord: Coord,
    options: { readonly clock: Clock; readonly signal?: AbortSignal },
  ): Promise<StateCache> {
    const cache = new StateCache();
    cache.#running = cache.#run(coord, options.clock);
    try {
      await cache.until((state) => state.revision > 0n || undefined, options);
    } catch (error) {
      await cache.close();
      throw error;
    }
    return cache;
  }

  /** Calls back after each applied revision, and once when the cache ends. The returned function stops that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits until `look` gives something for the state: the first look is at once. @throws what ended the cache, or `signal.reason` */
  until<T>(
    look: (state: SystemState) => T | undefined,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<T> {
    const { signal } = options;
    return new Promise<T>((resolve, reject) => {
      const settle = (finish: () => void): void => {
        unlisten();
        signal?.removeEventListener("abort", onChange);
        finish();
      };
      const onChange = (): void => {
        let found: T | undefined;
        try {
          found = look(this.state);
        } catch (error) {
          settle(() => reject(error));
          return;
        }
        if (found !== undefined) settle(() => resolve(found as T));
        else if (signal?.aborted) settle(() => reject(signal.reason));
        else if (this.#failure !== undefined) settle(() => reject(this.#failure));
      };
      const unlisten = this.listen(onChange);
      signal?.addEventListener("abort", onChange);
      onChange();
    });
  }

  /** Waits until the state is at least of this revision. */
  async reach(revision: bigint, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.until((state) => (state.revision >= revision ? true : undefined), options);
  }

  /** What ended the cache, or undefined while it lives. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Resolves with the failure when the cache ends. */
  get ended(): Promise<unknown> {
    return this.#running.then(() => this.#failure);
  }

  async #run(coord: Coord, clock: Clock): Promise<void> {
    try {
      for await (const batch of follow(coord, { prefix: "/" }, { clock, signal: this.#stop.signal })) {
        this.state.apply(batch);
        this.#tell();
      }
    } catch (error) {
      this.#failure = this.#stop.signal.aborted ? closed() : error;
    }
    this.#failure ??= closed();
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  async close(): Promise<void> {
    this.#failure ??= closed();
    this.#stop.abort(this.#failure);
    this.#tell();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function closed(): TopicError {
  return new TopicError("closed", "the view of the topics was closed");
}
