/**
 * What a client sends and gets in the hot path, by hand: the generated code copies bytes once more in each direction, and counts in
 * bigints by way of text. A test holds both to the same wire.
 */
import { OpenLane, Refusal } from "../gen/x/topics/v1/buffer.js";
import type { FrameChunk, IdRun, PublishBatch, PublishReply, RefusalCode } from "../protocol/buffer-api.js";
import { MAX_VARINT_BYTES, WireReader, writeVarint } from "./wire-reader.js";

export function encodePublishRequest({ lane, open, batch, entries }: PublishBatch): Buffer {
  const target = open && encodeTarget(open);
  const out = Buffer.allocUnsafe(entries.length + (target?.length ?? 0) + 4 * (1 + MAX_VARINT_BYTES));
  let at = 0;
  if (lane > 0) at = writeVarint(out, lane, writeVarint(out, 8, at));
  if (target) {
    at = writeVarint(out, target.length, writeVarint(out, 18, at));
    out.set(target, at);
    at += target.length;
  }
  if (batch > 0) at = writeVarint(out, batch, writeVarint(out, 24, at));
  if (entries.length > 0) {
    at = writeVarint(out, entries.length, writeVarint(out, 34, at));
    out.set(entries, at);
    at += entries.length;
  }
  return out.subarray(0, at);
}

function encodeTarget({ topic, range, epoch, sender }: NonNullable<PublishBatch["open"]>): Uint8Array {
  return OpenLane.encode({
    topic,
    hashFrom: range.from,
    hashTo: range.to - 1,
    epoch,
    sender: sender ? Buffer.from(sender.id, "hex") : Buffer.alloc(0),
    attempt: BigInt(sender?.attempt ?? 0),
  }).finish();
}

/** `frames` is a view of the bytes that came in. @throws TopicError "invalid-argument" */
export function decodeReadResponse(bytes: Buffer): FrameChunk {
  const reader = new WireReader(bytes);
  let frames: Buffer = bytes.subarray(0, 0);
  let firstSequence = 0;
  let count = 0;
  while (!reader.atEnd) {
    const tag = reader.varint();
    if (tag === 10) frames = reader.bytes();
    else if (tag === 16) firstSequence = reader.varint();
    else if (tag === 24) count = reader.varint();
    else reader.skip(tag & 7);
  }
  return { frames, firstSequence, count };
}

/** None, an acknowledgement, a refusal, or both in this order. @throws TopicError "invalid-argument" */
export function decodePublishReplies(bytes: Buffer): PublishReply[] {
  const reader = new WireReader(bytes);
  let lane = 0;
  let batch = 0;
  const runs: IdRun[] = [];
  let refusal: Refusal | undefined;
  while (!reader.atEnd) {
    const tag = reader.varint();
    if (tag === 8) lane = reader.varint();
    else if (tag === 16) batch = reader.varint();
    else if (tag === 26) runs.push(decodeRun(reader.bytes()));
    else if (tag === 34) refusal = Refusal.decode(reader.bytes());
    else reader.skip(tag & 7);
  }
  const replies: PublishReply[] = [];
  if (batch > 0) replies.push({ type: "ack", lane, batch, runs });
  if (refusal) {
    const code = REFUSALS.find((known) => known === refusal.code) ?? "failed";
    replies.push({ type: "refused", lane, code, message: refusal.message });
  }
  return replies;
}

const REFUSALS: readonly RefusalCode[] = [
  "not-owner",
  "overloaded",
  "invalid-argument",
  "shutting-down",
  "failed",
];

function decodeRun(bytes: Buffer): IdRun {
  const reader = new WireReader(bytes);
  let time = 0n;
  let sequence = 0;
  let count = 0;
  while (!reader.atEnd) {
    const tag = reader.varint();
    if (tag === 8) time = reader.varint64();
    else if (tag === 16) sequence = reader.varint();
    else if (tag === 24) count = reader.varint();
    else reader.skip(tag & 7);
  }
  return { time, sequence, count };
}
