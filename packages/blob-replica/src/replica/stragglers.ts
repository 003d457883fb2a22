import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";

interface Straggler {
  readonly refs: readonly Ref[];
  readonly bytes: number;
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

const most = { writes: 256, bytes: 32 * 1024 * 1024 };

/** What goes on after its caller has been answered, in one store: bounded, because a store that hangs would keep every blob in memory. */
export class Stragglers {
  readonly #running = new Set<Straggler>();
  #bytes = 0;

  /** Stops the oldest when there are too many. `done` never rejects. */
  add(refs: readonly Ref[], bytes: number, controller: AbortController, done: Promise<void>): void {
    const straggler: Straggler = { refs, bytes, controller, done };
    this.#running.add(straggler);
    this.#bytes += bytes;
    void done.then(() => this.#remove(straggler));
    while (this.#running.size > most.writes || (this.#bytes > most.bytes && this.#running.size > 1)) {
      const [oldest] = this.#running;
      if (oldest === undefined) return;
      this.#remove(oldest);
      oldest.controller.abort(new BlobError("unavailable", "too many writes wait for this store"));
    }
  }

  #remove(straggler: Straggler): void {
    if (this.#running.delete(straggler)) this.#bytes -= straggler.bytes;
  }

  async settled(ref: Ref): Promise<void> {
    const those = [...this.#running].filter(({ refs }) => refs.includes(ref));
    await Promise.all(those.map(({ done }) => done));
  }

  async stop(reason: unknown): Promise<void> {
    for (const { controller } of this.#running) controller.abort(reason);
    await Promise.all([...this.#running].map(({ done }) => done));
  }
}
