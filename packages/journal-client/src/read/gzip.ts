import type { Transform, TransformOptions } from "node:stream";
import { createGunzip, type ZlibOptions } from "node:zlib";
import { JournalError } from "../errors.js";
import { corrupt, type Decoder, fileTooShort } from "./decoder.js";

/** Of output. Each piece costs two changes of threads, so that smaller ones are slower. */
const CHUNK_BYTES = 1024 * 1024;

/** No further ahead than one piece: the types do not know that zlib's streams take the options of streams. */
const OPTIONS: ZlibOptions & TransformOptions = { chunkSize: CHUNK_BYTES, readableHighWaterMark: 1 };

/** One member or several, one behind the other (RFC 1952). Anything else behind the last one is an error, as it is in Gazette's own client. */
export const gunzip: Decoder = (file) => inflate(file, () => createGunzip(OPTIONS), "GZIP");

/** A zlib-like stream of node, which works in its thread pool. */
export type NodeDecoder = Transform & { readonly bytesWritten: number };

/** Feeds a decoder of node:zlib, which takes and gives no more than was asked of it, and reads what it gives. */
export async function* inflate(
  file: AsyncIterable<Uint8Array>,
  create: () => NodeDecoder,
  codec: string,
): AsyncGenerator<Uint8Array, void, void> {
  const decoder = create();
  const source = file[Symbol.asyncIterator]();
  let fed = 0;
  let failed: { readonly error: unknown } | undefined;
  // A decoder that saw its end never calls back for the input behind it; so its closing does.
  let release: (() => void) | undefined;
  decoder.on("close", () => release?.());
  const feeding = (async () => {
    try {
      for (let next = await source.next(); next.done !== true; next = await source.next()) {
        if (decoder.destroyed) {
          return;
        }
        const chunk = next.value;
        fed += chunk.length;
        await new Promise<void>((resolve) => {
          release = resolve;
          decoder.write(chunk, () => resolve());
        });
        if (decoder.destroyed) {
          return;
        }
      }
      decoder.end();
    } catch (error) {
      failed = { error };
      decoder.destroy();
    }
  })();
  try {
    for await (const chunk of decoder) {
      yield chunk;
    }
    if (decoder.bytesWritten !== fed) {
      throw corrupt(codec, "there are other bytes behind its end");
    }
  } catch (error) {
    throw failed === undefined ? decoderError(error, codec) : failed.error;
  } finally {
    decoder.destroy();
    await source.return?.();
    await feeding;
  }
}

function decoderError(error: unknown, codec: string): unknown {
  if (!(error instanceof Error) || error instanceof JournalError || !("code" in error)) {
    return error;
  }
  return error.code === "Z_BUF_ERROR" || error.message.includes("unexpected end of file")
    ? fileTooShort(codec, error)
    : corrupt(codec, error.message, error);
}
