import type { Ref } from "../ref.js";
import { unlessAborted } from "./abort.js";

interface Writing {
  readonly refs: readonly Ref[];
  readonly running: Promise<unknown>;
}

/** Orders writes and deletions of the same ref: those of different ones go on side by side, and so do writes of the same one. */
export class RefOrder {
  readonly #writing = new Set<Writing>();
  readonly #deleting = new Map<Ref, Promise<void>>();

  /** Begins when none of the refs is being deleted. @throws `signal.reason` while it waits; what `work` throws */
  async write<T>(refs: readonly Ref[], signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    for (let held = this.#held(refs); held !== undefined; held = this.#held(refs)) {
      await unlessAborted(held, signal);
    }
    const running = work();
    const writing = { refs, running };
    this.#writing.add(writing);
    try {
      return await running;
    } finally {
      this.#writing.delete(writing);
    }
  }

  #held(refs: readonly Ref[]): Promise<void> | undefined {
    if (this.#deleting.size === 0) return undefined;
    for (const ref of refs) {
      const held = this.#deleting.get(ref);
      if (held) return held;
    }
    return undefined;
  }

  /** One at a time; no write begins meanwhile. `settled`: resolves when those that had begun are over. @throws `signal.reason` while it waits; what `work` throws */
  async delete<T>(
    ref: Ref,
    signal: AbortSignal | undefined,
    work: (settled: Promise<unknown>) => Promise<T>,
  ): Promise<T> {
    for (let held = this.#deleting.get(ref); held !== undefined; held = this.#deleting.get(ref)) {
      await unlessAborted(held, signal);
    }
    let release = () => {};
    const over = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#deleting.set(ref, over);
    try {
      const begun = [...this.#writing].filter(({ refs }) => refs.includes(ref));
      return await work(Promise.allSettled(begun.map(({ running }) => running)));
    } finally {
      this.#deleting.delete(ref);
      release();
    }
  }
}
