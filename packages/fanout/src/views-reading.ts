import { FanoutError } from "./errors.js";
import type { ViewSource, Views } from "./views.js";

type ReadViews<V> = Extract<ViewSource<V>, (...args: never) => unknown>;

export interface ViewsReadingSetup<V> {
  readonly read: ReadViews<V>;
  readonly idleTimeoutMs: number;
  readonly nowMs: number;
  readonly setAlarm: (dueMs: number, ring: () => void) => () => void;
  /** Exactly one of the two is called, once, unless the reading is cancelled before. */
  readonly onViews: (views: Views<V>) => void;
  readonly onError: (error: unknown) => void;
}

/** One reading of a views function, which may throw, reject or hang. Starts at once; what comes too late is ignored. */
export class ViewsReading<V> {
  readonly #controller = new AbortController();
  readonly #setup: ViewsReadingSetup<V>;
  #over = false;
  #cancelAlarm: (() => void) | undefined;

  constructor(setup: ViewsReadingSetup<V>) {
    this.#setup = setup;
  }

  start(): void {
    const { setAlarm, nowMs, idleTimeoutMs, onError } = this.#setup;
    if (idleTimeoutMs !== Number.POSITIVE_INFINITY) {
      this.#cancelAlarm = setAlarm(nowMs + idleTimeoutMs, () => {
        if (!this.#end()) return;
        const error = new FanoutError("timeout", `The views function gave nothing for ${idleTimeoutMs} ms.`);
        this.#controller.abort(error);
        onError(error);
      });
    }
    void this.#run();
  }

  cancel(reason: unknown): void {
    if (this.#end()) this.#controller.abort(reason);
  }

  async #run(): Promise<void> {
    const { read, onViews, onError } = this.#setup;
    let report: () => void;
    try {
      const views = await read({ signal: this.#controller.signal });
      report = () => onViews(views);
    } catch (error) {
      report = () => onError(error);
    }
    if (this.#end()) report();
  }

  /** False when it was over before. */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#cancelAlarm?.();
    return true;
  }
}
