import { BufferedReader } from "./buffered-reader.js";
import { corrupt, fileTooShort } from "./decoder.js";

export const ZSTD = "ZSTANDARD";
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
/** As zstd's own decoders have it by default. Whoever wrote the file decides how much memory its window takes. */
const MAX_WINDOW_BYTES = 128 * 1024 * 1024;
const MAX_BLOCK_BYTES = 128 * 1024;
const RLE = 1;
const RESERVED = 3;

/** A part of a frame: its header, a block or its checksum. `last` is the end of the frame. */
export interface ZstdPart {
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

/**
 * Takes a file apart into the frames and blocks of RFC 8878, without looking into the blocks: none holds more than 128 KiB of content, so a
 * decoder that gets one at a time needs bounded memory. Skippable frames are left out. Checks how much memory the window takes.
 */
export async function* zstdParts(file: AsyncIterable<Uint8Array>): AsyncGenerator<ZstdPart, void, void> {
  const source = file[Symbol.asyncIterator]();
  const input = new BufferedReader({
    read: async () => {
      const next = await source.next();
      return next.done === true ? undefined : next.value;
    },
  });
  try {
    while (true) {
      const start = await input.peek(4);
      if (start.length === 0) {
        return;
      }
      const magic = littleEndian(start, 0, 4);
      if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
        const header = await exactly(input, 8);
        await skip(input, littleEndian(header, 4, 4));
        continue;
      }
      if (start.length === 4 && magic !== FRAME_MAGIC) {
        throw corrupt(ZSTD, "there is no frame where one should begin");
      }
      const header = await exactly(input, await headerBytes(input));
      checkWindow(header);
      yield { bytes: header, last: false };
      const hasChecksum = (header[4]! & 0x04) !== 0;
      for (let lastBlock = false; !lastBlock; ) {
        // Nothing is waited for as long as a whole block is here.
        const blockHeader = input.peekBuffered(3) ?? (await input.peek(3));
        if (blockHeader.length < 3) {
          throw fileTooShort(ZSTD);
        }
        const bits = littleEndian(blockHeader, 0, 3);
        lastBlock = (bits & 1) === 1;
        const type = (bits >>> 1) & 3;
        const length = bits >>> 3;
        if (type === RESERVED || length > MAX_BLOCK_BYTES) {
          throw corrupt(ZSTD, "a block's header is wrong");
        }
        const count = 3 + (type === RLE ? 1 : length);
        const bytes = input.peekBuffered(count) ?? (await input.peek(count));
        if (bytes.length < count) {
          throw fileTooShort(ZSTD);
        }
        input.discard(count);
        yield { bytes, last: lastBlock && !hasChecksum };
      }
      if (hasChecksum) {
        yield { bytes: await exactly(input, 4), last: true };
      }
    }
  } finally {
    await source.return?.();
  }
}

/** Bytes of the frame header that comes next. */
async function headerBytes(input: BufferedReader): Promise<number> {
  const start = await input.peek(5);
  if (start.length < 5) {
    throw fileTooShort(ZSTD);
  }
  const descriptor = start[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  return 5 + (singleSegment ? 0 : 1) + dictionaryBytes(descriptor) + contentSizeBytes(descriptor);
}

function dictionaryBytes(descriptor: number): number {
  return [0, 1, 2, 4][descriptor & 3]!;
}

function contentSizeBytes(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  return [singleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6]!;
}

function checkWindow(header: Uint8Array): void {
  const descriptor = header[4]!;
  let bytes: number;
  if ((descriptor & 0x20) === 0) {
    const window = header[5]!;
    const base = 2 ** (10 + (window >>> 3));
    bytes = base + (base / 8) * (window & 7);
  } else {
    const count = contentSizeBytes(descriptor);
    bytes = littleEndian(header, 5 + dictionaryBytes(descriptor), count) + (count === 2 ? 256 : 0);
  }
  if (bytes > MAX_WINDOW_BYTES) {
    throw corrupt(
      ZSTD,
      `its window takes ${bytes} bytes of memory, more than the limit of ${MAX_WINDOW_BYTES}`,
    );
  }
}

async function exactly(input: BufferedReader, count: number): Promise<Uint8Array> {
  const bytes = await input.peek(count);
  if (bytes.length < count) {
    throw fileTooShort(ZSTD);
  }
  input.discard(count);
  return bytes;
}

async function skip(input: BufferedReader, length: number): Promise<void> {
  let rest = length;
  while (rest > 0) {
    if ((await input.peek(1)).length === 0) {
      throw fileTooShort(ZSTD);
    }
    const count = Math.min(rest, input.buffered);
    input.discard(count);
    rest -= count;
  }
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = at + count - 1; index >= at; index--) {
    value = value * 256 + (bytes[index] ?? 0);
  }
  return value;
}
