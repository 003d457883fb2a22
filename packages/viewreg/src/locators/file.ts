import type { Clock } from "../clock.js";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Locator } from "../locator.js";
import { systemClock } from "../system.js";
import { describe, oneLine } from "../text.js";
import { distinct, maxEndpoints, readEndpoint, sameEndpoints } from "./endpoint-set.js";
import { iterate } from "./iteration.js";
import { pause } from "./pause.js";
import { systemFileSource } from "./system-file.js";

/** What a file locator needs of a file system. */
export interface FileSource {
  /** The whole content. Rejects when it is not there, is no regular file, or is longer than `maxBytes`. */
  read(path: string, options: { readonly maxBytes: number }): Promise<Uint8Array>;
  /**
   * Calls back when something may have happened to the file or its name. May miss things, and may say nothing at all: it is asked for
   * anew with each poll. The returned function ends it. Does not throw.
   */
  watch(path: string, onChange: () => void): () => void;
}

export interface FileLocatorOptions {
  /** Looks so often without being told of a change: for file systems that do not tell. Default 5,000. */
  readonly pollMs?: number;
  /** After a change it is waited so long for more before it is read. Default 50. */
  readonly settleMs?: number;
  /** A bad or missing file has so long to become a good one, since it may be being written. Default 1,000. */
  readonly graceMs?: number;
  /** Default 16 MiB. */
  readonly maxBytes?: number;
  /** Default: the machine's files. */
  readonly files?: FileSource;
  /** Default: the process's clock. */
  readonly clock?: Clock;
}

/**
 * The endpoints in a JSON file: an array of `"host:port"` or `{ "host": ..., "port": ..., "labels": {...} }`, at most 100,000. Read
 * again when the file was written, replaced by another one of the same name, or a symbolic link to it was.
 *
 * A file that is missing, is not what it should be, or has one bad entry tells nothing at all: the locator throws, and what it had told
 * stays true.
 * @throws RegistryError "invalid-argument" here; "unavailable" (can't be read) and "bad-source" from `locate`
 */
export function fileLocator(path: string, options: FileLocatorOptions = {}): Locator {
  const { pollMs = 5_000, settleMs = 50, graceMs = 1_000, maxBytes = 16_777_216 } = options;
  const { files = systemFileSource, clock = systemClock } = options;
  if (typeof path !== "string" || path.length === 0)
    throw new RegistryError("invalid-argument", "path must be a string that is not empty");
  for (const [name, value] of Object.entries({ pollMs, settleMs, graceMs, maxBytes })) {
    if (!(Number.isFinite(value) && value > 0))
      throw new RegistryError("invalid-argument", `${name} must be a number above 0, not ${describe(value)}`);
  }
  const plan = { path, pollMs, settleMs, graceMs, maxBytes, files, clock };
  return { locate: ({ signal }) => iterate(signal, (until) => readForever(plan, until)) };
}

type Plan = Required<FileLocatorOptions> & { readonly path: string };

async function* readForever(
  plan: Plan,
  signal: AbortSignal,
): AsyncGenerator<readonly Endpoint[], void, undefined> {
  const { path, pollMs, settleMs, graceMs, clock, files } = plan;
  const changes = new Changes();
  let last: readonly Endpoint[] | undefined;
  let badSinceMs: number | undefined;
  try {
    for (;;) {
      // Watched anew each time: the folder may be another one by now. And before it is read, so that no change is missed.
      changes.rearm(() => files.watch(path, () => changes.tell()));
      let endpoints: readonly Endpoint[] | undefined;
      try {
        endpoints = await read(plan);
        badSinceMs = undefined;
      } catch (error) {
        badSinceMs ??= clock.monotonicMs();
        if (clock.monotonicMs() - badSinceMs >= graceMs) throw error;
      }
      if (endpoints !== undefined && (last === undefined || !sameEndpoints(last, endpoints))) {
        last = endpoints;
        yield endpoints;
      }
      await changes.wait(badSinceMs === undefined ? pollMs : Math.min(pollMs, graceMs), { clock, signal });
      if (changes.take()) await pause(settleMs, { clock, signal });
    }
  } finally {
    changes.stop();
  }
}

/** That something has changed since it was last asked. */
class Changes {
  #changed = false;
  #wake: () => void = () => undefined;
  #unwatch: () => void = () => undefined;

  rearm(watch: () => () => void): void {
    this.#unwatch();
    this.#unwatch = watch();
  }

  tell(): void {
    this.#changed = true;
    this.#wake();
  }

  take(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** For a change, but not longer. */
  async wait(
    ms: number,
    { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  ): Promise<void> {
    if (this.#changed) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const onAbort = (): void => woken.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      if (!signal.aborted) await pause(ms, { clock, signal: woken.signal });
    } catch {
      // Woken: the reason is looked at by who waits.
    } finally {
      this.#wake = () => undefined;
      signal.removeEventListener("abort", onAbort);
    }
    signal.throwIfAborted();
  }

  stop(): void {
    this.#unwatch();
    this.#unwatch = () => undefined;
  }
}

async function read({ path, maxBytes, files }: Plan): Promise<readonly Endpoint[]> {
  let bytes: Uint8Array;
  try {
    bytes = await files.read(path, { maxBytes });
  } catch (cause) {
    const why = oneLine(cause);
    throw new RegistryError("unavailable", `the endpoints in ${describe(path)} can't be read: ${why}`, {
      cause,
    });
  }
  return parse(bytes, path);
}

function parse(bytes: Uint8Array, path: string): readonly Endpoint[] {
  let list: unknown;
  try {
    list = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new RegistryError("bad-source", `${describe(path)} is not JSON in UTF-8`, { cause });
  }
  if (!Array.isArray(list))
    throw new RegistryError(
      "bad-source",
      `${describe(path)} must hold an array of endpoints, not ${describe(list)}`,
    );
  if (list.length > maxEndpoints)
    throw new RegistryError(
      "bad-source",
      `${describe(path)} may hold at most ${maxEndpoints} endpoints, not ${list.length}`,
    );
  return distinct(
    list.map((entry, index) => {
      try {
        return readEndpoint(entry);
      } catch (cause) {
        const why = oneLine(cause);
        throw new RegistryError("bad-source", `entry ${index} of ${describe(path)} is no endpoint: ${why}`, {
          cause,
        });
      }
    }),
  );
}
