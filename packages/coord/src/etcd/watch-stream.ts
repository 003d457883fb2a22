import type { Etcd3, IResponseHeader, IWatchResponse } from "etcd3";
import { CoordError } from "../errors.js";
import type { WatchBatch } from "../port.js";
import { Attempt, type CallScope } from "./call.js";
import type { WireRange } from "./codec.js";
import { coordError, failureOf } from "./status.js";
import { decodeWatch, type WatchState } from "./watch-decoder.js";
import type { Pausable } from "./wire.js";

export interface WatchStreamOptions {
  readonly range: WireRange;
  readonly from: bigint;
  readonly probeIntervalMs: number;
  readonly queueBytes: number;
  /** Looks at every header; what it throws ends the watch. */
  readonly observe: (header: IResponseHeader) => void;
  /** Ends the stream at once, read or not; `take` then throws its reason. */
  readonly stop: AbortSignal;
}

/** `lost` ends the stream. */
export type Taken =
  | { readonly type: "created" }
  | { readonly type: "batch"; readonly batch: WatchBatch }
  | { readonly type: "lost"; readonly reason: string; readonly refused: boolean };

type Item = Exclude<Taken, { type: "lost" }> & { readonly bytes: number };
type End = { readonly taken: Taken } | { readonly error: unknown };
type RawStream = Awaited<ReturnType<Etcd3["watchClient"]["watch"]>>;

/**
 * One watch on one gRPC stream of its own, until the stream ends. Reading it slowly is fine: from `queueBytes` on it
 * is not read any more, HTTP/2 stops the server's sending, and etcd lets the watch catch up from its database later,
 * if that part of the history was not compacted meanwhile.
 */
export class WatchStream {
  readonly #scope: CallScope;
  readonly #options: WatchStreamOptions;
  readonly #raw: RawStream;
  readonly #closed: Promise<void>;
  #state: WatchState;
  #items: Item[] = [];
  #bytes = 0;
  #paused = false;
  /** How the stream ended: told after the items. */
  #end: End | undefined;
  #wake: (() => void) | undefined;
  #heard = false;
  #probed = false;
  #suspect = false;
  #cancelTimer = (): void => {};
  readonly #onStop = (): void => {
    this.#items = [];
    this.#finish({ error: this.#options.stop.reason });
  };

  /** Resolves before the server has heard of it. @throws CoordError */
  static async open(scope: CallScope, client: Etcd3, options: WatchStreamOptions): Promise<WatchStream> {
    const attempt = new Attempt();
    try {
      const raw = await client.watchClient.watch({ interceptors: [attempt.interceptor] });
      return new WatchStream(scope, raw, options);
    } catch (error) {
      throw coordError("watch", attempt.failure ?? failureOf(error), error);
    }
  }

  private constructor(scope: CallScope, raw: RawStream, options: WatchStreamOptions) {
    this.#scope = scope;
    this.#options = options;
    this.#raw = raw;
    this.#state = { next: options.from, created: false, fragments: [] };
    this.#closed = new Promise((resolve) => {
      raw.on("status", () => resolve());
      raw.on("error", () => resolve());
    });
    raw.on("error", (error) => this.#failed(error));
    raw.on("end", () => this.#finish(lost("the stream ended")));
    raw.on("data", (response) => this.#receive(response));
    if (options.stop.aborted) {
      this.#onStop();
      return;
    }
    options.stop.addEventListener("abort", this.#onStop);
    raw.write({ create_request: this.#createRequest() });
    // The first answer is waited for as that to a probe is.
    this.#awaitTick(true);
  }

  /** Where to go on after this stream: everything before it was given out by `take`. */
  get next(): bigint {
    for (const item of this.#items) if (item.type === "batch") return item.batch.revision;
    return this.#state.next;
  }

  /** For one reader. @throws CoordError, or the reason of `stop` */
  async take(): Promise<Taken> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#bytes -= item.bytes;
        if (this.#paused && this.#bytes <= this.#options.queueBytes / 2) this.#flow(true);
        return item;
      }
      if (this.#end !== undefined) {
        if ("error" in this.#end) throw this.#end.error;
        return this.#end.taken;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Resolves when gRPC is done with the stream too. */
  async close(): Promise<void> {
    this.#finish(lost("closed"));
    await this.#closed;
  }

  #createRequest(): { key: Buffer; range_end?: Buffer; start_revision: string; progress_notify: boolean } {
    return { ...this.#options.range, start_revision: String(this.#options.from), progress_notify: true };
  }

  #receive(response: IWatchResponse): void {
    if (this.#end !== undefined) return;
    this.#heard = true;
    if (this.#probed) this.#awaitTick(false);
    try {
      this.#options.observe(response.header);
      const { state, news } = decodeWatch(this.#state, response);
      this.#state = state;
      if (news.type === "created") {
        this.#push({ type: "created", bytes: 0 });
      } else if (news.type === "batches") {
        for (const batch of news.batches) this.#push({ type: "batch", batch, bytes: sizeOf(batch) });
      } else if (news.type === "compacted") {
        const { compactRevision } = news;
        const message = `revision ${state.next} is compacted: etcd's history begins at ${compactRevision}`;
        throw new CoordError("compacted", message, { compactRevision });
      } else {
        const error = coordError("watch", { code: undefined, details: news.reason }, undefined);
        if (error.code !== "unavailable") throw error;
        this.#finish(lost(error.message, !state.created));
      }
    } catch (error) {
      this.#finish({ error });
    }
  }

  #push(item: Item): void {
    this.#items.push(item);
    this.#bytes += item.bytes;
    if (!this.#paused && this.#bytes > this.#options.queueBytes) this.#flow(false);
    this.#wake?.();
  }

  #flow(on: boolean): void {
    this.#paused = !on;
    const raw = this.#raw as unknown as Pausable; // grpc-js's duplex stream is Node's
    if (on) raw.resume();
    else raw.pause();
  }

  #failed(error: unknown): void {
    const told = coordError("watch", failureOf(error), error);
    this.#finish(told.code === "unavailable" ? lost(told.message) : { error: told });
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#cancelTimer();
    this.#options.stop.removeEventListener("abort", this.#onStop);
    this.#wake?.();
    // Cancelling a stream that is still writable makes etcd3 close all its channels to that host, which fails calls
    // of others that wait for a connection. Wanted only if the connection seems dead: a new stream would be put on it
    // again.
    if (!this.#suspect) this.#raw.end();
    this.#raw.cancel();
  }

  /**
   * Every `probeIntervalMs`: without a word from the server since the last time, asks for one, and gives the stream
   * up if none comes in time. A stopped or cut-off server would else keep the watch waiting for ever.
   */
  #tick(): void {
    if (this.#heard || this.#paused) {
      this.#awaitTick(false);
    } else if (this.#probed) {
      this.#suspect = true;
      this.#finish(
        lost(`nothing came for ${this.#scope.requestTimeoutMs} ms, not even an answer to a probe`),
      );
    } else {
      this.#probe();
      this.#awaitTick(true);
    }
  }

  #awaitTick(probed: boolean): void {
    this.#heard = false;
    this.#probed = probed;
    this.#cancelTimer();
    const delayMs = probed ? this.#scope.requestTimeoutMs : this.#options.probeIntervalMs;
    this.#cancelTimer = this.#scope.clock.setTimer(delayMs, () => this.#tick());
  }

  /**
   * Asks how far the watch is, and for a second watch on a range that ends before it begins. etcd does not answer the
   * first while the watch catches up, nor while it waits for a revision that is not there yet, which is how every
   * watch of new changes begins (progressIfSync in watchable_store.go). The second is always refused at once, and
   * costs nothing.
   */
  #probe(): void {
    this.#raw.write({ progress_request: {} });
    this.#raw.write({ create_request: { key: Buffer.from([2]), range_end: Buffer.from([1]) } });
  }
}

function lost(reason: string, refused = false): { readonly taken: Taken } {
  return { taken: { type: "lost", reason, refused } };
}

/** About what it takes in memory. */
function sizeOf(batch: WatchBatch): number {
  let bytes = 0;
  for (const event of batch.events) {
    bytes +=
      200 + (event.type === "put" ? event.kv.key.length + event.kv.value.byteLength : event.key.length);
  }
  return bytes;
}
