/**
 * The messages of the hot path, by hand: the generated code copies bytes once more in each direction, and counts in bigints by way of
 * text. A test holds both to the same wire.
 */
import {
  type FrameChunk,
  hashRangeFromWire,
  type PublishBatch,
  type PublishReply,
  TopicError,
} from "@x/topic-gateway/protocol";
import { MAX_VARINT_BYTES, topics, WireReader, writeVarint, writeVarint64 } from "@x/topic-gateway/wire";

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
  const out = Buffer.allocUnsafe(frames.length + 3 * (1 + MAX_VARINT_BYTES));
  let at = writeVarint(out, frames.length, writeVarint(out, 10, 0));
  out.set(frames, at);
  at += frames.length;
  at = writeVarint(out, firstSequence, writeVarint(out, 16, at));
  at = writeVarint(out, count, writeVarint(out, 24, at));
  return out.subarray(0, at);
}

export function encodePublishResponse(reply: PublishReply): Buffer {
  const { lane } = reply;
  if (reply.type === "refused") {
    const refusal = { code: reply.code, message: reply.message };
    return Buffer.from(topics.PublishResponse.encode({ lane, ackedBatch: 0n, runs: [], refusal }).finish());
  }
  const { batch, runs } = reply;
  const out = Buffer.allocUnsafe((runs.length + 1) * 4 * (1 + MAX_VARINT_BYTES));
  let at = writeVarint(out, lane, writeVarint(out, 8, 0));
  at = writeVarint(out, batch, writeVarint(out, 16, at));
  for (const { time, sequence, count } of runs) {
    // The length of a run fits into the one byte that is left for it.
    out[at] = 26;
    const start = at + 2;
    let end = writeVarint64(out, time, writeVarint(out, 8, start));
    end = writeVarint(out, sequence, writeVarint(out, 16, end));
    end = writeVarint(out, count, writeVarint(out, 24, end));
    out[at + 1] = end - start;
    at = end;
  }
  return out.subarray(0, at);
}
