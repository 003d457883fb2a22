import { type ChannelInterface, type StatusObject, status } from "@grpc/grpc-js";
import { JournalError } from "../errors.js";
import { argument, refuse } from "../protocol/refusal.js";
import type { AppendResponse } from "../protocol/responses.js";
import { APPEND_COMMIT, encodeAppendContent } from "../wire/append-content.js";
import { decodeAppendResponse } from "../wire/responses.js";
import type { CallScope } from "./call-scope.js";
import type { Method, OpenCall } from "./open-call.js";
import type { AppendStream } from "./routed-journal-client.js";

/** Larger chunks are split: brokers take messages of up to 4 MiB unless they are told otherwise, and smaller ones flow better. */
const MAX_CHUNK_BYTES = 256 * 1024;
/** With so much waiting for the broker, a write waits too. Besides, grpc-js and HTTP/2 hold some hundred KiB of a call. */
const MAX_UNSENT_BYTES = 256 * 1024;

export interface AppendCallOptions {
  readonly method: Method;
  /** Checks and encodes the request. */
  readonly request: () => Buffer;
  readonly begin: () => CallScope;
  readonly open: (call: CallScope) => OpenCall | Promise<OpenCall>;
}

/** grpc-js gives it no name. */
type GrpcCall = ReturnType<ChannelInterface["createCall"]>;

type Outcome = { readonly answer: Buffer } | { readonly reason: unknown };

/**
 * One Append RPC. It begins at once; how it failed is told by the next `write` or `commit`.
 *
 * On the channel's own call rather than on the client's stream: three small messages, each with a turn through a stream and its interceptors,
 * would be a good part of what a small append takes.
 */
export class AppendCall implements AppendStream {
  readonly #options: AppendCallOptions;
  /** Undefined when nothing has to be waited for: it is open, or has failed. */
  readonly #opened: Promise<void> | undefined;
  #isOpen = false;
  #call: CallScope | undefined;
  #running: GrpcCall | undefined;
  #outcome: Outcome | undefined;
  #committing = false;
  /** Messages that wait: a call takes the next one when it has passed on the one before, and would forget it before that. */
  readonly #queue: Buffer[] = [];
  /** Of the message that the call has and has not passed on; undefined when there is none. */
  #sending: number | undefined;
  #unsent = 0;
  /** Called when bytes were sent, and at the end. */
  #wake: () => void = () => {};
  readonly #onSent = (): void => {
    this.#unsent -= this.#sending ?? 0;
    this.#sending = undefined;
    this.#sendNext();
    this.#wake();
  };

  constructor(options: AppendCallOptions) {
    this.#options = options;
    const fail = (reason: unknown): void => {
      this.#outcome = { reason };
      this.#call?.end();
    };
    try {
      this.#opened = this.#start()?.catch(fail);
    } catch (reason) {
      fail(reason);
    }
  }

  #start(): Promise<void> | undefined {
    const { request, begin, open } = this.#options;
    const bytes = request();
    const call = begin();
    this.#call = call;
    const opened = open(call);
    if (opened instanceof Promise) return opened.then((opened) => this.#run(call, opened, bytes));
    this.#run(call, opened, bytes);
    return undefined;
  }

  #run(call: CallScope, opened: OpenCall, request: Buffer): void {
    if (call.aborted) {
      opened.finish({ code: status.CANCELLED, details: "" });
      throw call.reason;
    }
    const channel = opened.connection.channel.client.getChannel();
    const running = channel.createCall(
      this.#options.method.path,
      Number.POSITIVE_INFINITY,
      undefined,
      null,
      undefined,
    );
    let answer: Buffer | undefined;
    running.start(opened.metadata, {
      onReceiveMetadata: () => {},
      onReceiveMessage: (message: Buffer) => {
        if (answer !== undefined) {
          running.cancelWithStatus(status.UNIMPLEMENTED, "the broker gave more than one answer");
          return;
        }
        answer = message;
        running.startRead();
      },
      onReceiveStatus: ({ code, details }: StatusObject) => {
        if (code === status.OK && answer !== undefined) {
          opened.finish({ code, details });
          this.#finish(call, { answer });
          return;
        }
        // Until a call is on a connection, its peer is told to be what the channel was asked to dial.
        const nothingSent = running.getPeer() === channel.getTarget();
        const end =
          code === status.OK
            ? { code: status.UNIMPLEMENTED, details: "the broker gave no answer" }
            : { code, details, nothingSent };
        this.#finish(call, { reason: opened.finish(end) });
      },
    });
    running.startRead();
    this.#running = running;
    call.onAbort = () => running.cancelWithStatus(status.CANCELLED, "the append was given up");
    this.#isOpen = true;
    this.#send(request);
  }

  #finish(call: CallScope, outcome: Outcome): void {
    this.#outcome = call.aborted ? { reason: call.reason } : outcome;
    this.#queue.length = 0;
    this.#wake();
    call.end();
  }

  async write(content: Uint8Array): Promise<boolean> {
    if (!(content instanceof Uint8Array) || content.length === 0) {
      refuse(argument("AppendStream.write's content"), content, "it must be a Uint8Array that is not empty");
    }
    if (!this.#isOpen) await this.#opened;
    this.#checkNotCommitting();
    for (let at = 0; at < content.length; at += MAX_CHUNK_BYTES) {
      if (this.#isFull()) await this.ready();
      if (this.#outcome !== undefined) break;
      this.#send(encodeAppendContent(content.subarray(at, at + MAX_CHUNK_BYTES)));
    }
    return !this.#answered();
  }

  async ready(): Promise<void> {
    if (!this.#isOpen) await this.#opened;
    while (this.#isFull()) await this.#progress();
  }

  #isFull(): boolean {
    return this.#unsent >= MAX_UNSENT_BYTES && this.#outcome === undefined;
  }

  async commit(): Promise<AppendResponse> {
    if (!this.#isOpen) await this.#opened;
    this.#checkNotCommitting();
    this.#committing = true;
    if (!this.#answered()) this.#send(APPEND_COMMIT);
    while (this.#outcome === undefined) await this.#progress();
    if ("reason" in this.#outcome) throw this.#outcome.reason;
    return decodeAppendResponse(this.#outcome.answer);
  }

  async abort(): Promise<void> {
    this.#call?.abort(new JournalError("aborted", "The append was aborted by its own side."));
    await this.#opened;
    if (this.#isOpen) await this.#call?.ended;
  }

  /** Whether the broker answered already. Throws when the call failed. */
  #answered(): boolean {
    if (this.#outcome !== undefined && "reason" in this.#outcome) throw this.#outcome.reason;
    return this.#outcome !== undefined;
  }

  #checkNotCommitting(): void {
    if (!this.#committing) return;
    throw new JournalError("invalid-argument", "The append was committed: nothing can be added to it.");
  }

  #send(message: Buffer): void {
    this.#unsent += message.length;
    this.#queue.push(message);
    if (this.#sending === undefined) this.#sendNext();
  }

  #sendNext(): void {
    const message = this.#queue.shift();
    if (message === undefined || this.#outcome !== undefined) return;
    this.#sending = message.length;
    this.#running?.sendMessageWithContext({ callback: this.#onSent }, message);
    if (message === APPEND_COMMIT) this.#running?.halfClose();
  }

  #progress(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
