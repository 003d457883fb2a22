/**
 * The two messages of the hot path, by hand: the generated code copies bytes once more in each direction. A test holds both to
 * the same wire.
 */
import {
  type FrameChunk,
  hashRangeFromWire,
  type PublishBatch,
  type PublishReply,
  TopicError,
} from "@x/topic-gateway/protocol";
import { topics } from "@x/topic-gateway/wire";

const SENDER_BYTES = 16;

/** `entries` is a view of the bytes that came in. @throws TopicError "invalid-argument", "invalid-hash-range" */
export function decodePublishRequest(bytes: Buffer): PublishBatch {
  const reader = new WireReader(bytes);
  let lane = 0;
  let batch = 0;
  let open: PublishBatch["open"];
  let entries: Buffer = bytes.subarray(0, 0);
  while (!reader.atEnd) {
    const tag = reader.varint();
    if (tag === 8) lane = reader.varint();
    else if (tag === 24) batch = reader.varint();
    else if (tag === 18) open = toLaneTarget(reader.bytes());
    else if (tag === 34) entries = reader.bytes();
    else reader.skip(tag & 7);
  }
  return open ? { lane, open, batch, entries } : { lane, batch, entries };
}

function toLaneTarget(bytes: Buffer): NonNullable<PublishBatch["open"]> {
  const { topic, hashFrom, hashTo, epoch, sender, attempt } = topics.OpenLane.decode(bytes);
  const target = { topic, range: hashRangeFromWire(hashFrom, hashTo), epoch };
  if (sender.length === 0) return target;
  if (sender.length !== SENDER_BYTES || attempt < 1n || attempt > Number.MAX_SAFE_INTEGER) {
    throw new TopicError(
      "invalid-argument",
      `the sender of a lane has ${sender.length} bytes and the attempt ${attempt}: ${SENDER_BYTES} bytes and 1 to 2^53 - 1 are allowed`,
    );
  }
  return { ...target, sender: { id: sender.toString("hex"), attempt: Number(attempt) } };
}

export function encodeReadResponse({ frames, firstSequence, count }: FrameChunk): Buffer {
  const out = Buffer.allocUnsafe(frames.length + 32);
  let at = writeVarint(out, 10, 0);
  at = writeVarint(out, frames.length, at);
  at += frames.copy(out, at);
  at = writeVarint(out, 16, at);
  at = writeVarint(out, firstSequence, at);
  at = writeVarint(out, 24, at);
  at = writeVarint(out, count, at);
  return out.subarray(0, at);
}

export function toPublishResponse(reply: PublishReply): topics.PublishResponse {
  const { lane } = reply;
  if (reply.type === "refused") {
    return { lane, ackedBatch: 0n, runs: [], refusal: { code: reply.code, message: reply.message } };
  }
  const runs = reply.runs.map(({ time, sequence, count }) => ({ time, sequence: BigInt(sequence), count }));
  return { lane, ackedBatch: BigInt(reply.batch), runs, refusal: undefined };
}

/** Numbers up to 2^53; a larger one is no number that this protocol has. */
class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw malformed();
      this.#at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw malformed();
        return value;
      }
      scale *= 128;
    }
    throw malformed();
  }

  bytes(): Buffer {
    const length = this.varint();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw malformed();
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.#at += 8;
    else if (wireType === 2) this.bytes();
    else if (wireType === 5) this.#at += 4;
    else throw malformed();
    if (this.#at > this.#bytes.length) throw malformed();
  }
}

function malformed(): TopicError {
  return new TopicError("invalid-argument", "a request is no protobuf message of its kind");
}

function writeVarint(out: Buffer, value: number, at: number): number {
  let rest = value;
  let position = at;
  while (rest >= 0x80) {
    out[position] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
    position += 1;
  }
  out[position] = rest;
  return position + 1;
}
