/** `rpc.Store`, the wire of bobg/bs v0.4.0, on a store. */
import { listRefPages } from "../capabilities.js";
import { BlobError } from "../errors.js";
import type { StoreServer } from "../gen/rpc/store.js";
import { type Ref, refBytes, refFromBytes } from "../ref.js";
import type { BlobStore } from "../store.js";
import type { AnchorMap } from "./anchor-map.js";
import { streaming, unary } from "./server-calls.js";
import type { describeFailure, toServiceError } from "./status.js";
import { afterFromWire, asBuffer, asBytes, refToWire } from "./wire.js";

export interface Serving {
  readonly store: BlobStore;
  readonly anchorMap: AnchorMap | undefined;
  readonly maxBlobBytes: number;
  /** What the client is told; the server's owner hears of what is no BlobError. */
  readonly fail: (error: unknown) => ReturnType<typeof toServiceError>;
  /** The same for one of many. */
  readonly failOne: (error: unknown) => ReturnType<typeof describeFailure>;
}

const noRef = Buffer.alloc(refBytes);

export function bsHandlers({ store, anchorMap, fail }: Serving): StoreServer {
  return {
    get: unary(fail, async ({ ref }, signal) => {
      return { blob: asBuffer(await store.get(refFromBytes(ref), { frozen: true, signal })) };
    }),
    put: unary(fail, async ({ blob }, signal) => {
      const { ref, added } = await store.put(asBytes(blob), { frozen: true, signal });
      return { ref: refToWire(ref), added };
    }),
    listRefs: streaming(fail, async function* (call, signal) {
      for await (const page of listRefPages(store, afterFromWire(call.request.start), { signal })) {
        for (let at = 0; at < page.length; at += refBytes) {
          yield { ref: asBuffer(page.subarray(at, at + refBytes)) };
        }
      }
    }),
    anchorMapRef: unary(fail, async (_request, signal) => {
      const ref = await kept(anchorMap).read({ signal });
      if (ref === undefined) throw new BlobError("not-found", "there is no anchor map yet");
      return { ref: refToWire(ref) };
    }),
    updateAnchorMap: unary(fail, async ({ oldRef, newRef }, signal) => {
      await kept(anchorMap).update(refOrNone(oldRef), refFromBytes(newRef), { signal });
      return {};
    }),
  };
}

function kept(anchorMap: AnchorMap | undefined): AnchorMap {
  if (anchorMap === undefined) throw new BlobError("unsupported", "this store keeps no anchor map");
  return anchorMap;
}

function refOrNone(bytes: Buffer): Ref | undefined {
  return bytes.length === 0 || bytes.equals(noRef) ? undefined : refFromBytes(bytes);
}
