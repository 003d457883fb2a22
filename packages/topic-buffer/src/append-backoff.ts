import type { NodeContext } from "./options.js";
import { backoffMs } from "./settle.js";

const RETRY_MS = 100;
const RETRY_MAX_MS = 10_000;

/**
 * How long a range waits before it goes on in another segment behind one whose log is in doubt. Each try leaves a record and a log, and
 * what failed (a full disk takes a header, and not the messages) is likely to fail again. The first failure costs no wait; then the wait
 * doubles, until the range went well for as long as the longest wait: one append that succeeds says little, because a small one may
 * still fit where a large one does not.
 */
export class AppendBackoff {
  readonly #node: NodeContext;
  #failures = 0;
  #openedMs = 0;
  #cut: () => void = () => {};

  constructor(node: NodeContext) {
    this.#node = node;
  }

  /** The range was taken over and begins to take appends. */
  opened(): void {
    this.#openedMs = this.#node.clock.monotonicMs();
  }

  /** Gives how long to wait before it is taken over again, in milliseconds. */
  failed(): number {
    if (this.#node.clock.monotonicMs() - this.#openedMs >= RETRY_MAX_MS) this.#failures = 0;
    const failures = this.#failures++;
    return failures === 0 ? 0 : backoffMs(this.#node, failures - 1, RETRY_MS, RETRY_MAX_MS);
  }

  /** Resolves when the time is over, or cut short. @throws `signal.reason` */
  async wait(delayMs: number, signal: AbortSignal): Promise<void> {
    const over = new Promise<void>((resolve) => {
      this.#cut = resolve;
    });
    const cut = this.#cut;
    const cancel = this.#node.clock.setTimer(delayMs, cut);
    signal.addEventListener("abort", cut);
    try {
      if (!signal.aborted) await over;
    } finally {
      cancel();
      signal.removeEventListener("abort", cut);
    }
    signal.throwIfAborted();
  }

  /** Ends a wait that is under way. */
  cut(): void {
    this.#cut();
  }
}
