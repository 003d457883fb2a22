import { JournalError } from "../errors.js";
import type { CompressionCodec } from "../protocol/journal-spec.js";
import type { Decoder } from "./decoder.js";
import { gunzip } from "./gzip.js";
import { recycled } from "./recycled.js";
import { unsnappy } from "./snappy.js";
import { unzstd } from "./zstd.js";

const asIs: Decoder = (file) => file;

/**
 * How the content of a fragment's file is had. `contentEncoding` is what the store said about the file: a store is asked for the file as
 * it is, or (with offloaded decompression) for its content, and not every store does either.
 * @throws JournalError "unsupported-codec"
 */
export function decoderOf(codec: CompressionCodec, contentEncoding = ""): Decoder {
  const decoder = plainDecoderOf(codec);
  if (codec !== "GZIP" && contentEncoding.toLowerCase() === "gzip") {
    return (file) => decoder(gunzip(recycled(file)));
  }
  return decoder === asIs ? asIs : (file) => decoder(recycled(file));
}

function plainDecoderOf(codec: CompressionCodec): Decoder {
  switch (codec) {
    case "NONE":
    case "GZIP_OFFLOAD_DECOMPRESSION":
      return asIs;
    case "GZIP":
      return gunzip;
    case "SNAPPY":
      return unsnappy;
    case "ZSTANDARD":
      return unzstd;
    default:
      // Whoever calls from JavaScript, or a broker that is newer than this package.
      throw new JournalError(
        "unsupported-codec",
        `a fragment is compressed with ${JSON.stringify(codec)}, which is not known`,
      );
  }
}

/** The `Accept-Encoding` that leaves the file as its fragment's codec says it is. */
export function acceptEncodingOf(codec: CompressionCodec): string {
  return codec === "GZIP" ? "gzip" : "identity";
}
