import type { Etcd3, IResponseHeader } from "etcd3";
import { CoordError } from "../errors.js";
import { Attempt, type CallScope, guarded } from "./call.js";
import { coordError, failureOf } from "./status.js";

/**
 * One keepalive on a stream of its own, which is closed after the answer. Not etcd3's `Lease`: it renews by its own
 * timer, tells of a failed renewal as of a lost lease and of a lost one only after twice its TTL, and repeats both.
 * @throws CoordError "lease-not-found", "unavailable", or `signal.reason` itself
 */
export async function keepAliveOnce(
  scope: CallScope,
  client: Etcd3,
  leaseId: bigint,
  signal: AbortSignal | undefined,
): Promise<{ readonly ttlMs: number; readonly header: IResponseHeader }> {
  const what = "keep a lease alive";
  const timeoutMs = scope.requestTimeoutMs;
  return await guarded(scope, { what, signal, timeoutMs }, async (onStop) => {
    let stopped: { readonly timedOut: boolean } | undefined;
    onStop((timedOut) => {
      stopped = { timedOut };
    });
    const attempt = new Attempt();
    const stream = await open(client, attempt).catch((error: unknown) => {
      throw coordError(what, attempt.failure ?? failureOf(error), error);
    });
    return await new Promise((resolve, reject) => {
      const close = (timedOut: boolean): void => {
        // A stream that is not writable any more does not make etcd3 close its channels: see `Attempt.stop`.
        if (!timedOut) stream.end();
        stream.cancel();
      };
      stream.on("error", (error) => reject(coordError(what, failureOf(error), error)));
      stream.on("end", () =>
        reject(new CoordError("unavailable", `etcd could not ${what}: it ended the stream`)),
      );
      stream.on("data", ({ TTL, header }) => {
        close(false);
        const seconds = Number(TTL);
        // An unknown lease is no error on this stream, it is answered with a TTL of 0.
        if (seconds > 0) resolve({ ttlMs: seconds * 1000, header });
        else
          reject(
            new CoordError("lease-not-found", `etcd has no lease ${leaseId}: it has expired, or never was`),
          );
      });
      onStop(close);
      if (stopped !== undefined) close(stopped.timedOut);
      else stream.write({ ID: String(leaseId) });
    });
  });
}

async function open(client: Etcd3, attempt: Attempt): ReturnType<Etcd3["leaseClient"]["leaseKeepAlive"]> {
  return await client.leaseClient.leaseKeepAlive({ interceptors: [attempt.interceptor] });
}
