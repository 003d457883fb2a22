import { setMaxListeners } from "node:events";
import { follow } from "../replica/abort.js";

/**
 * Runs `task` for what the source yields, at most `limit` at a time. After the first failure, of a task or of the source, no more is taken, and what runs
 * is let finish: were it cut short, whoever takes the work up again could be stopped by the same failure before ever getting further. An abort ends all
 * of it, with `signal.reason` itself. It ends only after all tasks have settled.
 */
export async function bounded<Item>(
  source: (signal: AbortSignal) => AsyncIterable<Item>,
  task: (item: Item, signal: AbortSignal) => Promise<void>,
  options: { readonly limit: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { limit, signal } = options;
  signal?.throwIfAborted();
  const taking = follow(signal);
  const tasks = follow(signal);
  setMaxListeners(0, taking.controller.signal, tasks.controller.signal);
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    taking.controller.abort(new Error("a task failed"));
  };
  try {
    for await (const item of source(taking.controller.signal)) {
      if (failure !== undefined) break;
      signal?.throwIfAborted();
      const work: Promise<void> = task(item, tasks.controller.signal)
        .catch(fail)
        .finally(() => running.delete(work));
      running.add(work);
      if (running.size >= limit) await Promise.race(running);
      if (failure !== undefined) break;
    }
  } catch (error) {
    failure ??= { error };
  } finally {
    await Promise.all(running);
    taking.release();
    tasks.release();
  }
  signal?.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}
