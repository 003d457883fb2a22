import { BufferedReader } from "./buffered-reader.js";
import { corrupt, type Decoder, fileTooShort } from "./decoder.js";
import { optionalPeer } from "./optional-peer.js";

const CODEC = "SNAPPY";
const STREAM_IDENTIFIER = 0xff;
const COMPRESSED = 0x00;
const UNCOMPRESSED = 0x01;
/** The first type that a decoder may skip. */
const SKIPPABLE = 0x80;
const IDENTITY = new TextEncoder().encode("sNaPpY");
const HEADER_BYTES = 4;
const CHECKSUM_BYTES = 4;
const MAX_CONTENT_BYTES = 65_536;
/** What 64 KiB take at worst, by Snappy's own bound (32 + n + n / 6). */
const MAX_COMPRESSED_BYTES = 32 + MAX_CONTENT_BYTES + Math.floor(MAX_CONTENT_BYTES / 6);
/** In memory of its own, copied: buffers made outside of V8 are dear, and their memory is given back late. */
const OUTPUT = { asBuffer: true, copyOutputData: true };

/**
 * Snappy's framing format (framing_format.txt of google/snappy). Every block of at most 64 KiB has a checksum, which is compared before the
 * block is given out. Blocks are decompressed by the package "snappy", the checksums are made by "@node-rs/crc32": in the calling thread,
 * since a block takes about a tenth of a millisecond, and handing it to another thread and back costs more than that.
 */
export const unsnappy: Decoder = async function* (file) {
  const snappy = await optionalPeer(CODEC, "snappy", () => import("snappy"));
  const { crc32c } = await optionalPeer(CODEC, "@node-rs/crc32", () => import("@node-rs/crc32"));

  const decode = (frame: Uint8Array, compressed: boolean): Uint8Array => {
    const data = frame.subarray(HEADER_BYTES + CHECKSUM_BYTES);
    let content: Uint8Array;
    if (compressed) {
      const length = contentLength(data);
      try {
        content = snappy.uncompressSync(data, OUTPUT) as Uint8Array;
      } catch (error) {
        throw corrupt(CODEC, "a block does not decompress", error);
      }
      if (content.length !== length) {
        throw corrupt(CODEC, "a block is not as long as it says");
      }
    } else {
      if (data.length > MAX_CONTENT_BYTES) {
        throw corrupt(CODEC, `a block is longer than ${MAX_CONTENT_BYTES} bytes`);
      }
      // The file's memory comes to hold others of its bytes.
      content = Uint8Array.prototype.slice.call(data);
    }
    const checksum =
      frame[HEADER_BYTES]! |
      (frame[HEADER_BYTES + 1]! << 8) |
      (frame[HEADER_BYTES + 2]! << 16) |
      (frame[HEADER_BYTES + 3]! << 24);
    if (maskedChecksum(crc32c(content)) !== checksum) {
      throw corrupt(CODEC, "a block's checksum is another");
    }
    return content;
  };

  const source = file[Symbol.asyncIterator]();
  const input = new BufferedReader({
    read: async () => {
      const next = await source.next();
      return next.done === true ? undefined : next.value;
    },
  });
  let begun = false;
  try {
    while (true) {
      // Nothing is waited for as long as a whole block is here.
      const header = input.peekBuffered(HEADER_BYTES) ?? (await input.peek(HEADER_BYTES));
      if (header.length < HEADER_BYTES) {
        if (header.length === 0) {
          return;
        }
        throw fileTooShort(CODEC);
      }
      const type = header[0]!;
      const length = header[1]! | (header[2]! << 8) | (header[3]! << 16);
      if (!begun && type !== STREAM_IDENTIFIER) {
        throw corrupt(CODEC, "it does not begin with a stream identifier");
      }
      if (type === COMPRESSED || type === UNCOMPRESSED) {
        if (length < CHECKSUM_BYTES || length > CHECKSUM_BYTES + MAX_COMPRESSED_BYTES) {
          throw corrupt(CODEC, `a block has ${length} bytes`);
        }
        const count = HEADER_BYTES + length;
        const frame = input.peekBuffered(count) ?? (await input.peek(count));
        if (frame.length < count) {
          throw fileTooShort(CODEC);
        }
        const content = decode(frame, type === COMPRESSED);
        input.discard(count);
        if (content.length > 0) {
          yield content;
        }
        continue;
      }
      input.discard(HEADER_BYTES);
      if (type === STREAM_IDENTIFIER) {
        const identity = length === IDENTITY.length ? await input.peek(length) : undefined;
        if (identity === undefined || identity.some((byte, at) => byte !== IDENTITY[at])) {
          throw corrupt(CODEC, "a stream identifier is another");
        }
        begun = true;
      } else if (type < SKIPPABLE) {
        throw corrupt(CODEC, `a chunk has the unknown type ${type}`);
      }
      await skip(input, length);
    }
  } finally {
    await source.return?.();
  }
};

async function skip(input: BufferedReader, length: number): Promise<void> {
  let rest = length;
  while (rest > 0) {
    if (input.buffered === 0 && (await input.peek(1)).length === 0) {
      throw fileTooShort(CODEC);
    }
    const count = Math.min(rest, input.buffered);
    input.discard(count);
    rest -= count;
  }
}

/** The length that a block begins with, checked before anything is allocated for it. */
function contentLength(block: Uint8Array): number {
  let length = 0;
  for (let at = 0; at < 3 && at < block.length; at++) {
    const byte = block[at]!;
    length |= (byte & 0x7f) << (7 * at);
    if (byte < 0x80) {
      if (length > MAX_CONTENT_BYTES) {
        break;
      }
      return length;
    }
  }
  throw corrupt(CODEC, `a block says that it has more than ${MAX_CONTENT_BYTES} bytes of content`);
}

/** A CRC-32C as the format keeps it, as a signed number. */
function maskedChecksum(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) | 0;
}
