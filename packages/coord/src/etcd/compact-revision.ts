import type { Etcd3, IResponseHeader } from "etcd3";
import { CoordError } from "../errors.js";
import { type CallScope, guarded } from "./call.js";
import { WatchStream } from "./watch-stream.js";

export interface CompactRevisionRequest {
  /** A revision that was told to be compacted. */
  readonly at: bigint;
  readonly key: Buffer;
  readonly observe: (header: IResponseHeader) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Where etcd's history begins. A read of a compacted revision fails without telling; a watch from it is told.
 * Undefined if etcd could not be asked any more. @throws `signal.reason`, CoordError "closed", "history-lost"
 */
export async function readCompactRevision(
  scope: CallScope,
  client: Etcd3,
  { at, key, observe, signal }: CompactRevisionRequest,
): Promise<bigint | undefined> {
  const stop = new AbortController();
  const { requestTimeoutMs } = scope;
  const options = {
    range: { key },
    from: at,
    observe,
    stop: stop.signal,
    probeIntervalMs: requestTimeoutMs,
    queueBytes: 0,
  };
  try {
    const what = "tell where its history begins";
    return await guarded(scope, { what, signal, timeoutMs: requestTimeoutMs }, async (onStop) => {
      onStop(() => stop.abort(new CoordError("unavailable", "stopped")));
      const stream = await WatchStream.open(scope, client, options);
      try {
        for (;;) if ((await stream.take()).type === "lost") return undefined;
      } finally {
        await stream.close();
      }
    });
  } catch (error) {
    if (error instanceof CoordError && error.code === "compacted") return error.compactRevision;
    if (error instanceof CoordError && error.code === "unavailable") return undefined;
    throw error;
  }
}
