import type { IEvent, IWatchResponse } from "etcd3";
import type { WatchBatch } from "../port.js";
import { readEvent } from "./codec.js";

/**
 * Where a watch is: all revisions before `next` were told. `fragments` are the events of a response still coming in.
 */
export interface WatchState {
  readonly next: bigint;
  readonly created: boolean;
  readonly fragments: readonly IEvent[];
}

export type WatchNews =
  /** The server took the watch. */
  | { readonly type: "created" }
  /** The server did not take the watch, or dropped it. */
  | { readonly type: "ended"; readonly reason: string }
  | { readonly type: "compacted"; readonly compactRevision: bigint }
  /** Empty for a sign of life, and for progress. */
  | { readonly type: "batches"; readonly batches: readonly WatchBatch[] };

/**
 * What one response of a watch stream means. Pure.
 *
 * etcd does not split a revision over responses unless it is asked to fragment (its API guarantees that lists of
 * events hold whole revisions; in its source a response ends at a revision, watcher_group.go). Fragments are put
 * together here all the same.
 */
export function decodeWatch(
  state: WatchState,
  response: IWatchResponse,
): { state: WatchState; news: WatchNews } {
  if (response.compact_revision !== "0" && response.compact_revision !== undefined) {
    return { state, news: { type: "compacted", compactRevision: BigInt(response.compact_revision) } };
  }
  if (response.created && !state.created) {
    if (response.canceled) return { state, news: { type: "ended", reason: response.cancel_reason } };
    return { state: { ...state, created: true }, news: { type: "created" } };
  }
  // The answer to a probe: a second watch, refused.
  if (response.created) return { state, news: { type: "batches", batches: [] } };
  if (response.canceled) return { state, news: { type: "ended", reason: response.cancel_reason } };

  const events = [...state.fragments, ...response.events];
  if (response.fragment) {
    return { state: { ...state, fragments: events }, news: { type: "batches", batches: [] } };
  }
  const batches = groupByRevision(events, state.next);
  const last = batches.at(-1);
  let next = last === undefined ? state.next : last.revision + 1n;
  // A response without events tells how far the watch has come, so that after a quiet time it resumes behind what was
  // compacted meanwhile. Of one WITH events the header says nothing of the kind: a watch that catches up gets them in
  // parts, each headed by the newest revision of the store (syncWatchers in watchable_store.go).
  if (events.length === 0) {
    const progress = BigInt(response.header.revision) + 1n;
    if (progress > next) next = progress;
  }
  return { state: { ...state, next, fragments: [] }, news: { type: "batches", batches } };
}

function groupByRevision(events: readonly IEvent[], from: bigint): WatchBatch[] {
  const batches: { revision: bigint; events: ReturnType<typeof readEvent>[] }[] = [];
  for (const event of events) {
    const revision = BigInt(event.kv.mod_revision);
    if (revision < from) continue; // never twice, whatever the server does
    const last = batches.at(-1);
    if (last?.revision === revision) last.events.push(readEvent(event));
    else batches.push({ revision, events: [readEvent(event)] });
  }
  return batches;
}
