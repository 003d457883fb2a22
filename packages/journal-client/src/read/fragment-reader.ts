import type { FragmentBody, FragmentTransport } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import type { Fragment } from "../protocol/fragment.js";
import { argument, checkInt64, checkObject, checkString, within } from "../protocol/refusal.js";
import { ByteStream } from "./byte-stream.js";
import { acceptEncodingOf, decoderOf } from "./codecs.js";
import { checkTarget, fill } from "./read-target.js";
import { SpentMemory } from "./spent-memory.js";

/** What `seek` drops at a time. */
const SKIPPED_BYTES = 64 * 1024;

export interface FragmentReaderOptions {
  /** The store's `Content-Encoding` of the file. Default "". */
  readonly contentEncoding?: string;
  readonly signal?: AbortSignal;
}

/**
 * Reads the content of one fragment from its file, which it decompresses as it goes, in order and in large chunks.
 *
 * The content is compared with the fragment in its length, not with its SHA-1 sum. Checksums are those of the codecs: SNAPPY's are compared
 * before each block is given out; GZIP's stand behind what they cover, so that corrupt content may have been given out when the error comes;
 * NONE has none, nor has ZSTANDARD as brokers write it.
 *
 * `read` throws JournalError "unexpected-eof" when the file ends before the fragment's end (or within compressed content),
 * "did-not-read-expected-eof" when it goes on behind it (all content until the end was given out before), "fragment-corrupt",
 * "unsupported-codec", "fragment-fetch" when the transfer broke off, "closed", and the signal's reason. The first error ends the reader.
 */
export class FragmentReader extends ByteStream {
  readonly fragment: Fragment;
  readonly #signal: AbortSignal | undefined;
  readonly #content: AsyncIterator<Uint8Array>;
  readonly #transfer: AbortController | undefined;
  /** Reads content straight into a target: only while the iteration of the file has not begun. */
  #readPlain: FragmentBody["readInto"];
  /** Of what is decompressed: the chunks of a file may lie in memory that others use. */
  readonly #spent: SpentMemory | undefined;
  #offset: bigint;
  /** Content that was taken from the file and not given out. */
  #ahead: Uint8Array | undefined;
  #state: "open" | "ended" | "failed" | "closed" = "open";
  #error: unknown;
  #closing: Promise<void> | undefined;

  /**
   * `file` is the fragment's file, from its beginning, as the store has it. `transfer` is aborted when the reader is closed while it reads.
   * Use `openFragmentUrl` for a fragment that is in a store.
   */
  constructor(
    file: FragmentBody,
    fragment: Fragment,
    options: FragmentReaderOptions & { readonly transfer?: AbortController } = {},
  ) {
    super();
    this.fragment = fragment;
    this.#offset = fragment.begin;
    this.#signal = options.signal;
    this.#transfer = options.transfer;
    const content = decoderOf(fragment.compressionCodec, options.contentEncoding)(file);
    this.#content = content[Symbol.asyncIterator]();
    this.#readPlain = content === file ? file.readInto : undefined;
    this.#spent = content === file ? undefined : new SpentMemory();
  }

  /** Of the next byte to be read. */
  get offset(): bigint {
    return this.#offset;
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
    this.#ahead = fill(target, chunk);
    const rest = this.#ahead?.length ?? 0;
    this.#offset -= BigInt(rest);
    const count = chunk.length - rest;
    this.#spent?.used(chunk, count);
    return count;
  }

  /** The next content: in `target` if it can be put there as it comes. */
  async #next(target: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    if (this.#ahead !== undefined) {
      const chunk = this.#ahead;
      this.#ahead = undefined;
      this.#offset += BigInt(chunk.length);
      return chunk;
    }
    if (this.#state === "ended") return undefined;
    if (this.#state !== "open") throw this.#state === "closed" ? closed() : this.#error;
    try {
      this.#signal?.throwIfAborted();
      if (target !== undefined && this.#readPlain !== undefined) {
        const count = await this.#readPlain(target);
        this.#checkOpen();
        const taken = this.#take(count) ? count : await this.#takeLast(count);
        return taken === 0 ? undefined : target.subarray(0, taken);
      }
      this.#readPlain = undefined;
      let next = await this.#content.next();
      while (next.done !== true && next.value.length === 0) next = await this.#content.next();
      this.#checkOpen();
      const chunk = next.done === true ? undefined : next.value;
      if (chunk !== undefined && this.#take(chunk.length)) {
        return chunk;
      }
      const count = await this.#takeLast(chunk?.length ?? 0);
      return chunk?.subarray(0, count);
    } catch (error) {
      await this.#fail(error);
      throw this.#error;
    }
  }

  /** So many bytes were got: whether there were any, and all of them are the fragment's, which then are counted. */
  #take(count: number): boolean {
    const offset = this.#offset + BigInt(count);
    if (count === 0 || offset > this.fragment.end) {
      return false;
    }
    this.#offset = offset;
    return true;
  }

  /** What `#take` refused: 0 bytes at the end of the file, or more than the fragment has. Gives how many of them are the fragment's. */
  async #takeLast(count: number): Promise<number> {
    const { end } = this.fragment;
    if (count === 0) {
      if (this.#offset < end) {
        throw new JournalError(
          "unexpected-eof",
          `the file of ${about(this.fragment)} ended at offset ${this.#offset}, before the fragment's end ${end}`,
          { journal: this.fragment.journal },
        );
      }
      this.#state = "ended";
      await this.#leave();
      return 0;
    }
    const rest = end - this.#offset;
    const tooLong = new JournalError(
      "did-not-read-expected-eof",
      `the file of ${about(this.fragment)} goes on behind the fragment's end ${end}`,
      { journal: this.fragment.journal },
    );
    if (rest === 0n) {
      throw tooLong;
    }
    this.#state = "failed";
    this.#error = tooLong;
    await this.#leave();
    this.#offset = end;
    return Number(rest);
  }

  /**
   * Goes forward to an offset of this fragment, by reading and dropping what is before it.
   * @throws JournalError "seek-requires-new-reader" when it is behind the reader or not in the fragment, and what `read` throws
   */
  async seek(offset: bigint): Promise<void> {
    if (offset < this.#offset || offset > this.fragment.end) {
      throw new JournalError(
        "seek-requires-new-reader",
        `cannot go from offset ${this.#offset} to ${offset} in ${about(this.fragment)}: only forward, and to its end ${this.fragment.end}`,
        { journal: this.fragment.journal },
      );
    }
    while (this.#offset < offset) {
      if (this.#readPlain !== undefined) {
        const dropped = Buffer.allocUnsafe(Math.min(SKIPPED_BYTES, Number(offset - this.#offset)));
        if ((await this.readInto(dropped)) === 0) {
          return;
        }
        continue;
      }
      const chunk = await this.read();
      if (chunk === undefined) {
        return;
      }
      let dropped = chunk.length;
      if (this.#offset > offset) {
        dropped -= Number(this.#offset - offset);
        this.#ahead = chunk.subarray(dropped);
        this.#offset = offset;
      }
      this.#spent?.used(chunk, dropped);
    }
  }

  close(): Promise<void> {
    this.#ahead = undefined;
    if (this.#state === "open") {
      this.#state = "closed";
      this.#transfer?.abort(closed());
    }
    return this.#leave();
  }

  /** After each wait: a file that ends because it was closed here is not too short. */
  #checkOpen(): void {
    if (this.#state !== "open") throw closed();
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#state === "closed") {
      this.#error = closed();
    } else {
      this.#state = "failed";
      this.#error = this.#signal?.aborted ? this.#signal.reason : error;
    }
    await this.#leave();
  }

  /** Once, and never rejects. */
  #leave(): Promise<void> {
    this.#closing ??= (async () => {
      try {
        await this.#content.return?.();
      } catch {
        // It is over either way.
      }
      this.#transfer?.abort(closed());
    })();
    return this.#closing;
  }
}

export interface OpenFragmentOptions {
  readonly fragment: Fragment;
  /** Of the first byte wanted. Default: the fragment's begin. */
  readonly offset?: bigint;
  /** As a broker gave it. */
  readonly url: string;
  readonly signal?: AbortSignal;
}

/**
 * Opens a fragment at its URL, and goes to an offset of it by reading and dropping what is before. `fragments` is the `fragments` of a client.
 * @throws JournalError "url-refused", "fragment-not-found", "fragment-fetch", "invalid-argument", and what `FragmentReader.read` throws
 */
export async function openFragmentUrl(
  fragments: FragmentTransport,
  options: OpenFragmentOptions,
): Promise<FragmentReader> {
  checkOpening(options);
  const { fragment, url, signal } = options;
  const offset = options.offset ?? fragment.begin;
  if (offset < fragment.begin || offset > fragment.end) {
    throw new JournalError(
      "invalid-argument",
      `offset ${offset} is not in ${about(fragment)}, which has the offsets from ${fragment.begin} to ${fragment.end}`,
      { journal: fragment.journal },
    );
  }
  signal?.throwIfAborted();
  const transfer = new AbortController();
  const abort = (): void => transfer.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  transfer.signal.addEventListener("abort", () => signal?.removeEventListener("abort", abort), {
    once: true,
  });
  let reader: FragmentReader | undefined;
  try {
    const file = await fragments.get(url, {
      headers: { "accept-encoding": acceptEncodingOf(fragment.compressionCodec) },
      signal: transfer.signal,
    });
    reader = new FragmentReader(file.body, fragment, {
      contentEncoding: file.contentEncoding,
      transfer,
      ...(signal === undefined ? {} : { signal }),
    });
    await reader.seek(offset);
    return reader;
  } catch (error) {
    await reader?.close();
    const failure = signal?.aborted ? signal.reason : error;
    transfer.abort(failure);
    throw failure;
  }
}

function checkOpening(options: OpenFragmentOptions): void {
  const place = argument("OpenFragmentOptions");
  checkObject(place, options);
  const { fragment, url, offset } = options;
  checkString(within(place, "url"), url);
  checkObject(within(place, "fragment"), fragment);
  checkInt64(within(place, "fragment.begin"), fragment.begin, 0n);
  checkInt64(within(place, "fragment.end"), fragment.end, 0n);
  if (offset !== undefined) checkInt64(within(place, "offset"), offset, 0n);
}

function about(fragment: Fragment): string {
  return `the fragment at ${fragment.begin} of ${fragment.journal}`;
}

function closed(): JournalError {
  return new JournalError("closed", "the reader was closed");
}
