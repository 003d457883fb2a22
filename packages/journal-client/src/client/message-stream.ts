import { type ClientReadableStream, type StatusObject, status } from "@grpc/grpc-js";
import type { CallScope } from "./call-scope.js";
import type { Method, OpenCall } from "./open-call.js";

export interface MessageStreamOptions<T> {
  readonly method: Method;
  /** Checks and encodes the request; called once, at the first `next`. */
  readonly request: () => Buffer;
  /** Registers the call; called once, at the first `next`. @throws what the stream then fails with */
  readonly begin: () => CallScope;
  readonly open: (call: CallScope) => Promise<OpenCall>;
  /** What it throws ends the call. */
  readonly decode: (message: Buffer) => T;
}

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(reason: unknown): void;
}

/**
 * The answers of a server-streaming call, decoded one by one as they are asked for. grpc-js holds at most 16 of them (and HTTP/2 one window)
 * while nobody asks, then the broker has to wait. What arrived before the call failed is given out before its error; after an abort nothing is.
 * A class rather than a generator: `return` must be able to end a `next` that waits.
 */
export class MessageStream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: MessageStreamOptions<T>;
  /** The `next` that waits. A field rather than the head of a queue, since nearly always there is one. */
  #waiter: Waiter<T> | undefined;
  /** The `next` that were called meanwhile. */
  readonly #behind: Waiter<T>[] = [];
  #state: "new" | "opening" | "running" | "over" = "new";
  #call: CallScope | undefined;
  #running: ClientReadableStream<Buffer> | undefined;
  #end: Pick<StatusObject, "code" | "details"> | undefined;
  #open: OpenCall | undefined;
  /** Why it ends, when not as the broker wants it. */
  #failure: { readonly reason: unknown } | undefined;
  #left = false;
  readonly #onAbort = (): void => this.#stop({ reason: this.#call?.reason });

  constructor(options: MessageStreamOptions<T>) {
    this.#options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    // The usual case: there is a message, and nobody waits in front.
    if (this.#state === "running" && this.#waiter === undefined) {
      const message = this.#failure === undefined && !this.#left ? this.#running!.read() : null;
      if (message !== null) {
        const result = this.#decoded(message);
        if (result !== undefined) return Promise.resolve(result);
      }
    }
    return new Promise((resolve, reject) => {
      if (this.#waiter === undefined) this.#waiter = { resolve, reject };
      else this.#behind.push({ resolve, reject });
      if (this.#state === "new") this.#start();
      else this.#pump();
    });
  }

  /** Ends the call; resolves when nothing of it is left. A `next` that waits is done then, as if the broker had ended the call well. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.#left = true;
    if (this.#state === "new") this.#state = "over";
    const call = this.#call;
    if (this.#state !== "over" && call !== undefined) {
      call.abort(undefined);
      await call.ended;
    }
    return { done: true, value: undefined };
  }

  #start(): void {
    this.#state = "opening";
    const { request, begin, open } = this.#options;
    let bytes: Buffer;
    try {
      bytes = request();
      this.#call = begin();
    } catch (reason) {
      this.#failure = { reason };
      this.#finish();
      return;
    }
    const call = this.#call;
    open(call).then(
      (opened) => this.#run(call, opened, bytes),
      (reason: unknown) => {
        this.#failure = { reason };
        this.#finish();
      },
    );
  }

  #run(call: CallScope, opened: OpenCall, request: Buffer): void {
    this.#open = opened;
    if (call.aborted) {
      this.#failure = { reason: call.reason };
      opened.finish({ code: status.CANCELLED, details: "" });
      this.#open = undefined;
      this.#finish();
      return;
    }
    const { path, requestSerialize, responseDeserialize } = this.#options.method;
    const { client } = opened.connection.channel;
    const running = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      opened.metadata,
    );
    this.#running = running;
    this.#state = "running";
    call.onAbort = this.#onAbort;
    // The status comes after the error, and also when all was well.
    running.on("error", () => {});
    running.on("status", (end: StatusObject) => {
      this.#end = end;
      this.#pump();
    });
    running.on("readable", () => this.#pump());
  }

  /** Ends the call early. */
  #stop(failure: { readonly reason: unknown }): void {
    this.#failure ??= failure;
    this.#running?.cancel();
    this.#pump();
  }

  #decoded(message: Buffer): IteratorResult<T, undefined> | undefined {
    try {
      return { done: false, value: this.#options.decode(message) };
    } catch (reason) {
      this.#stop({ reason });
      return undefined;
    }
  }

  #pump(): void {
    if (this.#state === "opening") return;
    while (this.#state === "running" && this.#failure === undefined && !this.#left) {
      if (this.#waiter === undefined) return;
      const message = this.#running!.read();
      if (message === null) break;
      const result = this.#decoded(message);
      if (result !== undefined) this.#shift().resolve(result);
    }
    if (this.#state === "over" || this.#end !== undefined) this.#finish();
  }

  #shift(): Waiter<T> {
    const waiter = this.#waiter!;
    this.#waiter = this.#behind.shift();
    return waiter;
  }

  /** Once the call is over, and everything that it gave was taken. */
  #finish(): void {
    if (this.#state !== "over") {
      this.#state = "over";
      if (this.#call !== undefined) this.#call.onAbort = undefined;
      const error = this.#end && this.#open?.finish(this.#end);
      if (error !== undefined && !this.#left) this.#failure ??= { reason: error };
      this.#call?.end();
    }
    while (this.#waiter !== undefined) {
      const waiter = this.#shift();
      const failure = this.#left ? undefined : this.#failure;
      this.#failure = undefined;
      if (failure === undefined) waiter.resolve({ done: true, value: undefined });
      else waiter.reject(failure.reason);
    }
  }
}
