import { JournalError } from "../errors.js";

/** @throws JournalError "invalid-argument" */
export function checkTarget(target: Uint8Array): void {
  if (target instanceof Uint8Array && target.length > 0) return;
  throw new JournalError(
    "invalid-argument",
    "the target of readInto has to be a Uint8Array with room for one byte at least",
  );
}

/** Copies what fits of a chunk that is not in the target already. @returns the rest, undefined when there is none */
export function fill(target: Uint8Array, chunk: Uint8Array): Uint8Array | undefined {
  if (chunk.buffer === target.buffer && chunk.byteOffset === target.byteOffset) return undefined;
  if (chunk.length <= target.length) {
    target.set(chunk);
    return undefined;
  }
  target.set(chunk.subarray(0, target.length));
  return chunk.subarray(target.length);
}

/** What `readInto` put there; undefined at the end. */
export async function viewOf(target: Uint8Array, count: Promise<number>): Promise<Uint8Array | undefined> {
  const length = await count;
  return length === 0 ? undefined : target.subarray(0, length);
}
