import type { Writable } from "node:stream";
import type { AppendStream, RoutedJournalClient } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import { argument, checkObject } from "../protocol/refusal.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import { nodeWritable, webWritable } from "./appender-streams.js";
import { aborted, appendRefusal, isUnavailable, isUnsent, withOutcome } from "./refusal.js";

/** Brokers refuse messages of several MiB; above this, larger ones are no faster. */
export const DEFAULT_CHUNK_BYTES: number = 128 * 1024;

const REQUEST = argument("AppendRequest");

export interface AppenderOptions {
  /** Ends the RPC: what is under way rejects with its reason, and the broker discards the append unless it had been told to commit. */
  readonly signal?: AbortSignal;
  /** Longer chunks are sent in parts. Default 128 KiB. */
  readonly maxChunkBytes?: number;
}

/** One try of an append. What is under way keeps to the try that it belongs to: a reset begins another. */
class Attempt {
  stream: AppendStream | undefined = undefined;
  response: AppendResponse | undefined = undefined;
  /** How it ended when it did not commit. */
  failure: { readonly error: unknown } | undefined = undefined;
  committed = false;
  commitSent = false;
  busy = false;

  get outcomeUnknown(): boolean {
    return this.commitSent && this.response === undefined && !isUnsent(this.failure?.error);
  }
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
  #attempt: Attempt = new Attempt();

  /** @throws JournalError "invalid-argument"; what else is wrong with the request is told by the first `write` or `commit` */
  constructor(client: RoutedJournalClient, request: AppendRequest, options: AppenderOptions = {}) {
    const { signal, maxChunkBytes = DEFAULT_CHUNK_BYTES } = options;
    checkObject(REQUEST, request);
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
    return this.#attempt.response;
  }

  /** Whether the broker was told to commit and it is not known what it did. */
  get outcomeUnknown(): boolean {
    return this.#attempt.outcomeUnknown;
  }

  /** Whether `error` is how the RPC failed (and not, for example, how the source of the content did). */
  failedWith(error: unknown): boolean {
    const { failure } = this.#attempt;
    return failure !== undefined && failure.error === error;
  }

  /**
   * Sends bytes and waits for flow control; they may be changed when it has resolved. Empty ones are left out.
   * @throws JournalError of the broker's status when it has ended the RPC early; "transport"; "invalid-response"; "aborted"
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array))
      throw new JournalError("invalid-argument", "a chunk of an append has to be a Uint8Array");
    const attempt = this.#enter();
    try {
      if (chunk.length === 0) return; // To the broker an empty chunk means commit.
      const stream = this.#start(attempt);
      for (let at = 0; at < chunk.length; at += this.#maxChunkBytes) {
        const part =
          chunk.length <= this.#maxChunkBytes ? chunk : chunk.subarray(at, at + this.#maxChunkBytes);
        if (await stream.write(part)) continue;
        this.#take(attempt, await stream.commit());
        throw new JournalError("invalid-response", "the broker said OK to an append that was not complete", {
          journal: this.request.journal,
        });
      }
    } catch (error) {
      throw await this.#fail(attempt, error);
    } finally {
      attempt.busy = false;
    }
  }

  /**
   * Resolves when the next `write` need not wait for flow control: for content that can stay elsewhere until then, such as in a file.
   * @throws as `write`, when the RPC cannot begin
   */
  async ready(): Promise<void> {
    const attempt = this.#enter();
    try {
      await this.#start(attempt).ready?.();
    } catch (error) {
      throw await this.#fail(attempt, error);
    } finally {
      attempt.busy = false;
    }
  }

  /**
   * Commits what was written (nothing, for a barrier) and gives the broker's answer, whose status is OK.
   * @throws JournalError of any other status; "transport" or "invalid-response", behind which the append may have been committed (not so when
   * the error says `nothingSent`); "aborted" after an `abort` meanwhile: then `outcomeUnknown` and the message say that it may have been, too
   */
  async commit(): Promise<AppendResponse> {
    const attempt = this.#enter();
    try {
      const stream = this.#start(attempt);
      attempt.commitSent = true;
      const response = await stream.commit();
      this.#take(attempt, response);
      attempt.committed = true;
      // An abort came too late.
      attempt.failure = undefined;
      return response;
    } catch (error) {
      throw await this.#fail(attempt, error);
    } finally {
      attempt.busy = false;
    }
  }

  /**
   * Has the broker discard what was written. Without effect when the appender has ended. While `commit` waits for its answer it is too late for
   * that: only the waiting ends, and whether the append was committed is not known.
   */
  async abort(): Promise<void> {
    await this.#abort(this.#attempt);
  }

  /** Makes the appender as new, for another try. What was under way is aborted, as by `abort`. */
  reset(): void {
    void this.#abort(this.#attempt);
    this.#attempt = new Attempt();
  }

  /**
   * Ending it commits, destroying it before aborts; when it is destroyed while it ends, `outcomeUnknown` tells whether it may be
   * committed all the same. Small writes that wait are joined.
   */
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

  #enter(): Attempt {
    const attempt = this.#attempt;
    if (attempt.failure !== undefined) throw attempt.failure.error;
    if (attempt.committed)
      throw new JournalError(
        "invalid-argument",
        "this append is committed; reset the appender to use it again",
      );
    if (attempt.busy)
      throw new JournalError(
        "invalid-argument",
        "an appender takes one call at a time; wait for the last one",
      );
    attempt.busy = true;
    return attempt;
  }

  #start(attempt: Attempt): AppendStream {
    if (attempt.stream === undefined) {
      this.#signal?.throwIfAborted();
      attempt.stream = this.#client.openAppend(
        this.request,
        this.#signal === undefined ? {} : { signal: this.#signal },
      );
    }
    return attempt.stream;
  }

  #take(attempt: Attempt, response: AppendResponse): void {
    attempt.response = response;
    this.#client.updateRoute(this.request.journal, response.header.route);
    const refusal = appendRefusal(this.request, response);
    if (refusal !== undefined) throw refusal;
  }

  async #abort(attempt: Attempt): Promise<void> {
    if (attempt.committed || attempt.failure !== undefined) return;
    attempt.failure = { error: aborted(this.request.journal, attempt.outcomeUnknown) };
    await attempt.stream?.abort();
  }

  /** Ends the call, so that nothing of it holds the bytes, before the failure is told. */
  async #fail(attempt: Attempt, cause: unknown): Promise<unknown> {
    const { journal } = this.request;
    // An abort while the call was under way has told how it ended, unless the broker has answered all the same.
    if (attempt.failure === undefined || attempt.response !== undefined) {
      attempt.failure = {
        error: attempt.outcomeUnknown || isUnsent(cause) ? withOutcome(cause, journal) : cause,
      };
    }
    await attempt.stream?.abort();
    // The broker may be gone for good: the next try asks any.
    if (isUnavailable(cause)) this.#client.updateRoute(journal, undefined);
    return attempt.failure.error;
  }
}
