import { Metadata } from "@grpc/grpc-js";
import { BlobError } from "../errors.js";
import type { StoreClient } from "../gen/rpc/store.js";
import { parseRef, type Ref, refBytes } from "../ref.js";
import type { PutResult } from "../store.js";
import type { AnchorMap } from "./anchor-map.js";
import type { ClientCalls } from "./client-calls.js";
import { asBuffer, asBytes, refOfServer, refsPerPage, refToWire } from "./wire.js";

type Signal = AbortSignal | undefined;

/** `rpc.Store`, which every server has: those of bobg/bs v0.4.0 and ours. */
export class BsWire {
  readonly #client: StoreClient;
  readonly #calls: ClientCalls;

  constructor(client: StoreClient, calls: ClientCalls) {
    this.#client = client;
    this.#calls = calls;
  }

  async get(ref: Ref, signal: Signal): Promise<Uint8Array> {
    const { blob } = await this.#calls.unary<{ blob: Buffer }>(signal, (options, done) =>
      this.#client.get({ ref: refToWire(ref) }, new Metadata(), options, done),
    );
    return asBytes(blob);
  }

  async put(blob: Uint8Array, signal: Signal): Promise<PutResult> {
    const { ref, added } = await this.#calls.unary<{ ref: Buffer; added: boolean }>(signal, (options, done) =>
      this.#client.put({ blob: asBuffer(blob) }, new Metadata(), options, done),
    );
    return { ref: refOfServer(ref), added };
  }

  async *pages(after: Ref | undefined, signal: Signal): AsyncGenerator<Uint8Array, void, undefined> {
    const start = after === undefined ? Buffer.alloc(refBytes) : refToWire(after);
    let page = Buffer.allocUnsafeSlow(refsPerPage * refBytes);
    let length = 0;
    for await (const { ref } of this.#calls.stream(signal, () => this.#client.listRefs({ start }))) {
      refOfServer(ref);
      length += ref.copy(page, length);
      if (length < page.length) continue;
      yield page;
      page = Buffer.allocUnsafeSlow(refsPerPage * refBytes);
      length = 0;
    }
    if (length > 0) yield page.subarray(0, length);
  }

  get anchorMap(): AnchorMap {
    return {
      read: async ({ signal } = {}) => {
        try {
          const { ref } = await this.#calls.unary<{ ref: Buffer }>(signal, (options, done) =>
            this.#client.anchorMapRef({}, new Metadata(), options, done),
          );
          return refOfServer(ref);
        } catch (error) {
          if (error instanceof BlobError && error.code === "not-found") return undefined;
          throw error;
        }
      },
      update: async (from, to, { signal } = {}) => {
        const oldRef = from === undefined ? Buffer.alloc(refBytes) : refToWire(parseRef(from));
        const newRef = refToWire(parseRef(to));
        await this.#calls.unary(signal, (options, done) =>
          this.#client.updateAnchorMap({ oldRef, newRef }, new Metadata(), options, done),
        );
      },
    };
  }
}
