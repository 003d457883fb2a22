import type { Clock } from "../clock.js";
import { CoordError } from "../errors.js";
import { coordError, type Failure, failureOf } from "./status.js";
import { type CallOptions, GRPC, type GrpcCall, type Interceptor } from "./wire.js";

/** What every call of one coord shares. */
export interface CallScope {
  readonly clock: Clock;
  readonly requestTimeoutMs: number;
  /** Aborts with the CoordError that ends the whole coord: "closed" or "history-lost". */
  readonly ended: AbortSignal;
}

export interface CallRequest {
  /** For messages: "read", "commit the transaction". */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  /** Default: the scope's. */
  readonly timeoutMs?: number;
}

/**
 * One unary call through etcd3, ended by its answer, its deadline, the caller's signal or the end of the coord,
 * whichever comes first.
 * @throws CoordError, or `signal.reason` itself
 */
export async function callOnce<T>(
  scope: CallScope,
  request: CallRequest,
  send: (options: CallOptions) => Promise<T>,
): Promise<T> {
  const { signal, what, timeoutMs = scope.requestTimeoutMs } = request;
  const attempt = new Attempt();
  return await guarded(scope, { what, signal, timeoutMs }, async (onStop) => {
    onStop((timedOut) => attempt.stop(timedOut));
    try {
      return await send({ interceptors: [attempt.interceptor] });
    } catch (error) {
      throw coordError(what, attempt.failure ?? failureOf(error), error);
    }
  });
}

/**
 * Runs `work` until it settles, the time is up, or somebody stops it; calls the `onStop` handlers in the latter
 * cases.
 */
export async function guarded<T>(
  scope: CallScope,
  {
    what,
    signal,
    timeoutMs,
  }: { readonly what: string; readonly signal: AbortSignal | undefined; readonly timeoutMs: number },
  work: (onStop: (handler: (timedOut: boolean) => void) => void) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  scope.ended.throwIfAborted();
  let stopped = (_reason: unknown): void => {};
  const stop = new Promise<never>((_, reject) => {
    stopped = reject;
  });
  let handler = (_timedOut: boolean): void => {};
  const end = (reason: unknown, timedOut: boolean): void => {
    stopped(reason);
    handler(timedOut);
  };
  const onSignal = (): void => end(signal?.reason, false);
  const onEnded = (): void => end(scope.ended.reason, false);
  signal?.addEventListener("abort", onSignal);
  scope.ended.addEventListener("abort", onEnded);
  const cancelTimer = scope.clock.setTimer(timeoutMs, () => {
    end(new CoordError("unavailable", `etcd could not ${what} within ${timeoutMs} ms`), true);
  });
  try {
    const result = work((given) => {
      handler = given;
    });
    return await Promise.race([result, stop]);
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", onSignal);
    scope.ended.removeEventListener("abort", onEnded);
  }
}

/** Not an error that etcd3 or its policies would handle, so it goes straight to the caller. */
class NotRepeated extends Error {}

/**
 * A gRPC interceptor that makes up for what etcd3 hides of a call:
 * - it can stop the call, which etcd3's promise can't;
 * - it keeps gRPC's status, of which etcd3 passes on only the words;
 * - it refuses to let etcd3 send the call a second time. A client that the caller made with etcd3's defaults repeats
 *   a failed call three times, and a transaction whose first answer was lost would be applied twice. The one
 *   repetition let through is that after "invalid auth token", which etcd refuses before it does anything;
 * - it asks for a member that has a leader, so that one cut off from the others says so instead of letting the call
 *   wait and the watch go stale.
 */
export class Attempt {
  failure: Failure | undefined;
  readonly interceptor: Interceptor;
  #call: GrpcCall | undefined;
  #stopped = false;

  constructor() {
    this.interceptor = ((options, nextCall) => {
      if (
        this.#stopped ||
        (this.#call !== undefined && !this.failure?.details.includes("invalid auth token"))
      ) {
        throw new NotRepeated("stopped");
      }
      const call = nextCall(options);
      this.#call = call;
      const start = call.start.bind(call);
      call.start = (metadata, listener) => {
        const asked = metadata.clone(); // etcd3 uses one object for all calls when it authenticates
        asked.set("hasleader", "true");
        start(asked, {
          ...listener,
          onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
          onReceiveMessage: (message) => listener?.onReceiveMessage?.(message),
          onReceiveStatus: (status) => {
            if (status.code !== 0) this.failure = { code: status.code, details: status.details };
            listener?.onReceiveStatus?.(status);
          },
        });
      };
      // The declared InterceptingCall is a class with private fields; all that is used of it is GrpcCall.
      return call as ReturnType<Interceptor>;
    }) satisfies Interceptor;
  }

  /**
   * etcd3 closes all its channels to a host after an error that it takes for a sign of a broken connection, and that
   * fails calls of others that wait for a connection. After a deadline that is wanted: the connection may be dead
   * without a word. After an abort it is not, so the call ends with a code that etcd3 lets pass.
   */
  stop(timedOut: boolean): void {
    this.#stopped = true;
    this.#call?.cancelWithStatus(
      timedOut ? GRPC.deadlineExceeded : GRPC.failedPrecondition,
      "stopped by the caller",
    );
  }
}
