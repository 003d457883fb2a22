import type { Session } from "@x/coord";
import {
  type HashRange,
  type Runtime,
  rangeLeaseKey,
  rangeSizeKey,
  type StateCache,
  type TopicName,
} from "@x/topic-gateway/protocol";
import type { NodeContext } from "./options.js";
import type { ServedSegments } from "./served.js";
import { settleTxn } from "./settle.js";

/** The life of a buffer under one session. When the session is lost nothing of it goes on. */
export interface Tenure {
  readonly node: NodeContext;
  readonly runtime: Runtime;
  readonly session: Session;
  readonly cache: StateCache;
  readonly served: ServedSegments;
  /** Aborts with the session, or when the node stops at once. */
  readonly signal: AbortSignal;
}

/** The longest that a view is waited for that may never come: a revision can be of keys that are not ours. */
export const CATCH_UP_MS = 500;

/**
 * Waits until the state shows a revision, but not for ever: one that the store named with a refusal may belong to somebody
 * else's key, which nobody tells us about. Whoever acts on a state that is too old is only refused again.
 * @throws what ended the cache, or `signal.reason`
 */
export async function catchUp(tenure: Tenure, revision: bigint): Promise<void> {
  await reachWithin(tenure, revision, { withinMs: CATCH_UP_MS, signal: tenure.signal });
}

/** Whether the state came to show a revision within the time. @throws what ended the cache, or `signal.reason` */
export async function reachWithin(
  { cache, runtime }: Pick<Tenure, "cache" | "runtime">,
  revision: bigint,
  { withinMs, signal }: { readonly withinMs: number; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  if (cache.state.revision >= revision) return true;
  const stop = new AbortController();
  const cancel = runtime.clock.setTimer(withinMs, () => stop.abort());
  const onAbort = (): void => stop.abort();
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  try {
    await cache.reach(revision, { signal: stop.signal });
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    if (!stop.signal.aborted) throw error;
    return false;
  } finally {
    cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}

/** A range whose lease is this tenure's. */
export interface Claim {
  readonly topic: TopicName;
  readonly range: HashRange;
  /** The create revision of the lease's key. */
  readonly epoch: bigint;
}

/**
 * Step 1: puts the lease's key if nobody holds it and the layout is the one that was seen.
 * `epoch` is undefined if it is not ours now; `revision` is one at which that was so.
 */
export async function claimRange(
  tenure: Tenure,
  topic: TopicName,
  range: HashRange,
  layout: bigint,
): Promise<{ readonly epoch: bigint | undefined; readonly revision: bigint }> {
  const { node, session } = tenure;
  const key = rangeLeaseKey(topic, range);
  const { succeeded, revision, results } = await settleTxn(
    node.coord,
    {
      compare: [
        { key, target: "create", op: "=", value: 0n },
        { key: rangeSizeKey(topic), target: "mod", op: "=", value: layout },
      ],
      then: [{ type: "put", key, value: node.address, lease: session.leaseId }],
      else: [{ type: "get", key }],
    },
    tenure,
  );
  if (succeeded) return { epoch: revision, revision };
  // Ours all the same: an earlier attempt that was never answered was applied.
  const [found] = results;
  const kv = found?.type === "get" ? found.kvs[0] : undefined;
  return { epoch: kv?.lease === session.leaseId ? kv.createRevision : undefined, revision };
}

/** Deletes the lease's key if it is still that of the claim. Gives a revision at which it is not. */
export async function giveBack(tenure: Tenure, claim: Claim): Promise<bigint> {
  const key = rangeLeaseKey(claim.topic, claim.range);
  const { revision } = await settleTxn(
    tenure.node.coord,
    {
      compare: [{ key, target: "create", op: "=", value: claim.epoch }],
      then: [{ type: "delete", key }],
    },
    tenure,
  );
  return revision;
}
