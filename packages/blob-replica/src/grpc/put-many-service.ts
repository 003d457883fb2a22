import { Assembly } from "../assembly.js";
import { putMany } from "../capabilities.js";
import { BlobError } from "../errors.js";
import type { PutManyRequest, PutManyResponse, PutManyResponse_Result } from "../gen/x/blobs/v1/blobs.js";
import { type Ref, refFromBytes, refOf } from "../ref.js";
import type { PutManyResult } from "../store.js";
import type { Serving } from "./bs-service.js";
import { Idle } from "./idle.js";
import { refToWire } from "./wire.js";

interface Arrived {
  /** As the client has it. */
  readonly claimed: Ref;
  readonly blob: Uint8Array;
}

/** Below this, the bytes may lie in a slab of Node's that they share with others. */
const ownMemoryBytes = 4096;

/** The whole blobs of each message are put together; meanwhile no other message is taken. */
export async function* takeBlobs(
  serving: Serving,
  requests: AsyncIterable<PutManyRequest>,
  signal: AbortSignal,
): AsyncGenerator<PutManyResponse, void, undefined> {
  const arrival = new Arrival(serving.maxBlobBytes);
  for await (const { blobs } of requests) {
    if (blobs.length === 0) arrival.sawNothing();
    const whole: Arrived[] = [];
    for (const { ref, data, more } of blobs) {
      const arrived = arrival.add(ref, data, more);
      if (arrived) whole.push(arrived);
    }
    if (whole.length > 0) yield { results: await store(serving, whole, signal) };
  }
  if (arrival.unfinished && !signal.aborted) {
    throw new BlobError(
      "invalid-argument",
      "the last blob has no end: its last piece must come without `more`",
    );
  }
}

/** Never under a ref that the client made up: the server computes each. */
async function store(
  { store, failOne }: Serving,
  arrived: readonly Arrived[],
  signal: AbortSignal,
): Promise<PutManyResponse_Result[]> {
  const results: PutManyResult[] = arrived.map(({ claimed }) => ({ ref: claimed, added: false }));
  const small: number[] = [];
  const large: number[] = [];
  for (const [i, { claimed, blob }] of arrived.entries()) {
    if (refOf(blob) === claimed) (blob.length < ownMemoryBytes ? small : large).push(i);
    else {
      const error = new BlobError("corrupt", `what arrived as ${claimed} is another content`);
      results[i] = { ref: claimed, error };
    }
  }
  for (const [indexes, frozen] of [
    [small, false],
    [large, true],
  ] as const) {
    if (indexes.length === 0) continue;
    const chosen = indexes.map((i) => arrived[i] as Arrived); // of its indexes
    const refs = chosen.map(({ claimed }) => claimed);
    const blobs = chosen.map(({ blob }) => blob);
    const stored = await putMany(store, blobs, { refs, frozen, signal });
    for (const [at, result] of stored.entries()) results[indexes[at] as number] = result; // as many
  }
  return results.map((result) => {
    const ref = refToWire(result.ref);
    if (result.added !== undefined) return { ref, added: result.added, failure: undefined };
    return { ref, added: false, failure: failOne(result.error) };
  });
}

/** Pieces that follow each other, until a blob is whole. */
class Arrival {
  readonly #maxBlobBytes: number;
  readonly #pieces = new Assembly();
  readonly #idle = new Idle("invalid-argument", "a client that puts");
  #claimed: Ref | undefined;

  constructor(maxBlobBytes: number) {
    this.#maxBlobBytes = maxBlobBytes;
  }

  get unfinished(): boolean {
    return this.#claimed !== undefined;
  }

  /** @throws BlobError "invalid-argument" for one too many */
  sawNothing(): void {
    this.#idle.saw(false);
  }

  /** @throws BlobError "invalid-ref", "refused", "invalid-argument" for too many pieces without bytes */
  add(ref: Buffer, data: Buffer, more: boolean): Arrived | undefined {
    this.#claimed ??= refFromBytes(ref);
    this.#idle.saw(data.length > 0 || !more);
    if (this.#pieces.bytes + data.length > this.#maxBlobBytes) {
      const limit = `at most ${this.#maxBlobBytes} bytes`;
      throw new BlobError("refused", `a blob is larger than this server takes, ${limit}`);
    }
    this.#pieces.add(data);
    if (more) return undefined;
    const arrived = { claimed: this.#claimed, blob: this.#pieces.take() };
    this.#claimed = undefined;
    return arrived;
  }
}
