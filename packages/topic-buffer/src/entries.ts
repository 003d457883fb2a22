import { isUtf8 } from "node:buffer";
import { murmur3Mod } from "@x/space";
import { checkBody, type HashRange, inRange, TopicError } from "@x/topic-gateway/protocol";

/** Hashes of keys are taken modulo this: the published system's clients do, which leaves the highest of 65,536 hashes unused. */
const HASH_MODULUS = 65535;
/** Of one batch, as the wire carries it. */
export const MAX_BATCH_BYTES: number = 8 * 1024 * 1024;

export function keyHash(key: string | Uint8Array): number {
  return murmur3Mod(key, HASH_MODULUS);
}

/**
 * The bodies in a batch, as views, after everything about them was checked that a stranger may have got wrong.
 * @throws TopicError "invalid-argument"
 */
export function parseEntries(entries: Buffer, range: HashRange): Buffer[] {
  if (entries.length > MAX_BATCH_BYTES) {
    throw invalid(`a batch has ${entries.length} bytes: up to ${MAX_BATCH_BYTES} are allowed`);
  }
  const bodies: Buffer[] = [];
  let at = 0;
  while (at < entries.length) {
    const end = at + 4 <= entries.length ? at + 4 + entries.readUInt32LE(at) : Number.POSITIVE_INFINITY;
    if (end > entries.length) throw invalid("a batch is cut off: its last entry is longer than what is left");
    const body = entries.subarray(at + 4, end);
    const keyAt = checkBody(body);
    const key = body.subarray(keyAt, keyAt + (body[1] as number));
    // Otherwise it would be delivered as another key than the one that was hashed.
    if (!isUtf8(key)) throw invalid("a key is no UTF-8");
    const hash = keyHash(key);
    if (!inRange(hash, range)) {
      throw invalid(`a key hashes to ${hash}: the lane is for ${range.from} to ${range.to - 1}`);
    }
    bodies.push(body);
    at = end;
  }
  if (bodies.length === 0) throw invalid("a batch is empty: it must hold at least one message");
  return bodies;
}

function invalid(message: string): TopicError {
  return new TopicError("invalid-argument", message);
}
