import { CoordError } from "@x/coord";
import { prefixes, TopicError, type TopicName } from "@x/topic-gateway/protocol";
import { reachWithin, type Tenure } from "./tenure.js";

/** A state that is behind for longer than this is behind for a reason that is worth a question to the store. */
const ASK_AFTER_MS = 100;

/**
 * Whether the state shows all that this tenure serves, for those who ask at a revision that they have seen. The revision itself may never
 * show here, since it may be of a key that is not ours, but to answer without it could be to say "nothing" of a segment that was given to
 * us and that we do not know of yet. So when the state does not come to it soon, the store is asked for the newest revision that matters.
 */
export class SeenServers {
  readonly #tenure: Tenure;
  /** By topic, a revision of the store of which the state is known to show all that matters. */
  readonly #seen: Map<TopicName, bigint> = new Map();

  constructor(tenure: Tenure) {
    this.#tenure = tenure;
  }

  /**
   * Resolves when the state shows every segment of the topic that the records gave to this tenure at the revision or before.
   * @throws TopicError "unavailable" if the store can't be asked, what ended the tenure, `signal.reason`
   */
  async reach(topic: TopicName, revision: bigint, signal: AbortSignal | undefined): Promise<void> {
    const tenure = this.#tenure;
    if (tenure.cache.state.revision >= revision || (this.#seen.get(topic) ?? 0n) >= revision) return;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    signal?.addEventListener("abort", onAbort);
    tenure.signal.addEventListener("abort", onAbort);
    if (signal?.aborted || tenure.signal.aborted) onAbort();
    try {
      const limits = { withinMs: ASK_AFTER_MS, signal: stop.signal };
      if (!(await reachWithin(tenure, revision, limits))) await this.#ask(topic, stop.signal);
    } catch (error) {
      signal?.throwIfAborted();
      tenure.signal.throwIfAborted();
      if (!(error instanceof CoordError)) throw error;
      throw new TopicError("unavailable", "the store did not say what is served here", { cause: error });
    } finally {
      signal?.removeEventListener("abort", onAbort);
      tenure.signal.removeEventListener("abort", onAbort);
    }
  }

  async #ask(topic: TopicName, signal: AbortSignal): Promise<void> {
    const { cache, node, session } = this.#tenure;
    const { kvs, revision } = await node.coord.get({ prefix: `${prefixes.servers}${topic}/` }, { signal });
    // Whoever seals a segment gives it a server in the same transaction: a state that shows the server shows the end.
    let newest = 0n;
    for (const { lease, modRevision } of kvs)
      if (lease === session.leaseId && modRevision > newest) newest = modRevision;
    await cache.reach(newest, { signal });
    // Only of topics that there are, so that nobody fills the map with names.
    if (cache.state.topics.has(topic)) this.#seen.set(topic, revision);
  }
}
