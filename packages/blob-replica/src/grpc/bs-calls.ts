/** What `rpc.Store` has no call for, made of the calls that it has. */
import { pieces } from "../capabilities.js";
import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import type { GetManyResult, PutManyResult, PutResult } from "../store.js";
import { pool } from "../stores/pool.js";
import type { BsWire } from "./bs-wire.js";

type Signal = AbortSignal | undefined;

const callsAtOnce = 16;

export function getEach(
  bs: BsWire,
  refs: readonly Ref[],
  signal: Signal,
): AsyncGenerator<GetManyResult, void, undefined> {
  return pool(refs, (ref, _index, child) => getOne(bs, ref, child), { limit: callsAtOnce, signal });
}

export async function putEach(
  bs: BsWire,
  blobs: readonly Uint8Array[],
  refs: readonly Ref[],
  signal: Signal,
): Promise<readonly PutManyResult[]> {
  const results = new Array<PutManyResult>(blobs.length);
  const task = async (ref: Ref, i: number, child: AbortSignal): Promise<void> => {
    try {
      results[i] = await putAs(bs, ref, blobs[i] as Uint8Array, child); // as many as refs
    } catch (error) {
      results[i] = { ref, error };
    }
  };
  for await (const _ of pool(refs, task, { limit: callsAtOnce, signal }));
  signal?.throwIfAborted();
  return results;
}

/** @throws BlobError "corrupt" when the server stored it as something else */
export async function putAs(bs: BsWire, ref: Ref, blob: Uint8Array, signal: Signal): Promise<PutResult> {
  const result = await bs.put(blob, signal);
  if (result.ref === ref) return result;
  throw new BlobError("corrupt", `the server stored what was put as ${ref} under ${result.ref}`);
}

export async function hasByGet(bs: BsWire, ref: Ref, signal: Signal): Promise<boolean> {
  const { error } = await getOne(bs, ref, signal);
  if (error === undefined) return true;
  if (error instanceof BlobError && error.code === "not-found") return false;
  throw error;
}

export async function* piecesOf(
  bs: BsWire,
  ref: Ref,
  signal: Signal,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* pieces(await bs.get(ref, signal), signal);
}

async function getOne(bs: BsWire, ref: Ref, signal: Signal): Promise<GetManyResult> {
  try {
    return { ref, blob: await bs.get(ref, signal) };
  } catch (error) {
    signal?.throwIfAborted();
    return { ref, error };
  }
}
