import { RegistryError } from "../errors.js";
import { follow, isUnimplemented } from "./calls.js";
import { type ChannelHealth, type Serving, servingOf } from "./channel-health.js";

/**
 * Yields what the server says of itself as a whole, only the latest when the reader is slow, and notes what it says of its features; a
 * change of those yields the state of the whole again, as news. Goes on over a new connection when the old one is gone: a registry
 * does not hear of those that are back at once.
 * @throws the signal's reason, ServiceError, RegistryError "bad-answer"
 */
export async function* watchHealth<F extends string>(
  known: ChannelHealth<F>,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<"serving" | "not-serving"> {
  for (;;) {
    options.signal.throwIfAborted();
    const connection = known.connection();
    try {
      yield* watchOnce(known, options);
      if (!connection.changed) return;
    } catch (error) {
      options.signal.throwIfAborted();
      if (!connection.changed || error instanceof RegistryError) throw error;
    }
    await known.ready(options.signal);
  }
}

async function* watchOnce<F extends string>(
  known: ChannelHealth<F>,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<"serving" | "not-serving"> {
  const left = new AbortController();
  const { signal } = left;
  // Not AbortSignal.any: in Node 20 a signal that lives long never forgets what was derived from it.
  const onAbort = (): void => left.abort(options.signal.reason);
  options.signal.addEventListener("abort", onAbort, { once: true });
  if (options.signal.aborted) onAbort();
  const news = new News();
  // The features only once the server has answered: most of those that cannot Watch need not hear of it more than once.
  const watching = watch(known, known.overall, {
    signal,
    told: (serving) => {
      if (!news.begun)
        features = known.services.map((service) => watchFeature(known, service, { signal, news }));
      news.tell(serving);
    },
  });
  let features: readonly Promise<void>[] = [];
  watching.then(
    () => news.end(undefined),
    (error: unknown) => news.end({ error }),
  );
  try {
    for (;;) {
      const serving = await news.next();
      options.signal.throwIfAborted();
      if (serving === undefined) return;
      // Not even its own name does it know: then only the probe can tell.
      if (serving !== "unknown") yield serving;
      else if (known.overall !== "") yield "not-serving";
    }
  } finally {
    options.signal.removeEventListener("abort", onAbort);
    left.abort();
    await Promise.allSettled([watching, ...features]);
  }
}

/** Until the server ends it; that it does not implement this is not an error. */
async function watch<F extends string>(
  known: ChannelHealth<F>,
  service: string,
  { signal, told }: { readonly signal: AbortSignal; readonly told: (serving: Serving) => void },
): Promise<void> {
  const error = await follow(known.client.watch({ service }), {
    signal,
    message: ({ status }) => told(servingOf(status)),
  });
  if (error !== undefined && !isUnimplemented(error)) throw error;
}

async function watchFeature<F extends string>(
  known: ChannelHealth<F>,
  service: string,
  { signal, news }: { readonly signal: AbortSignal; readonly news: News },
): Promise<void> {
  try {
    await watch(known, service, {
      signal,
      told: (serving) => {
        known.told(service, serving);
        news.repeat();
      },
    });
  } catch {
    // Whatever it was: from now on the probe asks, and says what is wrong.
  } finally {
    known.untold(service);
  }
}

/** The latest of what was told, and the end. */
class News {
  #latest: Serving | undefined;
  #unread = false;
  #ended: { readonly error?: unknown } | undefined;
  #wake: (() => void) | undefined;

  get begun(): boolean {
    return this.#latest !== undefined;
  }

  tell(serving: Serving): void {
    this.#latest = serving;
    this.repeat();
  }

  repeat(): void {
    this.#unread = true;
    this.#wake?.();
  }

  end(failure: { readonly error: unknown } | undefined): void {
    this.#ended = failure ?? {};
    this.#wake?.();
  }

  /** Undefined at the end. @throws what the end was with */
  async next(): Promise<Serving | undefined> {
    while (!this.#unread && this.#ended === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#ended !== undefined) {
      if ("error" in this.#ended) throw this.#ended.error;
      return undefined;
    }
    this.#unread = false;
    return this.#latest;
  }
}
