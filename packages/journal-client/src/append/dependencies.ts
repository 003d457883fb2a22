import { JournalError } from "../errors.js";
import { Barrier, Batch } from "./batch.js";
import { AsyncOperation, type OpFuture } from "./op-future.js";
import { QueuedAppend } from "./queued-append.js";

/** The operation that a dependency comes down to; undefined when it is no reason to wait any more. */
export function pendingOf(dependency: OpFuture): OpFuture | undefined {
  if (dependency instanceof Batch || dependency instanceof AsyncOperation) {
    return dependency.succeeded ? undefined : dependency;
  }
  if (dependency instanceof Barrier || dependency instanceof QueuedAppend) {
    return dependency.succeeded ? undefined : (dependency.batch ?? dependency);
  }
  return dependency;
}

/** A copy, which its giver cannot change any more; undefined when it has none. @throws JournalError "invalid-argument" */
export function listOf(dependencies: ReadonlySet<OpFuture> | undefined): readonly OpFuture[] | undefined {
  if (dependencies === undefined || dependencies?.size === 0) return undefined;
  if (typeof dependencies?.[Symbol.iterator] !== "function")
    throw new JournalError(
      "invalid-argument",
      "the dependencies of an append have to be a set of operations",
    );
  const list = [...dependencies];
  for (const future of list) {
    if (typeof future?.err !== "function")
      throw new JournalError("invalid-argument", "a dependency has to be an operation, with done and err()");
  }
  return list;
}

/** Dependencies without those that have succeeded; undefined when none is left. */
export function pendingSet(dependencies: Iterable<OpFuture> | undefined): ReadonlySet<OpFuture> | undefined {
  if (dependencies === undefined) return undefined;
  let pending: Set<OpFuture> | undefined;
  for (const dependency of dependencies) {
    const future = pendingOf(dependency);
    if (future === undefined) continue;
    pending ??= new Set();
    // Under both names: the one it was given by may be given again.
    pending.add(dependency).add(future);
  }
  return pending;
}

/** Whether whoever waits for `known` waits for all of `dependencies`. */
export function isCovered(
  dependencies: Iterable<OpFuture> | undefined,
  known: ReadonlySet<OpFuture> | undefined,
): boolean {
  if (dependencies === undefined) return true;
  for (const dependency of dependencies) {
    if (known?.has(dependency)) continue;
    const future = pendingOf(dependency);
    if (future !== undefined && !known?.has(future)) return false;
  }
  return true;
}
