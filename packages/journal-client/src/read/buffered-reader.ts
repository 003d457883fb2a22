import { JournalError } from "../errors.js";
import type { ByteSource } from "./byte-stream.js";

/** Something that has read ahead of whoever uses it: what `adjustedOffset` and `adjustedSeek` must know. */
export interface Buffering {
  /** Bytes read from the source that nobody has taken yet. */
  readonly buffered: number;
  /** Takes so many bytes, at most `buffered`. */
  discard(count: number): void;
  /** Forgets what is buffered: the source goes on elsewhere. */
  reset(): void;
}

export interface BufferedReaderOptions {
  /** The longest line, and the most that `peek` and `readExactly` put together. Default 64 MiB. */
  readonly maxBytes?: number;
}

const NEWLINE = 0x0a;

/**
 * Takes a source of chunks apart into lines and frames. What lies within one chunk is given out as a view of it, without a copy; only what
 * spans chunks is put together. One call at a time.
 *
 * An error of the source rejects the call that met it, and loses nothing: what was buffered stays, and the next call reads on. After an
 * "offset-jump" the bytes that are buffered lie before the jump: `reset` them, or they are taken for the beginning of what follows.
 */
export class BufferedReader implements Buffering, ByteSource {
  readonly #source: ByteSource;
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  /** Index of the first chunk that has bytes, and of the first of those. Chunks before are dropped now and then, all at once. */
  #head = 0;
  #skip = 0;
  #buffered = 0;

  constructor(source: ByteSource, options: BufferedReaderOptions = {}) {
    this.#source = source;
    this.#maxBytes = options.maxBytes ?? 64 * 1024 * 1024;
  }

  get buffered(): number {
    return this.#buffered;
  }

  /** The rest of the first chunk that is buffered, else the source's next one; undefined at the end. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#buffered === 0 && !(await this.#fill())) {
      return undefined;
    }
    const chunk = this.#first();
    this.discard(chunk.length);
    return chunk;
  }

  /** The next bytes, which stay buffered; fewer than `count` only at the end of the source. @throws JournalError "invalid-argument" */
  peek(count: number): Promise<Uint8Array> {
    return this.#ahead(count);
  }

  /** As `peek`, at once and without asking the source: undefined when fewer than `count` are buffered. */
  peekBuffered(count: number): Uint8Array | undefined {
    this.#checkCount(count);
    return count <= this.#buffered ? this.#joined(count) : undefined;
  }

  /**
   * Takes exactly so many bytes; undefined at the end of the source. `maxBytes` is in the place of the reader's own.
   * @throws JournalError "unexpected-eof" when the source ends within them (they stay buffered), "invalid-argument"
   */
  async readExactly(
    count: number,
    options: { readonly maxBytes?: number } = {},
  ): Promise<Uint8Array | undefined> {
    const bytes =
      this.#buffered >= count && count >= 0
        ? this.#joined(count)
        : await this.#ahead(count, options.maxBytes);
    if (bytes.length < count) {
      if (bytes.length === 0) {
        return undefined;
      }
      throw new JournalError(
        "unexpected-eof",
        `the stream ended after ${bytes.length} of ${count} bytes that belong together`,
      );
    }
    this.discard(count);
    return bytes;
  }

  /**
   * Takes a line, with its "\n"; undefined at the end of the source.
   * @throws JournalError "unexpected-eof" when the source ends without a "\n" (what there is stays buffered), "bad-message" when the line
   * is longer than `maxBytes`
   */
  async readLine(options: { readonly maxBytes?: number } = {}): Promise<Uint8Array | undefined> {
    const maxBytes = options.maxBytes ?? this.#maxBytes;
    let searched = 0;
    for (let index = this.#head; ; index++) {
      if (index === this.#chunks.length) {
        if (searched >= maxBytes) {
          throw tooLong(maxBytes);
        }
        // Filling may drop the chunks before the head.
        const ahead = index - this.#head;
        if (!(await this.#fill())) {
          break;
        }
        index = this.#head + ahead;
      }
      const chunk = this.#chunks[index]!;
      const from = index === this.#head ? this.#skip : 0;
      const at = chunk.indexOf(NEWLINE, from);
      if (at !== -1) {
        const length = searched + at + 1 - from;
        if (length > maxBytes) {
          throw tooLong(maxBytes);
        }
        const line = this.#joined(length);
        this.discard(length);
        return line;
      }
      searched += chunk.length - from;
    }
    if (this.#buffered === 0) {
      return undefined;
    }
    throw new JournalError(
      "unexpected-eof",
      `the stream ended within a line, after ${this.#buffered} bytes of it`,
    );
  }

  /** @throws JournalError "invalid-argument" when it is more than is buffered */
  discard(count: number): void {
    if (!Number.isSafeInteger(count) || count < 0 || count > this.#buffered) {
      throw new JournalError(
        "invalid-argument",
        `cannot discard ${count} bytes: it must be a whole number from 0 to the ${this.#buffered} that are buffered`,
      );
    }
    this.#buffered -= count;
    if (this.#buffered === 0) {
      this.#chunks = [];
      this.#head = 0;
      this.#skip = 0;
      return;
    }
    this.#skip += count;
    while (this.#skip >= this.#chunks[this.#head]!.length) {
      this.#skip -= this.#chunks[this.#head]!.length;
      this.#chunks[this.#head] = EMPTY;
      this.#head++;
    }
  }

  reset(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#skip = 0;
    this.#buffered = 0;
  }

  async #ahead(count: number, maxBytes?: number): Promise<Uint8Array> {
    this.#checkCount(count, maxBytes);
    while (this.#buffered < count && (await this.#fill())) {
      // Until there is enough, or no more.
    }
    return this.#joined(Math.min(count, this.#buffered));
  }

  /** Whether there was another chunk. */
  async #fill(): Promise<boolean> {
    let chunk: Uint8Array | undefined;
    do {
      chunk = await this.#source.read();
      if (chunk === undefined) {
        return false;
      }
    } while (chunk.length === 0);
    if (this.#head > 64) {
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    return true;
  }

  #first(): Uint8Array {
    const chunk = this.#chunks[this.#head]!;
    return this.#skip === 0 ? chunk : chunk.subarray(this.#skip);
  }

  /** The first `count` of the buffered bytes as one array, which takes the place of the chunks that they were in. */
  #joined(count: number): Uint8Array {
    if (count === 0) {
      return EMPTY;
    }
    const first = this.#chunks[this.#head]!;
    if (this.#skip + count <= first.length) {
      return first.subarray(this.#skip, this.#skip + count);
    }
    const joined = new Uint8Array(count);
    let length = 0;
    let index = this.#head;
    let skip = this.#skip;
    while (length < count) {
      const chunk = this.#chunks[index]!;
      const part = chunk.subarray(skip, skip + count - length);
      joined.set(part, length);
      length += part.length;
      skip += part.length;
      if (skip === chunk.length) {
        index++;
        skip = 0;
      }
    }
    const rest = skip === 0 ? [] : [this.#chunks[index]!.subarray(skip)];
    this.#chunks = [joined, ...rest, ...this.#chunks.slice(skip === 0 ? index : index + 1)];
    this.#head = 0;
    this.#skip = 0;
    return joined;
  }

  #checkCount(count: number, maxBytes: number = this.#maxBytes): void {
    if (!Number.isSafeInteger(count) || count < 0 || count > maxBytes) {
      throw new JournalError(
        "invalid-argument",
        `cannot put ${count} bytes together: it must be a whole number from 0 to the limit of ${maxBytes}`,
      );
    }
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);

function tooLong(maxBytes: number): JournalError {
  return new JournalError("bad-message", `a line is longer than the limit of ${maxBytes} bytes`);
}
