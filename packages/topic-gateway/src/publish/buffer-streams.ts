import type { BufferApi } from "../protocol/buffer-api.js";
import { BufferStream } from "./buffer-stream.js";

/** A client's streams of publishing: one to each buffer that takes new lanes, and older ones until their lanes are gone. */
export class BufferStreams {
  readonly #connect: (address: string) => BufferApi;
  readonly #newest = new Map<string, BufferStream>();
  /** All that have not ended. */
  readonly #running = new Set<BufferStream>();

  constructor(connect: (address: string) => BufferApi) {
    this.#connect = connect;
  }

  /** Where the next lane to a buffer is to be opened, at once. */
  to(address: string): BufferStream {
    const newest = this.#newest.get(address);
    if (newest?.takesLanes) return newest;
    newest?.retire();
    const stream: BufferStream = new BufferStream(
      () => this.#connect(address),
      () => {
        this.#running.delete(stream);
        if (this.#newest.get(address) === stream) this.#newest.delete(address);
      },
    );
    this.#running.add(stream);
    this.#newest.set(address, stream);
    return stream;
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#running].map((stream) => stream.close()));
  }
}
