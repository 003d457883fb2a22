import { createCipheriv, createDecipheriv } from "node:crypto";
import { BlobError } from "../errors.js";
import type { CallOptions } from "../store.js";
import { systemRandom } from "../system.js";
import type { BlobCodec } from "./codecs.js";

export interface EncryptionKey {
  /** Goes in clear before every blob. 1 to 255 bytes of UTF-8. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

/** Keys from the caller: from a file, a vault, a key service. */
export interface KeyProvider {
  /** For what is written now. A key is good for 2^32 blobs. */
  current(options?: CallOptions): Promise<EncryptionKey> | EncryptionKey;
  /** For what was written; undefined for a key that it does not have. */
  find(id: string, options?: CallOptions): Promise<Uint8Array | undefined> | Uint8Array | undefined;
}

const magic = Buffer.from("xbe1");
const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/**
 * AES-256-GCM (NIST SP 800-38D) with a random nonce for each blob, so that the same blob is never the same bytes twice, and keeping it tells nobody what it is but for its
 * length. Bytes: "xbe1", length and bytes of the key's id, 12 of nonce, the content, 16 of tag; the tag also covers what is before the nonce.
 * A blob that was changed is "bad-data"; one whose key there is not is "refused".
 */
export function aesGcm(keys: KeyProvider): BlobCodec {
  return {
    async encode(blob, options = {}) {
      options.signal?.throwIfAborted();
      const { id, key } = await keys.current(options);
      options.signal?.throwIfAborted();
      const name = Buffer.from(id, "utf8");
      if (name.length < 1 || name.length > 255) {
        throw new BlobError("invalid-argument", `the id of a key has 1 to 255 bytes, not ${name.length}`);
      }
      const header = Buffer.concat([magic, Buffer.of(name.length), name]);
      const nonce = systemRandom.bytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", checkKey(id, key), nonce).setAAD(header);
      const content = cipher.update(blob);
      return Buffer.concat([header, nonce, content, cipher.final(), cipher.getAuthTag()]);
    },

    async decode(encoded, options = {}) {
      options.signal?.throwIfAborted();
      const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.length);
      const headerBytes = magic.length + 1 + (bytes[magic.length] ?? 0);
      const contentFrom = headerBytes + nonceBytes;
      const contentTo = bytes.length - tagBytes;
      if (contentTo < contentFrom || !bytes.subarray(0, magic.length).equals(magic)) {
        throw new BlobError(
          "bad-data",
          "these bytes are no blob that was encrypted here: they begin otherwise",
        );
      }
      const id = bytes.toString("utf8", magic.length + 1, headerBytes);
      const key = await keys.find(id, options);
      options.signal?.throwIfAborted();
      if (key === undefined) {
        throw new BlobError("refused", `there is no key ${JSON.stringify(id)} to read the blob with`);
      }
      const decipher = createDecipheriv(
        "aes-256-gcm",
        checkKey(id, key),
        bytes.subarray(headerBytes, contentFrom),
        { authTagLength: tagBytes },
      );
      decipher.setAAD(bytes.subarray(0, headerBytes)).setAuthTag(bytes.subarray(contentTo));
      const blob = decipher.update(bytes.subarray(contentFrom, contentTo));
      try {
        decipher.final();
      } catch (error) {
        throw new BlobError("bad-data", `the blob was changed, or key ${JSON.stringify(id)} is another one`, {
          cause: error,
        });
      }
      return blob;
    },
  };
}

function checkKey(id: string, key: Uint8Array): Uint8Array {
  if (!(key instanceof Uint8Array) || key.length !== keyBytes) {
    const length = key instanceof Uint8Array ? key.length : 0;
    throw new BlobError(
      "invalid-argument",
      `key ${JSON.stringify(id)} has ${length} bytes instead of ${keyBytes}`,
    );
  }
  return key;
}
