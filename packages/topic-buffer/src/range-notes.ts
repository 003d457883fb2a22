import type { WantedRange } from "./allocation.js";
import type { NodeContext } from "./options.js";
import { backoffMs } from "./settle.js";
import { CATCH_UP_MS } from "./tenure.js";

const KEEP_MS = 60_000;
const KEEP_MAX_MS = 3_600_000;
const RETRY_MS = 200;
const RETRY_MAX_MS = 30_000;

interface Until {
  readonly count: number;
  readonly until: number;
}

/** What a tenure remembers of ranges beyond the state: what it has just done to them, what failed, since when nobody has them. */
export class RangeNotes {
  readonly #node: NodeContext;
  /** States before the revision say nothing about the range: something was done to its lease. Only for a while, see `catchUp`. */
  readonly #settled: Map<string, { readonly revision: bigint; readonly until: number }> = new Map();
  readonly #blocked: Map<string, Until> = new Map();
  readonly #kept: Map<string, Until> = new Map();
  readonly #orphans: Map<string, { readonly since: number; readonly graceMs: number }> = new Map();

  constructor(node: NodeContext) {
    this.#node = node;
  }

  /** Its lease is not what states before the revision say. */
  settle(key: string, revision: bigint): void {
    this.#settled.set(key, { revision, until: this.#node.clock.monotonicMs() + CATCH_UP_MS });
  }

  /** It can't be taken over now. Gives the time to wait, which grows. */
  block(key: string): number {
    const count = (this.#blocked.get(key)?.count ?? -1) + 1;
    const retryAfterMs = backoffMs(this.#node, count, RETRY_MS, RETRY_MAX_MS);
    this.#blocked.set(key, { count, until: this.#node.clock.monotonicMs() + retryAfterMs });
    return retryAfterMs;
  }

  unblock(key: string): void {
    this.#blocked.delete(key);
  }

  /** It was taken because nobody else did: it is not to be handed over for a while, each time for longer. */
  keep(key: string): void {
    const count = (this.#kept.get(key)?.count ?? -1) + 1;
    const keepMs = Math.min(KEEP_MAX_MS, KEEP_MS * 2 ** count);
    this.#kept.set(key, { count, until: this.#node.clock.monotonicMs() + keepMs });
  }

  /** Whether the state is to be believed about a range, and nothing speaks against trying it now. */
  mayTouch(key: string, revision: bigint): boolean {
    const now = this.#node.clock.monotonicMs();
    if ((this.#blocked.get(key)?.until ?? 0) > now) return false;
    const settled = this.#settled.get(key);
    return !settled || settled.until <= now || revision >= settled.revision;
  }

  /** To be told of every state, so that it knows since when a range has had no holder. */
  noteOrphans(wanted: readonly WantedRange[]): void {
    const { clock, graceMs, random } = this.#node;
    const since = clock.monotonicMs();
    const seen = new Set<string>();
    for (const { key, holder } of wanted) {
      if (holder !== undefined) continue;
      seen.add(key);
      if (!this.#orphans.has(key))
        this.#orphans.set(key, { since, graceMs: graceMs * (1 + random.number()) });
    }
    for (const key of this.#orphans.keys()) if (!seen.has(key)) this.#orphans.delete(key);
  }

  /** The ranges that nobody has had for longer than the grace. */
  overdue(): Set<string> {
    const now = this.#node.clock.monotonicMs();
    return new Set(
      [...this.#orphans].flatMap(([key, { since, graceMs }]) => (now - since >= graceMs ? [key] : [])),
    );
  }

  kept(): Set<string> {
    const now = this.#node.clock.monotonicMs();
    return new Set([...this.#kept].flatMap(([key, { until }]) => (until > now ? [key] : [])));
  }
}
