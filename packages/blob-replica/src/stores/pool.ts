import { setMaxListeners } from "node:events";

/**
 * Runs `task` for the inputs, at most `limit` at a time, and yields what they resolve with as they do. Leaving the loop, an abort and a rejected task abort the
 * signal that the others have; the generator ends only after all of them have settled. On an abort it throws `signal.reason` itself.
 */
export async function* pool<Input, Output>(
  inputs: readonly Input[],
  task: (input: Input, index: number, signal: AbortSignal) => Promise<Output>,
  options: { readonly limit: number; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Output, void, undefined> {
  const { limit, signal } = options;
  signal?.throwIfAborted();
  const children = new AbortController();
  setMaxListeners(0, children.signal); // as many listen as run
  const onAbort = () => children.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const done: Output[] = [];
  let failure: { readonly error: unknown } | undefined;
  let running = 0;
  let next = 0;
  let wake = () => {};

  const start = async (index: number) => {
    try {
      done.push(await task(inputs[index] as Input, index, children.signal)); // index < inputs.length
    } catch (error) {
      failure ??= { error };
    }
    running--;
    wake();
  };

  try {
    while (failure === undefined) {
      signal?.throwIfAborted();
      while (next < inputs.length && running + done.length < limit) {
        running++;
        void start(next++);
      }
      if (done.length > 0) {
        // In one go: taking them from the front one by one would copy the rest each time.
        for (const output of done.splice(0)) {
          signal?.throwIfAborted();
          yield output;
        }
      } else if (running === 0) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    signal?.throwIfAborted();
    throw failure.error;
  } finally {
    children.abort(signal?.aborted ? signal.reason : new Error("nobody waits for this any more"));
    signal?.removeEventListener("abort", onAbort);
    while (running > 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
}
