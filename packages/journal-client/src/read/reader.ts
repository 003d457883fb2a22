import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import type { Fragment } from "../protocol/fragment.js";
import type { Route } from "../protocol/header.js";
import type { ReadRequest } from "../protocol/requests.js";
import type { ReadResponse } from "../protocol/responses.js";
import { statusError } from "../wire/status-error.js";
import type { Buffering } from "./buffered-reader.js";
import { ByteStream } from "./byte-stream.js";
import { type FragmentReader, openFragmentUrl } from "./fragment-reader.js";
import { OffsetJumpError } from "./offset-jump.js";

export interface ReaderOptions {
  readonly signal?: AbortSignal;
  /** Told of every jump over offsets without content, after which reading goes on. Without it `read` throws "offset-jump" once for each. */
  readonly onOffsetJump?: (from: bigint, to: bigint) => void;
  /** Where the RPC goes. Default: where the journal is known to be. */
  readonly route?: Route;
}

/** To which offset a `seek` goes: counted from the journal's beginning, or from where the reader is. */
export type Whence = "start" | "current";

/**
 * Reads with one Read RPC, which the first `read` starts, and ends when that ends. With `doNotProxy` a broker may answer with the URL of a
 * fragment: that is then read directly, from the store, and the reader ends with the fragment. (Without it URLs are never opened.)
 *
 * `read` gives undefined at the end: the broker closed the stream (its assignment changed, or it stops), `endOffset` is reached, a fragment
 * that was read directly is through, or the request was `metadataOnly`. Content is given out as it came, without a copy.
 *
 * Throws the codes of statuses ("offset-not-yet-available" at the write head, without `block`), "offset-jump" (an `OffsetJumpError`: the
 * reader is good, and the next `read` goes on at the new offset; that offset -1n becomes the write head is no jump), "transport",
 * "invalid-argument", "invalid-response", "closed", what `openFragmentUrl` and `FragmentReader.read` throw, and the signal's reason. Any
 * error but a jump is the reader's last. `RetryReader` goes on by itself.
 */
export class Reader extends ByteStream {
  readonly #client: RoutedJournalClient;
  readonly #options: ReaderOptions;
  readonly #request: ReadRequest;
  readonly #endOffset: bigint;
  /** Of this reader's own end, whoever caused it. */
  readonly #ended = new AbortController();
  readonly #abort: () => void;
  #offset: bigint;
  #state: "new" | "rpc" | "direct" | "ended" | "failed" = "new";
  #error: unknown;
  #reading = false;
  #responses: AsyncIterator<ReadResponse> | undefined;
  #response: ReadResponse | undefined;
  #writeHead: bigint | undefined;
  #fragment: Fragment | undefined;
  /** Content that came with a jump. */
  #pending: Uint8Array | undefined;
  #direct: FragmentReader | undefined;
  #leaving: Promise<void> | undefined;

  constructor(client: RoutedJournalClient, request: ReadRequest, options: ReaderOptions = {}) {
    super();
    this.#client = client;
    this.#options = options;
    this.#request = request;
    this.#offset = request.offset ?? 0n;
    this.#endOffset = request.endOffset ?? 0n;
    this.#abort = () => this.#ended.abort(options.signal?.reason);
  }

  /** The request as it would be made now: its offset is where the reader is. */
  get request(): ReadRequest {
    return { ...this.#request, offset: this.#offset };
  }

  /** The broker's last answer, once there is one. */
  get response(): ReadResponse | undefined {
    return this.#response;
  }

  /** Of the next byte to be read; -1n until the write head is known. */
  get offset(): bigint {
    return this.#offset;
  }

  /** Where the next append went when the broker last told; undefined before. */
  get writeHead(): bigint | undefined {
    return this.#writeHead;
  }

  /** The fragment that is being read, once the broker told. */
  get fragment(): Fragment | undefined {
    return this.#fragment;
  }

  /** Whether a fragment is read from its store now. */
  get direct(): boolean {
    return this.#state === "direct";
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#reading) {
      throw new JournalError(
        "invalid-argument",
        "a reader takes one read or seek at a time: another is going on",
      );
    }
    this.#reading = true;
    try {
      while (true) {
        if (this.#state === "rpc") {
          if (this.#pending !== undefined) {
            const chunk = this.#pending;
            this.#pending = undefined;
            return await this.#give(chunk);
          }
          const next = await this.#responses!.next();
          if (next.done === true) {
            await this.#streamEnded();
            continue;
          }
          const chunk = this.#take(next.value);
          if (chunk !== undefined) {
            this.#offset += BigInt(chunk.length);
            if (this.#endOffset !== 0n && this.#offset >= this.#endOffset) {
              return await this.#trim(chunk);
            }
            return chunk;
          }
        } else if (this.#state === "direct") {
          const chunk = await this.#direct!.read();
          if (chunk !== undefined) {
            return await this.#give(chunk);
          }
          await this.#leave("ended");
        } else if (this.#state === "new") {
          this.#start();
        } else if (this.#state === "ended") {
          return undefined;
        } else {
          throw this.#error;
        }
      }
    } catch (error) {
      if (!(error instanceof OffsetJumpError) || this.#state === "failed") {
        await this.#fail(error);
        throw this.#error;
      }
      throw error;
    } finally {
      this.#reading = false;
    }
  }

  /**
   * Goes forward within a fragment that is read directly, by reading and dropping. @returns the offset, which is the one asked for
   * @throws JournalError "seek-requires-new-reader" for anything else (the reader stays where it is), and what `read` throws
   */
  async seek(offset: bigint, whence: Whence = "start"): Promise<bigint> {
    const to = whence === "current" ? this.#offset + offset : offset;
    if (this.#reading) {
      throw new JournalError(
        "invalid-argument",
        "a reader takes one read or seek at a time: another is going on",
      );
    }
    const direct = this.#state === "direct" ? this.#direct : undefined;
    if (direct === undefined || to < this.#offset || to >= direct.fragment.end) {
      throw new JournalError(
        "seek-requires-new-reader",
        `cannot go from offset ${this.#offset} to ${to} with this reader: only forward within a fragment that is read directly`,
        { journal: this.#request.journal },
      );
    }
    this.#reading = true;
    try {
      await direct.seek(to);
      this.#offset = to;
      return to;
    } catch (error) {
      this.#offset = direct.offset;
      await this.#fail(error);
      throw this.#error;
    } finally {
      this.#reading = false;
    }
  }

  /** The offset of the next byte that `buffering`, which reads from this reader, has not given out. */
  adjustedOffset(buffering: Buffering): bigint {
    return this.#offset - BigInt(buffering.buffered);
  }

  async close(): Promise<void> {
    if (this.#state !== "ended" && this.#state !== "failed") {
      this.#error = new JournalError("closed", "the reader was closed", { journal: this.#request.journal });
      await this.#leave("failed");
    }
    await this.#leaving;
  }

  #start(): void {
    const { signal, route } = this.#options;
    signal?.throwIfAborted();
    if (this.#endOffset !== 0n && this.#offset === this.#endOffset) {
      this.#state = "ended";
      return;
    }
    signal?.addEventListener("abort", this.#abort, { once: true });
    this.#responses = this.#client
      .openRead(this.request, { signal: this.#ended.signal, ...(route === undefined ? {} : { route }) })
      [Symbol.asyncIterator]();
    this.#state = "rpc";
  }

  /** Content of an answer, if it has any; throws for a jump, and for a status that is not OK. */
  #take(response: ReadResponse): Uint8Array | undefined {
    this.#response = response;
    const { content, status } = response;
    const { journal } = this.#request;
    if (response.header !== undefined) {
      this.#client.updateRoute(journal, response.header.route);
    }
    if (content === undefined && (status === "OK" || status === "OFFSET_NOT_YET_AVAILABLE")) {
      this.#writeHead = response.writeHead;
      this.#fragment = response.fragment ?? this.#fragment;
    }
    const from = this.#offset;
    const to = response.offset;
    if (status !== "OK") {
      if (from === -1n && to > from && status === "OFFSET_NOT_YET_AVAILABLE") {
        this.#offset = to;
      }
      throw statusError(status, { journal });
    }
    if (to < from) {
      throw new JournalError(
        "invalid-response",
        `the broker answered with offset ${to} of ${journal}, which is before ${from}, the next to be read`,
        { journal },
      );
    }
    if (to > from) {
      this.#offset = to;
      if (from !== -1n) {
        const { onOffsetJump } = this.#options;
        if (onOffsetJump === undefined) {
          this.#pending = content;
          throw new OffsetJumpError(journal, from, to);
        }
        onOffsetJump(from, to);
      }
    }
    return content === undefined || content.length === 0 ? undefined : content;
  }

  /** The broker closed the stream: that is the end, or it left a URL to go on with. */
  async #streamEnded(): Promise<void> {
    const { response } = this;
    const { doNotProxy, metadataOnly, journal } = this.#request;
    if (
      doNotProxy !== true ||
      metadataOnly === true ||
      response === undefined ||
      response.fragmentUrl === "" ||
      (this.#endOffset !== 0n && this.#offset >= this.#endOffset)
    ) {
      await this.#leave("ended");
      return;
    }
    const { fragment } = response;
    if (fragment === undefined || this.#offset < fragment.begin || this.#offset >= fragment.end) {
      throw new JournalError(
        "invalid-response",
        `the broker gave a URL for offset ${this.#offset} of ${journal}, with a fragment that does not hold it`,
        { journal },
      );
    }
    const direct = await openFragmentUrl(this.#client.fragments, {
      fragment,
      offset: this.#offset,
      url: response.fragmentUrl,
      signal: this.#ended.signal,
    });
    if (this.#state !== "rpc") {
      // Closed in the meantime.
      await direct.close();
      throw this.#error;
    }
    this.#direct = direct;
    this.#state = "direct";
  }

  async #give(chunk: Uint8Array): Promise<Uint8Array | undefined> {
    this.#offset += BigInt(chunk.length);
    return this.#endOffset !== 0n && this.#offset >= this.#endOffset ? this.#trim(chunk) : chunk;
  }

  /** The part of the last chunk that was asked for. Nothing comes behind it. */
  async #trim(chunk: Uint8Array): Promise<Uint8Array | undefined> {
    const excess = Number(this.#offset - this.#endOffset);
    this.#offset = excess < chunk.length ? this.#endOffset : this.#offset - BigInt(chunk.length);
    await this.#leave("ended");
    return excess < chunk.length ? chunk.subarray(0, chunk.length - excess) : undefined;
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#state !== "failed") {
      const { signal } = this.#options;
      this.#error = signal?.aborted ? signal.reason : error;
      await this.#leave("failed");
    }
    await this.#leaving;
  }

  /** Ends the RPC and the fragment's transfer. Never rejects. */
  async #leave(state: "ended" | "failed"): Promise<void> {
    this.#state = state;
    this.#pending = undefined;
    this.#leaving ??= (async () => {
      this.#options.signal?.removeEventListener("abort", this.#abort);
      this.#ended.abort(this.#error ?? new JournalError("closed", "the reader is at its end"));
      await Promise.all([this.#responses?.return?.().catch(() => {}), this.#direct?.close()]);
    })();
    await this.#leaving;
  }
}
