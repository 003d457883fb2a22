import * as zlib from "node:zlib";
import type { JournalError } from "../errors.js";
import { corrupt, type Decoder } from "./decoder.js";
import { inflate, type NodeDecoder } from "./gzip.js";
import { optionalPeer } from "./optional-peer.js";
import { ZSTD, type ZstdPart, zstdParts } from "./zstd-frames.js";

/** Of output, and what is put together of input: each piece costs two changes of threads. */
const CHUNK_BYTES = 1024 * 1024;

/** What node:zlib has from 22.15 on, and the types of Node 20 do not know. */
interface ZstdOfNode {
  readonly createZstdDecompress?: (options: {
    readonly chunkSize: number;
    readonly readableHighWaterMark: number;
    readonly params: Readonly<Record<number, number>>;
  }) => NodeDecoder;
  readonly constants: { readonly ZSTD_d_windowLogMax?: number };
}

/**
 * Zstandard (RFC 8878), one frame or several, with their checksums where they have one. Uses node:zlib where it can (from Node 22.15 on), in
 * node's thread pool; else the package "zstddec", WebAssembly in the calling thread.
 */
export const unzstd: Decoder = (file) => {
  // A cast: the types are those of the oldest Node that this package runs on.
  const { createZstdDecompress, constants } = zlib as unknown as ZstdOfNode;
  const windowLogMax = constants.ZSTD_d_windowLogMax;
  return createZstdDecompress === undefined || windowLogMax === undefined
    ? unzstdByWasm(file)
    : unzstdByNode(file, () =>
        createZstdDecompress({
          chunkSize: CHUNK_BYTES,
          readableHighWaterMark: 1,
          params: { [windowLogMax]: 27 },
        }),
      );
};

/** Node's decoder ends with the first frame. So each gets its own. */
async function* unzstdByNode(
  file: AsyncIterable<Uint8Array>,
  decoder: () => NodeDecoder,
): AsyncGenerator<Uint8Array, void, void> {
  const parts = zstdParts(file);
  try {
    while (true) {
      const first = await parts.next();
      if (first.done === true) {
        return;
      }
      yield* inflate(frame(first.value, parts), decoder, ZSTD);
    }
  } finally {
    await parts.return();
  }
}

/** Until the frame's end. Leaves `parts` open for the next. Parts that lie behind each other in memory come as one: each costs a change of threads. */
async function* frame(
  first: ZstdPart,
  parts: AsyncGenerator<ZstdPart, void, void>,
): AsyncGenerator<Uint8Array, void, void> {
  let run = first.bytes;
  for (let part = first; !part.last; ) {
    const next = await parts.next();
    if (next.done === true) {
      break;
    }
    part = next.value;
    const { bytes } = part;
    if (
      bytes.buffer === run.buffer &&
      bytes.byteOffset === run.byteOffset + run.length &&
      run.length < CHUNK_BYTES
    ) {
      run = new Uint8Array(run.buffer, run.byteOffset, run.length + bytes.length);
    } else {
      yield run;
      run = bytes;
    }
  }
  yield run;
}

/**
 * "zstddec" keeps one WebAssembly memory for the whole process and cannot take back a decoder that met corrupt content. So that corrupt
 * fragments do not fill that memory, it is not used any more after so many of them.
 */
const MAX_LOST_DECODERS = 16;
let lostDecoders = 0;

/** Exported for the tests, which run it on every Node. */
export async function* unzstdByWasm(file: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const { ZSTDDecoder } = await optionalPeer(ZSTD, "zstddec", async () => {
    if (lostDecoders >= MAX_LOST_DECODERS) {
      throw new Error(`it met ${lostDecoders} corrupt fragments, each of which cost it memory`);
    }
    return import("zstddec/stream");
  });
  const zstd = new ZSTDDecoder();
  await zstd.init();

  // The decoder takes its input from a generator, and may never find it empty: each part is there before the decoder is asked for more. A
  // part never has more content than what one answer holds, so that the answers to it are all of its content.
  let part: Uint8Array | undefined;
  const output = zstd.decodeStreaming(
    (function* () {
      while (part !== undefined) {
        const bytes = part;
        part = undefined;
        yield bytes;
      }
    })(),
  );
  let lost = false;
  const broken = (cause?: unknown): JournalError => {
    lost = true;
    lostDecoders++;
    return corrupt(ZSTD, "a block does not decompress", cause);
  };
  const ask = (): IteratorResult<Uint8Array, void> => {
    try {
      return output.next();
    } catch (error) {
      throw broken(error);
    }
  };
  try {
    for await (const { bytes } of zstdParts(file)) {
      part = bytes;
      while (part !== undefined) {
        const answer = ask();
        // Once the content turned out corrupt, it answers nothing again and again, and takes no other part.
        if (answer.done === true || (answer.value.length === 0 && part !== undefined)) {
          throw broken();
        }
        if (answer.value.length > 0) {
          yield answer.value;
        }
      }
    }
    // Its input ends, so it is done, unless it cannot get over the last part.
    if (ask().done !== true) {
      throw broken();
    }
  } finally {
    part = undefined;
    if (!lost) {
      release(output);
    }
  }
}

/** At the end of its input a decoder gives its memory back, and then may say that it wanted more. There is one answer left at most. */
function release(output: Generator<Uint8Array>): void {
  try {
    for (let answers = 0; answers < 4 && output.next().done !== true; answers++) {
      // What nobody wants any more.
    }
  } catch {
    // As it did.
  }
}
