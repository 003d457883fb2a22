import type { Ref } from "../ref.js";
import type { GetManyResult } from "../store.js";

const mostBytes = 16 * 1024 * 1024;

/** The blobs that were put last: an asynchronous store that keeps up needs no read from a synchronous one. */
export class Recent {
  readonly #blobs = new Map<Ref, Uint8Array>();
  #bytes = 0;

  add(ref: Ref, blob: Uint8Array): void {
    if (blob.length > mostBytes || this.#blobs.has(ref)) return;
    this.#blobs.set(ref, blob);
    this.#bytes += blob.length;
    for (const [oldest] of this.#blobs) {
      if (this.#bytes <= mostBytes && this.#blobs.size <= 4096) return;
      this.remove(oldest);
    }
  }

  remove(ref: Ref): void {
    const blob = this.#blobs.get(ref);
    if (blob === undefined) return;
    this.#blobs.delete(ref);
    this.#bytes -= blob.length;
  }

  /** From here what is here, and the rest from there. In no order. */
  async over(
    refs: readonly Ref[],
    rest: (refs: readonly Ref[]) => Promise<readonly GetManyResult[]>,
  ): Promise<readonly GetManyResult[]> {
    const results: GetManyResult[] = [];
    const missing: Ref[] = [];
    for (const ref of refs) {
      const blob = this.#blobs.get(ref);
      if (blob) results.push({ ref, blob });
      else missing.push(ref);
    }
    return missing.length > 0 ? results.concat(await rest(missing)) : results;
  }
}
