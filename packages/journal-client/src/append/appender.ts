import type { Writable } from "node:stream";
import type { AppendStream, RoutedJournalClient } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import { nodeWritable, webWritable } from "./appender-streams.js";
import { appendRefusal, isUnavailable, isUnsent, withOutcome } from "./refusal.js";

/** Brokers refuse messages of several MiB; above this, larger ones are no faster. */
export const DEFAULT_CHUNK_BYTES: number = 128 * 1024;

export interface AppenderOptions {
  /** Ends the RPC: what is under way rejects with its reason, and the broker discards the append unless it had been told to commit. */
  readonly signal?: AbortSignal;
  /** Longer chunks are sent in parts. Default 128 KiB. */
  readonly maxChunkBytes?: number;
}

/**
 * One Append RPC. It begins with the first byte written (or with `commit`), streams what is written, and nothing of it is seen by any
 * reader unless `commit` succeeds. Once the broker has begun to sequence it, it expects the rest within about a second: an appender
 * is for content that is at hand. For everything else there is `AppendService`.
 *
 * Nothing is tried again: after a failure, `reset` makes the appender as new. One call at a time.
 */
export class Appender implements AsyncDisposable {
  readonly request: AppendRequest;
  readonly #client: RoutedJournalClient;
  readonly #signal: AbortSignal | undefined;
  readonly #maxChunkBytes: number;
  #stream: AppendStream | undefined;
  #response: AppendResponse | undefined;
  /** How the appender ended when it did not commit. */
  #failure: { readonly error: unknown } | undefined;
  #committed = false;
  #commitSent = false;
  #busy = false;

  constructor(client: RoutedJournalClient, request: AppendRequest, options: AppenderOptions = {}) {
    const { signal, maxChunkBytes = DEFAULT_CHUNK_BYTES } = options;
    if (!Number.isInteger(maxChunkBytes) || maxChunkBytes < 1)
      throw new JournalError(
        "invalid-argument",
        `maxChunkBytes is ${maxChunkBytes}; it has to be a positive integer`,
      );
    this.#client = client;
    this.#signal = signal;
    this.#maxChunkBytes = maxChunkBytes;
    this.request = request;
  }

  /** The broker's answer, whatever its status; undefined before there is one. */
  get response(): AppendResponse | undefined {
    return this.#response;
  }

  /** Whether the broker was told to commit and it is not known what it did. */
  get outcomeUnknown(): boolean {
    return this.#commitSent && this.#response === undefined && !isUnsent(this.#failure?.error);
  }

  /** Whether `error` is how the RPC failed (and not, for example, how the source of the content did). */
  failedWith(error: unknown): boolean {
    return this.#failure !== undefined && this.#failure.error === error;
  }

  /**
   * Sends bytes and waits for flow control; they may be changed when it has resolved. Empty ones are left out.
   * @throws JournalError of the broker's status when it has ended the RPC early; "transport"; "invalid-response"
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array))
      throw new JournalError("invalid-argument", "a chunk of an append has to be a Uint8Array");
    this.#enter();
    try {
      if (chunk.length === 0) return; // To the broker an empty chunk means commit.
      const stream = this.#start();
      for (let at = 0; at < chunk.length; at += this.#maxChunkBytes) {
        const part =
          chunk.length <= this.#maxChunkBytes ? chunk : chunk.subarray(at, at + this.#maxChunkBytes);
        if (await stream.write(part)) continue;
        const response = await stream.commit();
        this.#take(response);
        throw new JournalError("invalid-response", "the broker said OK to an append that was not complete", {
          journal: this.request.journal,
        });
      }
    } catch (error) {
      throw await this.#fail(error);
    } finally {
      this.#busy = false;
    }
  }

  /**
   * Commits what was written (nothing, for a barrier) and gives the broker's answer, whose status is OK.
   * @throws JournalError of any other status; "transport" or "invalid-response", behind which the append may have been committed (not so when
   * the error says `nothingSent`)
   */
  async commit(): Promise<AppendResponse> {
    this.#enter();
    try {
      const stream = this.#start();
      this.#commitSent = true;
      const response = await stream.commit();
      this.#take(response);
      this.#committed = true;
      return response;
    } catch (error) {
      throw await this.#fail(error);
    } finally {
      this.#busy = false;
    }
  }

  /** Has the broker discard what was written. Without effect when the appender has ended. */
  async abort(): Promise<void> {
    if (this.#committed || this.#failure !== undefined) return;
    this.#failure = {
      error: new JournalError("aborted", `the append to ${this.request.journal} was aborted`, {
        journal: this.request.journal,
      }),
    };
    await this.#stream?.abort();
  }

  /** Makes the appender as new, for another try. What was under way is aborted. */
  reset(): void {
    void this.#stream?.abort();
    this.#stream = undefined;
    this.#response = undefined;
    this.#failure = undefined;
    this.#committed = false;
    this.#commitSent = false;
  }

  /** Ending it commits, destroying it before aborts. Small writes that wait are joined. */
  asWritable(): Writable {
    return nodeWritable(this, this.#maxChunkBytes);
  }

  /** Closing it commits, aborting it aborts. */
  asWritableStream(): WritableStream<Uint8Array> {
    return webWritable(this, this.#maxChunkBytes);
  }

  /** Aborts unless committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #enter(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#committed)
      throw new JournalError(
        "invalid-argument",
        "this append is committed; reset the appender to use it again",
      );
    if (this.#busy)
      throw new JournalError(
        "invalid-argument",
        "an appender takes one call at a time; wait for the last one",
      );
    this.#busy = true;
  }

  #start(): AppendStream {
    if (this.#stream === undefined) {
      this.#signal?.throwIfAborted();
      this.#stream = this.#client.openAppend(
        this.request,
        this.#signal === undefined ? {} : { signal: this.#signal },
      );
    }
    return this.#stream;
  }

  #take(response: AppendResponse): void {
    this.#response = response;
    this.#client.updateRoute(this.request.journal, response.header.route);
    const refusal = appendRefusal(this.request, response);
    if (refusal !== undefined) throw refusal;
  }

  /** Ends the call, so that nothing of it holds the bytes, before the failure is told. */
  async #fail(cause: unknown): Promise<unknown> {
    // An abort while the call was under way has told already how it ended.
    this.#failure ??= {
      error: this.outcomeUnknown || isUnsent(cause) ? withOutcome(cause, this.request.journal) : cause,
    };
    await this.#stream?.abort();
    // The broker may be gone for good: the next try asks any.
    if (isUnavailable(cause)) this.#client.updateRoute(this.request.journal, undefined);
    return this.#failure.error;
  }
}
