/** `ntail.streams.v1.BufferService`, the published wire, over a buffer. */
import {
  decodeBody,
  encodeMessageId,
  formatMessageId,
  hashRangeFromWire,
  messagesInFrames,
  NIL_ID,
  parseMessageId,
  parseTopicName,
  type SegmentId,
  TopicError,
  ticksOfMicros,
} from "@x/topic-gateway/protocol";
import { type ntail, requestsOf, respond, signalOf, unary } from "@x/topic-gateway/wire";
import type { BufferNode } from "../node.js";
import { NtailAppend } from "./ntail-append.js";

/** Together with one message of the largest size below the 4 MiB that clients receive by default. */
const POLL_MAX_BYTES = 1024 * 1024;

export function ntailHandlers(buffer: () => BufferNode, wallMs: () => number): ntail.BufferServiceServer {
  return {
    append: (call) => {
      const signal = signalOf(call);
      void respond(call, signal, appendTo(buffer, wallMs, requestsOf(call), signal));
    },
    poll: unary((request, signal) => poll(buffer(), request, signal)),
    get: unary(async ({ topic, key, fromTime }, signal) => {
      const found = await buffer().get(topic, key, {
        signal,
        fromTime: fromTime > 0n ? ticksOfMicros(fromTime) : 0n,
      });
      const [message] = found ? messagesInFrames(found.frame) : [];
      if (!found || !message)
        throw new TopicError("message-not-found", `no message of that key is in "${topic}" here`);
      const { time, sequence } = message;
      const msgId = formatMessageId({ time, sequence, rangeFrom: found.segment.range.from });
      return { msgId, data: Buffer.from(decodeBody(message.body).data) };
    }),
  };
}

async function* appendTo(
  buffer: () => BufferNode,
  wallMs: () => number,
  requests: AsyncIterable<ntail.AppendRequest>,
  signal: AbortSignal,
): AsyncGenerator<ntail.AppendResponse> {
  yield* new NtailAppend(buffer(), wallMs).run(requests, signal);
}

/** What is there now, without waiting. `from_time` leaves out older messages; it is the time of a UUID, as in the address. */
async function poll(
  buffer: BufferNode,
  request: ntail.PollRequest,
  signal: AbortSignal,
): Promise<ntail.PollResponse> {
  const segment = segmentOf(request.addr);
  let fromSequence = sequenceAfter(request.bookmark, segment);
  const parts: Buffer[] = [];
  let bytes = 0;
  let first: bigint | undefined;
  let last = { time: 0n, sequence: 0 };
  let eof = false;
  while (bytes < POLL_MAX_BYTES) {
    const { chunk, atEnd } = await buffer.poll({ segment, fromSequence }, { signal });
    eof = atEnd;
    if (!chunk) break;
    for (const { time, sequence, body } of messagesInFrames(chunk.frames)) {
      fromSequence = sequence + 1;
      if (time >= request.fromTime) {
        const { data } = decodeBody(body);
        const head = Buffer.alloc(20);
        head.set(encodeMessageId({ time, sequence, rangeFrom: segment.range.from }));
        head.writeUInt32LE(data.length, 16);
        parts.push(head, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
        bytes += head.length + data.length;
        first ??= time;
        last = { time, sequence };
        if (bytes >= POLL_MAX_BYTES) break;
      }
    }
    // More of the chunk than fitted.
    if (fromSequence < chunk.firstSequence + chunk.count) eof = false;
  }
  return {
    data: Buffer.concat(parts, bytes),
    fromTime: first ?? 0n,
    toTime: last.time,
    lastMsgId: first === undefined ? "" : formatMessageId({ ...last, rangeFrom: segment.range.from }),
    eof,
  };
}

function segmentOf(addr: ntail.SegmentAddress | undefined): SegmentId {
  if (!addr) throw new TopicError("invalid-argument", "a poll must have the address of a segment");
  const range = hashRangeFromWire(addr.hashRangeFrom, addr.hashRangeTo);
  return { topic: parseTopicName(addr.topic), range, startTime: addr.fromTime };
}

function sequenceAfter(bookmark: ntail.Bookmark | undefined, segment: SegmentId): number {
  if (!bookmark || bookmark.msgId === "" || bookmark.msgId === NIL_ID) return 1;
  const { time, sequence, rangeFrom } = parseMessageId(bookmark.msgId);
  if (rangeFrom !== segment.range.from || time < segment.startTime) {
    throw new TopicError("invalid-id", `the bookmark ${bookmark.msgId} is not of a message of the segment`);
  }
  return sequence + 1;
}
