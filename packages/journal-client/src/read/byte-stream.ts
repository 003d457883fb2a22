import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";

/** Bytes in order, a chunk at a time, as large as they come. */
export interface ByteSource {
  /** The next chunk, which is never empty; undefined at the end, and from then on. One call at a time. */
  read(): Promise<Uint8Array | undefined>;
}

/** What all readers of this package have in common: a `ByteSource` is all that one of them must be. */
export abstract class ByteStream implements ByteSource, AsyncIterable<Uint8Array> {
  abstract read(): Promise<Uint8Array | undefined>;

  /**
   * The next bytes, into memory of the caller, who may use it again for those behind them. Where many bytes go through a process quickly that
   * saves what new memory for each chunk costs: fragments are read up to twice as fast and more. `read` and `readInto` may take turns; a chunk
   * that does not fit is given out in parts. The memory is not touched any more once the promise has settled.
   * @returns how many bytes, which may be fewer than fit; 0 at the end
   * @throws JournalError "invalid-argument" for a target without room; what `read` throws
   */
  abstract readInto(target: Uint8Array): Promise<number>;

  /** Ends what is going on; a pending `read` rejects with "closed". Settles when nothing is left of it. Never rejects. */
  abstract close(): Promise<void>;

  /** Chunks until the end. Leaving the loop closes the reader; an error that comes out of it does not, so that one may go on after a jump. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    const iterator: AsyncIterableIterator<Uint8Array> = {
      next: async () => {
        const chunk = await this.read();
        return chunk === undefined ? { done: true, value: undefined } : { done: false, value: chunk };
      },
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /** As a Node stream of Buffers, which reads on only when there is room. Its end, its failure and `destroy` close the reader. */
  asReadable(): Readable {
    const readable = new Readable({
      read: () => {
        this.read().then(
          (chunk) => readable.push(chunk ?? null),
          (error: Error) => readable.destroy(error),
        );
      },
      destroy: (error, callback) => {
        this.close().then(() => callback(error));
      },
    });
    return readable;
  }

  /** As a web stream, which reads only when it is asked. Its end, its failure and `cancel` close the reader. */
  asReadableStream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const chunk = await this.read();
            if (chunk !== undefined) {
              controller.enqueue(chunk);
              return;
            }
          } catch (error) {
            await this.close();
            throw error;
          }
          await this.close();
          controller.close();
        },
        cancel: () => this.close(),
      },
      { highWaterMark: 0 },
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
