import { setMaxListeners } from "node:events";
import { follow } from "../replica/abort.js";

/**
 * Runs `task` for what the source yields, at most `limit` at a time. The first task that fails ends it; an abort does with `signal.reason` itself. It ends
 * only after all tasks have settled.
 */
export async function bounded<Item>(
  source: (signal: AbortSignal) => AsyncIterable<Item>,
  task: (item: Item, signal: AbortSignal) => Promise<void>,
  options: { readonly limit: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { limit, signal } = options;
  signal?.throwIfAborted();
  const { controller, release } = follow(signal);
  setMaxListeners(0, controller.signal);
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    controller.abort(new Error("another one failed"));
  };
  try {
    for await (const item of source(controller.signal)) {
      if (failure !== undefined) break;
      signal?.throwIfAborted();
      const work: Promise<void> = task(item, controller.signal)
        .catch(fail)
        .finally(() => running.delete(work));
      running.add(work);
      if (running.size >= limit) await Promise.race(running);
      if (failure !== undefined) break;
    }
  } catch (error) {
    failure ??= { error };
    controller.abort(signal?.aborted ? signal.reason : error);
  } finally {
    await Promise.all(running);
    release();
  }
  signal?.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}
