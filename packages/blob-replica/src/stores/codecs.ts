import { promisify } from "node:util";
import {
  brotliCompress,
  brotliDecompress,
  constants,
  gunzip as gunzipCallback,
  gzip as gzipCallback,
} from "node:zlib";
import { BlobError } from "../errors.js";
import type { CallOptions } from "../store.js";
import { checkCount } from "./arguments.js";

/** How content is kept. What `encode` gives is its own; neither changes what it is given. */
export interface BlobCodec {
  encode(blob: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  /** The inverse. @throws BlobError "bad-data" for what `encode` never gave */
  decode(encoded: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
}

export interface CompressionOptions {
  /** From least to most effort. gzip: 0 to 9, default 6. brotli: 0 to 11, default 5. */
  readonly level?: number;
  /** Content that would become larger is "bad-data", and no bomb. Default 1 GiB. */
  readonly maxBytes?: number;
}

const defaultMaxBytes = 1024 * 1024 * 1024;

/** RFC 1952, in one member: `gunzip` reads it. @throws BlobError "invalid-argument" */
export function gzip(options: CompressionOptions = {}): BlobCodec {
  const level = checkLevel(options.level ?? 6, 9);
  const maxOutputLength = checkCount("maxBytes", options.maxBytes ?? defaultMaxBytes, 1);
  return compression("gzip", {
    encode: (blob) => promisify(gzipCallback)(blob, { level }),
    decode: (encoded) => promisify(gunzipCallback)(encoded, { maxOutputLength }),
  });
}

/** RFC 7932. @throws BlobError "invalid-argument" */
export function brotli(options: CompressionOptions = {}): BlobCodec {
  const level = checkLevel(options.level ?? 5, 11);
  const maxOutputLength = checkCount("maxBytes", options.maxBytes ?? defaultMaxBytes, 1);
  return compression("brotli", {
    encode: (blob) =>
      promisify(brotliCompress)(blob, {
        params: {
          [constants.BROTLI_PARAM_QUALITY]: level,
          [constants.BROTLI_PARAM_SIZE_HINT]: blob.length,
        },
      }),
    decode: (encoded) => promisify(brotliDecompress)(encoded, { maxOutputLength }),
  });
}

/** One after the other; decodes in the other order. Compress first, then encrypt: `chain(gzip(), aesGcm(keys))`. */
export function chain(...codecs: readonly BlobCodec[]): BlobCodec {
  return {
    async encode(blob, options) {
      let bytes = blob;
      for (const codec of codecs) bytes = await codec.encode(bytes, options);
      return bytes;
    },
    async decode(encoded, options) {
      let bytes = encoded;
      for (const codec of codecs.toReversed()) bytes = await codec.decode(bytes, options);
      return bytes;
    },
  };
}

function compression(
  name: string,
  { encode, decode }: { [way in "encode" | "decode"]: (bytes: Uint8Array) => Promise<Buffer> },
): BlobCodec {
  return {
    async encode(blob, options = {}) {
      options.signal?.throwIfAborted();
      const encoded = await encode(blob);
      options.signal?.throwIfAborted();
      return encoded;
    },
    async decode(encoded, options = {}) {
      options.signal?.throwIfAborted();
      let blob: Buffer;
      try {
        blob = await decode(encoded);
      } catch (error) {
        options.signal?.throwIfAborted();
        throw new BlobError("bad-data", `these bytes are no ${name}, or too large: ${String(error)}`, {
          cause: error,
        });
      }
      options.signal?.throwIfAborted();
      return blob;
    },
  };
}

function checkLevel(level: number, most: number): number {
  checkCount("level", level, 0);
  if (level > most) throw new BlobError("invalid-argument", `level is at most ${most}, not ${level}`);
  return level;
}
