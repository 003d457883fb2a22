/** The messages of an Append that follow its request: content, and the end. They are most of what is sent, so they are made by hand. */

/** Field 4 (content), length-delimited. */
const CONTENT_TAG = (4 << 3) | 2;

/** The empty message, which commits. */
export const APPEND_COMMIT: Buffer = Buffer.alloc(0);

/**
 * An AppendRequest with content alone. Copies the content, once: the caller may change it at once.
 * @param content not empty: an empty chunk is a commit (`APPEND_COMMIT`), and never meant by one who writes
 */
export function encodeAppendContent(content: Uint8Array): Buffer {
  const { length } = content;
  let prefix = 2;
  for (let rest = length; rest >= 0x80; rest = Math.floor(rest / 0x80)) prefix++;
  const message = Buffer.allocUnsafe(prefix + length);
  message[0] = CONTENT_TAG;
  let rest = length;
  for (let at = 1; at < prefix - 1; at++) {
    message[at] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  message[prefix - 1] = rest;
  message.set(content, prefix);
  return message;
}
