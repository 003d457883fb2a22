import type { Clock } from "../clock.js";
import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import type { BlobStore } from "../store.js";
import { Pacer } from "./pacer.js";

/** What a blob is taken for while none was read: a chunk of `split`. */
const unknownBytes = 64 * 1024;

/** Reads of blobs at a bounded rate, also of those that fail. */
export class ReadPacer {
  readonly #pacer: Pacer;
  #reads = 0;
  #bytes = 0;

  /** `bytesPerSecond` may be infinite. */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#pacer = new Pacer(clock, bytesPerSecond);
  }

  /** Resolves when all that was read is paid for. @throws `signal.reason` */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    await this.#pacer.ready(signal);
  }

  /** At once: what it costs is for the next `ready` to wait for. @throws as the store */
  async get(store: BlobStore, ref: Ref, signal: AbortSignal): Promise<Uint8Array> {
    try {
      const blob = await store.get(ref, { frozen: true, signal });
      this.#reads++;
      this.#bytes += blob.length;
      this.#pacer.spend(blob.length);
      return blob;
    } catch (error) {
      // Somewhere between nothing and all of it was read. What is not there was not.
      const nothing = error instanceof BlobError && error.code === "not-found";
      if (!nothing) this.#pacer.spend(this.#reads === 0 ? unknownBytes : this.#bytes / this.#reads);
      throw error;
    }
  }
}
