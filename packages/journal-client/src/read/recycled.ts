import type { FragmentBody } from "../client/routed-journal-client.js";
import { releasing } from "./releasing.js";

/** Of each buffer: far more than what a decoder puts together at a time. */
const BUFFER_BYTES = 512 * 1024;
/** Two that a decoder may look at, since what it takes may begin in one and end in the next, and one that is being filled. */
const BUFFERS = 3;

/**
 * A file for a decoder, in buffers that are used again where the file can be read into such: new memory for every chunk of it would be a
 * quarter of what a read of compressed fragments takes, and of the garbage collections which that causes. It is read one chunk ahead.
 *
 * A chunk stays as it is until the next but one is asked for. All but the last are full.
 */
export function recycled(file: FragmentBody): AsyncIterable<Uint8Array> {
  const { readInto } = file;
  if (readInto === undefined) {
    return file;
  }
  const iteration = file[Symbol.asyncIterator]();
  // Of the iteration only its end is wanted.
  const release = async (): Promise<void> => void (await iteration.return?.());
  return releasing(chunks(readInto, release), release);
}

async function* chunks(
  readInto: (target: Uint8Array) => Promise<number>,
  release: () => Promise<void>,
): AsyncGenerator<Uint8Array, void, void> {
  const buffers: Uint8Array[] = [];
  try {
    let ahead = full(readInto, bufferOf(buffers, 0));
    for (let index = 1; ; index++) {
      const chunk = await ahead;
      if (chunk.length < BUFFER_BYTES) {
        if (chunk.length > 0) {
          yield chunk;
        }
        return;
      }
      ahead = full(readInto, bufferOf(buffers, index));
      // It is awaited in its turn; until then nobody listens.
      ahead.catch(() => {});
      yield chunk;
    }
  } finally {
    await release();
  }
}

/** Made when it is needed: many fragments are smaller than one. */
function bufferOf(buffers: Uint8Array[], index: number): Uint8Array {
  const at = index % BUFFERS;
  buffers[at] ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
  return buffers[at];
}

/** Less than the whole buffer only at the end of the file. */
async function full(
  readInto: (target: Uint8Array) => Promise<number>,
  buffer: Uint8Array,
): Promise<Uint8Array> {
  let length = 0;
  while (length < buffer.length) {
    const count = await readInto(length === 0 ? buffer : buffer.subarray(length));
    if (count === 0) {
      break;
    }
    length += count;
  }
  return length === buffer.length ? buffer : buffer.subarray(0, length);
}
