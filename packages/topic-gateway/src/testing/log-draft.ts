import assert from "node:assert/strict";
import { TopicError, type TopicErrorCode } from "../errors.js";
import type { FrameChunk } from "../protocol/buffer-api.js";
import { encodeHeaderFrame, encodeMessageFrames, type FrameChain } from "../protocol/frame.js";
import { encodeBody } from "../protocol/message.js";
import {
  encodeLogHeader,
  logName,
  type SegmentLogHeader,
  type SegmentLogStore,
  type SegmentLogWriter,
} from "../protocol/segment-log.js";

/** One behaviour of a port. `run` rejects if the implementation lacks it; the runner bounds its time. */
export interface ComplianceCase<UnderTest> {
  readonly name: string;
  run(underTest: UnderTest): Promise<void>;
}

export const LINEAGE_TIME = 1000n;
export const START_TIME = 2000n;

/** The frames of a log as a buffer would make them, kept to be compared with. */
export class LogDraft {
  readonly name: string;
  readonly header: Buffer;
  /** Frames of messages, by sequence - 1. */
  readonly frames: Buffer[] = [];
  readonly chain: FrameChain;

  /** `number` makes the log another one. */
  constructor(storeId: string, number: number) {
    const header: SegmentLogHeader = {
      topic: "orders",
      range: { from: 0, to: 64 },
      startTime: START_TIME,
      incarnation: 3n,
      layout: 4n,
      epoch: 5n,
      predecessors: [],
      lineageTime: LINEAGE_TIME,
    };
    const nonce = Buffer.alloc(8, "nonce of");
    nonce.writeUInt32LE(number, 0);
    this.name = logName(storeId, header, nonce);
    const { frame, chain } = encodeHeaderFrame(nonce, LINEAGE_TIME, encodeLogHeader(header));
    this.header = frame;
    this.chain = chain;
  }

  /** The next messages as one write. A number is a count of small ones; else the lengths of their data. */
  next(messages: number | readonly number[]): Buffer {
    const lengths = typeof messages === "number" ? Array.from({ length: messages }, () => 20) : messages;
    const bodies = lengths.map((length, i) =>
      encodeBody({
        key: `key-${i % 7}`,
        data: Buffer.alloc(length, `data ${this.frames.length + i}.`),
        time: i,
      }),
    );
    const firstTime = this.chain.lastSequence === 0 ? START_TIME : this.chain.lastTime + 1n;
    const { bytes, offsets } = encodeMessageFrames(this.chain, bodies, firstTime);
    for (const [i, offset] of offsets.entries())
      this.frames.push(bytes.subarray(offset, offsets[i + 1] ?? bytes.length));
    return bytes;
  }

  get lastSequence(): number {
    return this.frames.length;
  }

  /** Of the log with the first so many messages. */
  bytes(messages: number = this.frames.length): number {
    return this.frames.slice(0, messages).reduce((sum, frame) => sum + frame.length, this.header.length);
  }

  /** As a store gives them. */
  async *chunks(perChunk = 10): AsyncGenerator<FrameChunk> {
    for (let at = 0; at < this.frames.length; at += perChunk) {
      const frames = this.frames.slice(at, at + perChunk);
      yield { frames: Buffer.concat(frames), firstSequence: at + 1, count: frames.length };
    }
  }

  /** Asserts that chunks are exactly these messages, whole and in order. */
  async expect(
    chunks: AsyncIterable<FrameChunk>,
    options: { readonly from?: number; readonly to?: number } = {},
  ): Promise<void> {
    const { from = 1, to = this.frames.length } = options;
    let next = from;
    for await (const chunk of chunks) {
      assert.equal(chunk.firstSequence, next, "chunks follow each other");
      assert.ok(chunk.count > 0, "a chunk has messages");
      const expected = Buffer.concat(this.frames.slice(next - 1, next - 1 + chunk.count));
      assert.ok(
        chunk.frames.equals(expected),
        `the frames from sequence ${next} are those that were written`,
      );
      assert.ok(
        chunk.count === 1 || chunk.frames.length <= 1024 * 1024,
        "a chunk is at most 1 MiB, or one frame",
      );
      next += chunk.count;
    }
    assert.equal(next, to + 1, "everything asked for is there, and nothing more");
  }
}

export async function createLog(
  store: SegmentLogStore,
  number: number,
): Promise<{ draft: LogDraft; writer: SegmentLogWriter }> {
  const draft = new LogDraft(store.id, number);
  return { draft, writer: await store.create(draft.name, draft.header) };
}

export async function drain(chunks: AsyncIterable<FrameChunk>): Promise<number> {
  let count = 0;
  for await (const chunk of chunks) count += chunk.count;
  return count;
}

export async function rejectsWith(promise: Promise<unknown>, code: TopicErrorCode): Promise<TopicError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TopicError, `a TopicError "${code}" was expected, not ${String(error)}`);
    assert.equal(error.code, code, `"${code}" was expected, not "${error.code}": ${error.message}`);
    return error;
  }
  return assert.fail(`a TopicError "${code}" was expected, but it succeeded`);
}

export async function rejectsWithReason(promise: Promise<unknown>, reason: unknown): Promise<void> {
  try {
    await promise;
  } catch (error) {
    assert.equal(error, reason, "an aborted call rejects with the very reason");
    return;
  }
  assert.fail("an aborted call was expected to reject");
}
