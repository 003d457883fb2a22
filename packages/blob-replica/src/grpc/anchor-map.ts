import { BlobError } from "../errors.js";
import { parseRef, type Ref } from "../ref.js";
import type { CallOptions } from "../store.js";

/** The one changing ref beside the blobs of a bobg/bs store: that of its map of anchors. */
export interface AnchorMap {
  /** Undefined when there is none yet. @throws BlobError "unsupported" when the store keeps none */
  read(options?: CallOptions): Promise<Ref | undefined>;
  /**
   * Takes `to` in the place of `from` (undefined: there was none). Servers of bobg/bs v0.4.0 do not look at `from`, and may take it all the same when somebody
   * else came first.
   * @throws BlobError "conflict" when it is another than `from` by now, "unsupported"
   */
  update(from: Ref | undefined, to: Ref, options?: CallOptions): Promise<void>;
}

/** In memory, and gone with the process. */
export function memoryAnchorMap(): AnchorMap {
  let current: Ref | undefined;
  return {
    async read({ signal } = {}) {
      signal?.throwIfAborted();
      return current;
    },
    async update(from, to, { signal } = {}) {
      signal?.throwIfAborted();
      const next = parseRef(to);
      if (current !== from) {
        throw new BlobError(
          "conflict",
          `the anchor map is ${current ?? "none"} by now, not ${from ?? "none"}`,
        );
      }
      current = next;
    },
  };
}
