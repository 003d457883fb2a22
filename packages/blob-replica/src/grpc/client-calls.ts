/** The client's side of gRPC calls: abort, deadlines and flow control. */
import type { ClientDuplexStream, ClientReadableStream } from "@grpc/grpc-js";
import type { Clock } from "../clock.js";
import { BlobError } from "../errors.js";
import { fromServiceError } from "./status.js";

interface Cancellable {
  cancel(): void;
}

/** All calls of one store, which end together when it is closed. */
export class ClientCalls {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #running = new Set<{ stop(reason: unknown): void; readonly ended: Promise<void> }>();
  #closed = false;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  begin(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#closed) throw closed();
  }

  /** One request, one response, within the deadline. @throws `signal.reason`, BlobError */
  async unary<Response>(
    signal: AbortSignal | undefined,
    start: (
      options: { readonly deadline: number },
      done: (error: unknown, response?: Response) => void,
    ) => Cancellable,
  ): Promise<Response> {
    this.begin(signal);
    let settle = (_error: unknown, _response?: Response): void => {};
    const answer = new Promise<Response>((resolve, reject) => {
      settle = (error, response) => (error ? reject(error) : resolve(response as Response)); // one of the two is there
    });
    const deadline = this.#clock.wallMs() + this.#timeoutMs;
    const call = start({ deadline }, (error, response) => settle(error, response));
    const running = this.#watch(call, signal, answer.then(ignore, ignore));
    try {
      return await answer;
    } catch (error) {
      throw running.stopped ? running.stopped.reason : fromServiceError(error);
    } finally {
      running.release();
    }
  }

  /**
   * The responses as they come, to the requests, which are sent as fast as the server takes them. It has failed when nothing comes and nothing goes for as long as
   * the timeout while the consumer waits. Leaving the loop cancels the call. @throws `signal.reason`, BlobError
   */
  async *stream<Request, Response>(
    signal: AbortSignal | undefined,
    start: () => ClientReadableStream<Response> | ClientDuplexStream<Request, Response>,
    requests?: Iterable<Request>,
  ): AsyncGenerator<Response, void, undefined> {
    this.begin(signal);
    const call = start();
    call.on("error", ignore); // the iterator tells it; after the iterator nobody has to know
    const ended = new Promise<void>((resolve) => {
      call.once("status", () => resolve());
    });
    const running = this.#watch(call, signal, ended);
    const stall = this.#stall(running.stop);
    const writing =
      requests && "write" in call ? writeAll(call, requests, { ended, progress: stall.progress }) : undefined;
    try {
      const responses = (call as AsyncIterable<Response>)[Symbol.asyncIterator](); // typed as of anything
      for (;;) {
        stall.progress();
        const next = await responses.next();
        if (running.stopped) break;
        if (next.done) return;
        stall.pause();
        yield next.value;
        if (running.stopped) break;
      }
      throw running.stopped.reason;
    } catch (error) {
      throw running.stopped ? running.stopped.reason : fromServiceError(error);
    } finally {
      stall.end();
      running.release();
      call.cancel();
      await ended;
      await writing;
    }
  }

  /** Ends all that runs as "closed". */
  async close(): Promise<void> {
    this.#closed = true;
    const running = [...this.#running];
    for (const call of running) call.stop(closed());
    await Promise.all(running.map(({ ended }) => ended));
  }

  #watch(
    call: Cancellable,
    signal: AbortSignal | undefined,
    ended: Promise<void>,
  ): {
    stop(reason: unknown): void;
    release(): void;
    readonly stopped: { readonly reason: unknown } | undefined;
  } {
    let stopped: { readonly reason: unknown } | undefined;
    const stop = (reason: unknown): void => {
      stopped ??= { reason };
      call.cancel();
    };
    const onAbort = (): void => stop(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const entry = { stop, ended };
    this.#running.add(entry);
    return {
      stop,
      release: () => {
        signal?.removeEventListener("abort", onAbort);
        this.#running.delete(entry);
      },
      get stopped() {
        return stopped;
      },
    };
  }

  /** One timer for a whole stream: it looks how long nothing has happened, and sleeps on. */
  #stall(stop: (reason: unknown) => void): { progress(): void; pause(): void; end(): void } {
    const clock = this.#clock;
    const timeoutMs = this.#timeoutMs;
    let since: number | undefined = clock.monotonicMs();
    const look = (): void => {
      const quietMs = since === undefined ? 0 : clock.monotonicMs() - since;
      if (quietMs >= timeoutMs) {
        stop(new BlobError("unavailable", `the server was silent for ${Math.round(quietMs)} ms`));
      } else {
        cancel = clock.setTimer(timeoutMs - quietMs, look);
      }
    };
    let cancel = clock.setTimer(timeoutMs, look);
    return {
      progress: () => {
        since = clock.monotonicMs();
      },
      pause: () => {
        since = undefined;
      },
      end: () => cancel(),
    };
  }
}

async function writeAll<Request, Response>(
  call: ClientDuplexStream<Request, Response>,
  requests: Iterable<Request>,
  { ended, progress }: { readonly ended: Promise<void>; readonly progress: () => void },
): Promise<void> {
  let over = false;
  const end = ended.then(() => {
    over = true;
  });
  for (const request of requests) {
    if (over) return;
    if (call.write(request)) continue;
    await Promise.race([end, new Promise((resolve) => call.once("drain", resolve))]);
    progress();
  }
  if (!over) call.end();
}

function closed(): BlobError {
  return new BlobError("closed", "this store was closed");
}

function ignore(): void {}
