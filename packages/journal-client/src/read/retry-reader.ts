import { backoffMs, sleep } from "../backoff.js";
import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import { isJournalError, JournalError } from "../errors.js";
import type { Fragment } from "../protocol/fragment.js";
import type { Route } from "../protocol/header.js";
import { argument, checkObject } from "../protocol/refusal.js";
import type { ReadRequest } from "../protocol/requests.js";
import { systemClock, systemRandom } from "../system.js";
import type { Buffering } from "./buffered-reader.js";
import { ByteStream } from "./byte-stream.js";
import { OffsetJumpError } from "./offset-jump.js";
import { checkTarget } from "./read-target.js";
import { Reader } from "./reader.js";
import type { RetryReaderOptions } from "./retry-reader-options.js";
import {
  isEndReached,
  judge,
  NO_FAILURES,
  nextRequest,
  progressed,
  type ReadFailures,
  soughtRequest,
} from "./retry-rules.js";
import { seekTarget, type Whence } from "./seek-target.js";
import { Turns } from "./turns.js";

const UNAVAILABLE = 14;

/**
 * Reads a journal for as long as one wants, with as many Read RPCs as that takes: each begins where the last one ended, so that every byte
 * is given out once, in order, and only what is told as a jump is left out. Between tries it waits as long as Gazette's own client does
 * (50 ms, then 100 ms, 1 s, 5 s, each plus or minus a quarter); after content it begins anew.
 *
 * `read` gives undefined when `endOffset` is reached (or the request was `metadataOnly`), and throws only
 * - "offset-not-yet-available" without `block`; the next `read` tries again;
 * - "offset-jump", after which the next `read` goes on behind it;
 * - "journal-not-found", from the fifth failed try without content on, or at once when the request has a `header`;
 * - "not-allowed" and "transport" with gRPC's 7 and 16 (permission denied, unauthenticated), the fourth time in a row;
 * - "suspended", "invalid-argument", "closed", and the reason of the signal, or of `cancel`.
 *
 * A fragment that is read directly (`doNotProxy`) and whose file is missing, too short, corrupt or out of reach is asked for again. After the
 * third failure without progress, or at once when its URL is refused or its decompressor is not installed, the broker is asked to read that
 * one fragment itself; the next is read directly again. When the broker fails too, both ways take turns.
 *
 * One call at a time, but for `cancel`, `restart` and `close`, which may be called at any time.
 */
export class RetryReader extends ByteStream {
  readonly #client: RoutedJournalClient;
  readonly #options: RetryReaderOptions;
  #request: ReadRequest;
  #reader: Reader;
  readonly #turns: Turns;
  #failures: ReadFailures = NO_FAILURES;
  #writeHead: bigint | undefined;
  #fragment: Fragment | undefined;
  /** Of readers that were given up. */
  readonly #closing = new Set<Promise<void>>();

  /** @throws JournalError "invalid-argument" without a request; what is wrong in one, `read` tells */
  constructor(client: RoutedJournalClient, request: ReadRequest, options: RetryReaderOptions = {}) {
    super();
    checkObject(argument("ReadRequest"), request);
    this.#client = client;
    this.#options = options;
    this.#request = request;
    this.#turns = new Turns(options.signal);
    this.#reader = this.#open(request);
  }

  get journal(): string {
    return this.#request.journal;
  }

  /** Of the next byte to be read; -1n until the write head is known. */
  get offset(): bigint {
    return this.#reader.offset;
  }

  /** As it was given, but for its offset, which is where the reader is. */
  get request(): ReadRequest {
    return { ...this.#request, offset: this.offset };
  }

  /** The reader of the RPC that goes on now. Another one after each failure, `seek` and `restart`. */
  get reader(): Reader {
    return this.#reader;
  }

  /** Where the next append went when a broker last told; undefined before. */
  get writeHead(): bigint | undefined {
    return this.#reader.writeHead ?? this.#writeHead;
  }

  /** The fragment that is, or was last, read, once a broker told. */
  get fragment(): Fragment | undefined {
    return this.#reader.fragment ?? this.#fragment;
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#next((reader) => reader.read());
  }

  async readInto(target: Uint8Array): Promise<number> {
    checkTarget(target);
    return (await this.#next(async (reader) => (await reader.readInto(target)) || undefined)) ?? 0;
  }

  /** What one of the readers gives, and undefined at the end of what was asked for. */
  async #next<T>(read: (reader: Reader) => Promise<T | undefined>): Promise<T | undefined> {
    const turn = this.#turns.enter();
    try {
      while (true) {
        const reader = this.#reader;
        let failed: { readonly error: unknown } | undefined;
        try {
          const chunk = await read(reader);
          this.#turns.checkCurrent(turn);
          if (chunk !== undefined) {
            this.#failures = progressed(this.#failures);
            return chunk;
          }
          if (this.#request.metadataOnly === true || isEndReached(this.#request, reader.offset)) {
            return undefined;
          }
        } catch (error) {
          this.#turns.checkCurrent(turn);
          if (error instanceof OffsetJumpError) {
            throw error;
          }
          failed = { error };
        }
        turn.throwIfAborted();
        // An answer can take the offset behind the end, and what is wrong with it does not matter there.
        if (reader.response !== undefined && isEndReached(this.#request, reader.offset)) {
          return undefined;
        }
        await this.#retry(reader, failed);
      }
    } finally {
      this.#turns.leave(turn);
    }
  }

  /**
   * Sets the offset of the next byte to be read, going forward within a fragment that is read directly where that is possible, else with a
   * new RPC. Behind `endOffset` there is only the end. @returns the offset. @throws JournalError "invalid-argument"
   */
  async seek(offset: bigint, whence: Whence = "start"): Promise<bigint> {
    const to = seekTarget(this.offset, offset, whence);
    if (to < -1n || (to === -1n && whence === "current")) {
      throw new JournalError(
        "invalid-argument",
        `cannot go to offset ${to} of ${this.journal}: offsets begin at 0`,
        { journal: this.journal },
      );
    }
    const turn = this.#turns.enter();
    try {
      if (to === this.offset) {
        return to;
      }
      const reader = this.#reader;
      try {
        await reader.seek(to);
        this.#turns.checkCurrent(turn);
      } catch {
        // Of no matter: a new reader begins there. But for a cancel, which holds.
        turn.throwIfAborted();
        this.#giveUp(reader);
        this.#request = { ...this.#request, offset: to };
        this.#failures = NO_FAILURES;
        this.#reader = this.#open(soughtRequest(this.#request, to));
      }
      return to;
    } finally {
      this.#turns.leave(turn);
    }
  }

  /** The offset of the next byte that `buffering`, which reads from this reader, has not given out. */
  adjustedOffset(buffering: Buffering): bigint {
    return this.#reader.adjustedOffset(buffering);
  }

  /**
   * Sets the offset of the next byte that `buffering` gives out: by discarding from it when it holds that byte, else by `seek`, and it is
   * reset. "current" counts from its adjusted offset. @returns the offset. @throws JournalError "invalid-argument"
   */
  async adjustedSeek(offset: bigint, whence: Whence, buffering: Buffering): Promise<bigint> {
    const from = this.adjustedOffset(buffering);
    const to = seekTarget(from, offset, whence);
    const ahead = to - from;
    if (ahead >= 0n && ahead <= BigInt(buffering.buffered)) {
      buffering.discard(Number(ahead));
      return to;
    }
    const reached = await this.seek(to);
    buffering.reset();
    return reached;
  }

  /** Ends a pending `read` or `seek`, and each later one, with this reason, until `restart`. Default: an AbortError. */
  cancel(reason: unknown = new DOMException("the read was cancelled", "AbortError")): void {
    this.#turns.cancel(reason);
  }

  /**
   * Begins again with another request. A `read` or `seek` that is still going on rejects with the reason of `cancel`, which by default is an
   * AbortError; the next may follow at once. @throws JournalError "invalid-argument" without a request
   */
  restart(request: ReadRequest): void {
    checkObject(argument("ReadRequest"), request);
    this.cancel();
    this.#giveUp(this.#reader);
    this.#request = request;
    this.#failures = NO_FAILURES;
    this.#turns.begin();
    this.#reader = this.#open(request);
  }

  async close(): Promise<void> {
    this.cancel(new JournalError("closed", "the reader was closed", { journal: this.journal }));
    this.#giveUp(this.#reader);
    await Promise.all(this.#closing);
  }

  #open(request: ReadRequest, route?: Route): Reader {
    const { onOffsetJump } = this.#options;
    return new Reader(this.#client, request, {
      signal: this.#turns.signal,
      ...(onOffsetJump === undefined ? {} : { onOffsetJump }),
      ...(route === undefined || route.members.length === 0 ? {} : { route }),
    });
  }

  #giveUp(reader: Reader): void {
    this.#writeHead = reader.writeHead ?? this.#writeHead;
    this.#fragment = reader.fragment ?? this.#fragment;
    const closing = reader.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Waits, and opens the next reader; throws what is not retried. The next `read` begins anew then. */
  async #retry(reader: Reader, failed: { readonly error: unknown } | undefined): Promise<void> {
    const { clock = systemClock, random = systemRandom, onRetry } = this.#options;
    const { signal } = this.#turns;
    this.#giveUp(reader);
    this.#request = { ...this.#request, offset: reader.offset };
    const { attempt } = this.#failures;
    const { offset, fragment } = reader;
    const verdict = judge(this.#failures, this.#request, { offset, fragment, failed });
    this.#failures = verdict.failures;
    // A broker that does not serve the journal says who does.
    const { response } = reader;
    const route = response?.status === "OK" ? undefined : response?.header?.route;
    this.#reader = this.#open(nextRequest(this.#request, verdict.failures), route);
    if (verdict.surfaces) {
      throw failed?.error;
    }
    if (isJournalError(failed?.error, "transport") && failed.error.grpcCode === UNAVAILABLE) {
      // Whoever was asked may be gone; another broker knows better.
      this.#client.updateRoute(this.journal, undefined);
    }
    const delayMs = verdict.backoff === undefined ? 0 : backoffMs(verdict.backoff, random);
    if (failed !== undefined && onRetry !== undefined) {
      onRetry({ type: "retry", journal: this.journal, offset, error: failed.error, attempt, delayMs });
      // It may have cancelled, or restarted.
      signal.throwIfAborted();
    }
    if (delayMs > 0) {
      await sleep(clock, delayMs, signal);
    }
  }
}
