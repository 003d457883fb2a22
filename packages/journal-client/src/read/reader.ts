import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import type { Fragment } from "../protocol/fragment.js";
import type { Route } from "../protocol/header.js";
import { argument, checkObject } from "../protocol/refusal.js";
import type { ReadRequest } from "../protocol/requests.js";
import type { ReadResponse } from "../protocol/responses.js";
import type { Buffering } from "./buffered-reader.js";
import { ByteStream } from "./byte-stream.js";
import { type FragmentReader, openFragmentUrl } from "./fragment-reader.js";
import { OffsetJumpError } from "./offset-jump.js";
import { type OnOffsetJump, ReadPlace } from "./read-place.js";
import { checkTarget, fill, viewOf } from "./read-target.js";
import { seekTarget, type Whence } from "./seek-target.js";
import { oneAtATime } from "./turns.js";

export interface ReaderOptions {
  readonly signal?: AbortSignal;
  /** Told of every jump over offsets without content, after which reading goes on. Without it `read` throws "offset-jump" once for each. */
  readonly onOffsetJump?: OnOffsetJump;
  /** Where the RPC goes. Default: where the journal is known to be. */
  readonly route?: Route;
}

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
  readonly #place: ReadPlace;
  /** Of this reader's own end, whoever caused it. */
  readonly #ended = new AbortController();
  readonly #abort: () => void;
  #state: "new" | "rpc" | "direct" | "ended" | "failed" = "new";
  #error: unknown;
  #reading = false;
  #responses: AsyncIterator<ReadResponse> | undefined;
  /** Of a chunk that did not fit into its target. */
  #rest: Uint8Array | undefined;
  #direct: FragmentReader | undefined;
  #leaving: Promise<void> | undefined;

  /** @throws JournalError "invalid-argument" without a request; what is wrong in one, `read` tells */
  constructor(client: RoutedJournalClient, request: ReadRequest, options: ReaderOptions = {}) {
    super();
    checkObject(argument("ReadRequest"), request);
    this.#client = client;
    this.#options = options;
    this.#request = request;
    this.#place = new ReadPlace(request);
    this.#abort = () => this.#ended.abort(options.signal?.reason);
  }

  /** The request as it would be made now: its offset is where the reader is. */
  get request(): ReadRequest {
    return { ...this.#request, offset: this.#place.offset };
  }

  /** The broker's last answer, once there is one. */
  get response(): ReadResponse | undefined {
    return this.#place.response;
  }

  /** Of the next byte to be read; -1n until the write head is known. */
  get offset(): bigint {
    return this.#place.offset;
  }

  /** Where the next append went when the broker last told; undefined before. */
  get writeHead(): bigint | undefined {
    return this.#place.writeHead;
  }

  /** The fragment that is being read, once the broker told. */
  get fragment(): Fragment | undefined {
    return this.#place.fragment;
  }

  /** Whether a fragment is read from its store now. */
  get direct(): boolean {
    return this.#state === "direct";
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#next(undefined);
  }

  async readInto(target: Uint8Array): Promise<number> {
    checkTarget(target);
    const chunk = await this.#next(target);
    if (chunk === undefined) {
      return 0;
    }
    this.#rest = fill(target, chunk);
    const rest = this.#rest?.length ?? 0;
    this.#place.offset -= BigInt(rest);
    return chunk.length - rest;
  }

  /** The next content: in `target` if it can be put there as it comes. */
  async #next(target: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    this.#enter();
    try {
      if (this.#rest !== undefined) {
        const chunk = this.#rest;
        this.#rest = undefined;
        this.#place.offset += BigInt(chunk.length);
        return chunk;
      }
      while (true) {
        let chunk: Uint8Array | undefined;
        if (this.#state === "rpc") {
          chunk = this.#place.takePending();
          if (chunk === undefined && this.#place.isOver) {
            await this.#leave("ended");
          } else if (chunk === undefined) {
            const next = await this.#responses!.next();
            // The end of a stream that was closed here is not the journal's.
            this.#checkOpen();
            if (next.done === true) {
              await this.#streamEnded();
            } else {
              chunk = this.#take(next.value);
              this.#checkOpen();
            }
          }
        } else if (this.#state === "direct") {
          chunk =
            target === undefined
              ? await this.#direct!.read()
              : await viewOf(target, this.#direct!.readInto(target));
          this.#checkOpen();
          if (chunk === undefined) {
            await this.#leave("ended");
          }
        } else if (this.#state === "new") {
          this.#start();
        } else if (this.#state === "ended") {
          return undefined;
        } else {
          throw this.#error;
        }
        if (chunk !== undefined) {
          const given = this.#place.give(chunk);
          if (given === undefined || this.#place.isAtEnd) {
            await this.#leave("ended");
          }
          return given;
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
    const to = seekTarget(this.#place.offset, offset, whence);
    this.#enter();
    try {
      await this.#seek(to);
      return to;
    } finally {
      this.#reading = false;
    }
  }

  async #seek(to: bigint): Promise<void> {
    const direct = this.#state === "direct" ? this.#direct : undefined;
    if (direct === undefined || to < this.#place.offset || to >= direct.fragment.end) {
      throw new JournalError(
        "seek-requires-new-reader",
        `cannot go from offset ${this.#place.offset} to ${to} with this reader: only forward within a fragment that is read directly`,
        { journal: this.#request.journal },
      );
    }
    try {
      await direct.seek(to);
      this.#place.offset = to;
    } catch (error) {
      this.#place.offset = direct.offset;
      await this.#fail(error);
      throw this.#error;
    }
  }

  /** The offset of the next byte that `buffering`, which reads from this reader, has not given out. */
  adjustedOffset(buffering: Buffering): bigint {
    return this.#place.offset - BigInt(buffering.buffered);
  }

  async close(): Promise<void> {
    this.#rest = undefined;
    if (this.#state !== "ended" && this.#state !== "failed") {
      const { signal } = this.#options;
      this.#error = signal?.aborted
        ? signal.reason
        : new JournalError("closed", "the reader was closed", { journal: this.#request.journal });
      await this.#leave("failed");
    }
    await this.#leaving;
  }

  /** After each wait: `close` may have been called meanwhile. */
  #checkOpen(): void {
    if (this.#state === "failed") {
      throw this.#error;
    }
  }

  #enter(): void {
    if (this.#reading) {
      throw oneAtATime();
    }
    this.#reading = true;
  }

  #start(): void {
    const { signal, route } = this.#options;
    signal?.throwIfAborted();
    if (this.#place.isEmpty) {
      this.#state = "ended";
      return;
    }
    signal?.addEventListener("abort", this.#abort, { once: true });
    this.#responses = this.#client
      .openRead(this.request, { signal: this.#ended.signal, ...(route === undefined ? {} : { route }) })
      [Symbol.asyncIterator]();
    this.#state = "rpc";
  }

  #take(response: ReadResponse): Uint8Array | undefined {
    if (response.header !== undefined) {
      this.#client.updateRoute(this.#request.journal, response.header.route);
    }
    return this.#place.take(response, this.#options.onOffsetJump);
  }

  /** The broker closed the stream: that is the end, or it left a URL to go on with. */
  async #streamEnded(): Promise<void> {
    const found = this.#place.fragmentToOpen();
    if (found === undefined) {
      await this.#leave("ended");
      return;
    }
    const direct = await openFragmentUrl(this.#client.fragments, {
      ...found,
      offset: this.#place.offset,
      signal: this.#ended.signal,
    });
    if (this.#state !== "rpc") {
      await direct.close();
      throw this.#error;
    }
    this.#direct = direct;
    this.#state = "direct";
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
    this.#place.takePending();
    this.#leaving ??= (async () => {
      this.#options.signal?.removeEventListener("abort", this.#abort);
      this.#ended.abort(this.#error ?? new JournalError("closed", "the reader is at its end"));
      await Promise.all([this.#responses?.return?.().catch(() => {}), this.#direct?.close()]);
    })();
    await this.#leaving;
  }
}
