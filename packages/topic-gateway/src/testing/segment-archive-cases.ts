import assert from "node:assert/strict";
import { TopicError } from "../errors.js";
import type { FrameChunk } from "../protocol/buffer-api.js";
import type { SegmentArchive } from "../protocol/segment-archive.js";
import { type ComplianceCase, drain, LogDraft, rejectsWith, rejectsWithReason } from "./log-draft.js";

/** An archive that one case uses, empty at first. */
export interface SegmentArchiveFixture {
  readonly archive: SegmentArchive;
  /** The same archive, as another process would open it. */
  reopen(): Promise<SegmentArchive>;
  close(): Promise<void>;
}

export interface SegmentArchiveUnderTest {
  open(): Promise<SegmentArchiveFixture>;
}

export type SegmentArchiveCase = ComplianceCase<SegmentArchiveUnderTest>;

const NAME = "orders/3/139000000000000000_0-63";

function archiveCase(
  name: string,
  body: (fixture: SegmentArchiveFixture) => Promise<void>,
): SegmentArchiveCase {
  return {
    name,
    async run(underTest) {
      const fixture = await underTest.open();
      try {
        await body(fixture);
      } finally {
        await fixture.close();
      }
    },
  };
}

function segment(messages: number | readonly number[], number = 1): LogDraft {
  const draft = new LogDraft("0123456789abcdef", number);
  draft.next(messages);
  return draft;
}

async function* failing(draft: LogDraft, after: number, error: unknown): AsyncGenerator<FrameChunk> {
  for await (const chunk of draft.chunks()) {
    if (chunk.firstSequence > after) throw error;
    yield chunk;
  }
}

/** What every archive of segments must do. Each case opens an archive of its own. */
export const segmentArchiveCases: readonly SegmentArchiveCase[] = [
  archiveCase(
    "what was archived is read as it was, from anywhere to anywhere",
    async ({ archive, reopen }) => {
      const draft = segment(25);
      await archive.put(NAME, draft.chunks(), { lastSequence: 25 });
      for (const opened of [archive, await reopen()]) {
        for (let from = 1; from <= 25; from += 3) {
          for (let to = from - 1; to <= 25; to++) {
            await draft.expect(opened.read(NAME, { fromSequence: from, lastSequence: to }), { from, to });
          }
        }
      }
    },
  ),

  archiveCase("messages of every size come in chunks of at most 1 MiB or one frame", async ({ archive }) => {
    const draft = segment([1024 * 1024, 0, 5, 1024 * 1024, 700_000, 400_000, 1, 65_488, 65_536, 300_000, 9]);
    await archive.put(NAME, draft.chunks(1), { lastSequence: 11 });
    for (let from = 1; from <= 11; from++) {
      await draft.expect(archive.read(NAME, { fromSequence: from, lastSequence: 11 }), { from });
    }
  }),

  archiveCase("thousands of messages are found from the middle", async ({ archive }) => {
    const draft = segment(20_000);
    await archive.put(NAME, draft.chunks(1000), { lastSequence: 20_000 });
    for (const from of [1, 2, 9_999, 15_001, 19_999]) {
      await draft.expect(archive.read(NAME, { fromSequence: from, lastSequence: 20_000 }), { from });
    }
  }),

  archiveCase("an empty segment is archived, too", async ({ archive, reopen }) => {
    await archive.put(NAME, segment(0).chunks(), { lastSequence: 0 });
    assert.equal(await drain((await reopen()).read(NAME, { lastSequence: 0 })), 0);
  }),

  archiveCase("archiving again is fine, also at the same time", async ({ archive, reopen }) => {
    const draft = segment(300);
    const other = await reopen();
    const puts = [archive, other, archive, other].map((opened) =>
      opened.put(NAME, draft.chunks(7), { lastSequence: 300 }),
    );
    await Promise.all(puts);
    await archive.put(NAME, draft.chunks(50), { lastSequence: 300 });
    await draft.expect(other.read(NAME, { lastSequence: 300 }));
  }),

  archiveCase("a segment that is not there is missing, and never empty", async ({ archive }) => {
    await rejectsWith(drain(archive.read(NAME, { lastSequence: 1 })), "log-missing");
  }),

  archiveCase(
    "a dropped segment is gone, and dropping a missing one is fine",
    async ({ archive, reopen }) => {
      const kept = "orders/3/139000000000000001_0-63";
      const draft = segment(5);
      for (const name of [NAME, kept]) await archive.put(name, draft.chunks(), { lastSequence: 5 });
      await archive.drop(NAME);
      await archive.drop(NAME);
      await rejectsWith(drain((await reopen()).read(NAME, { lastSequence: 5 })), "log-missing");
      await draft.expect(archive.read(kept, { lastSequence: 5 }));
      const again = segment(3, 2);
      await archive.put(NAME, again.chunks(), { lastSequence: 3 });
      await again.expect(archive.read(NAME, { lastSequence: 3 }));
    },
  ),

  archiveCase("segments whose names begin alike are different ones", async ({ archive }) => {
    const names = [
      "orders/3/1_0-63",
      "orders/3/1_0-6",
      "orders/3/11_0-63",
      "orders/33/1_0-63",
      "order/3/1_0-63",
    ];
    for (const [i, name] of names.entries()) {
      await archive.put(name, segment(i + 1, i).chunks(), { lastSequence: i + 1 });
    }
    await archive.drop("orders/3/1_0-6");
    for (const [i, name] of names.entries()) {
      if (i !== 1) await segment(i + 1, i).expect(archive.read(name, { lastSequence: i + 1 }));
    }
  }),

  archiveCase(
    "nothing is archived of a segment that is not whole, and a later put works",
    async ({ archive }) => {
      const draft = segment(100);
      const error = new TopicError("unavailable", "the source went away");
      assert.equal(
        await rejectsWith(archive.put(NAME, failing(draft, 50, error), { lastSequence: 100 }), "unavailable"),
        error,
      );
      await rejectsWith(archive.put(NAME, segment(99).chunks(), { lastSequence: 100 }), "corrupt");
      await rejectsWith(archive.put(NAME, segment(101).chunks(), { lastSequence: 100 }), "corrupt");
      const gap = segment(100);
      gap.frames.splice(40, 1);
      await rejectsWith(archive.put(NAME, gap.chunks(), { lastSequence: 99 }), "corrupt");
      const damaged = segment(100);
      damaged.frames[70] = Buffer.from(damaged.frames[70]!);
      damaged.frames[70].writeUInt8(damaged.frames[70].readUInt8(60) ^ 1, 60);
      await rejectsWith(archive.put(NAME, damaged.chunks(), { lastSequence: 100 }), "corrupt");
      await rejectsWith(drain(archive.read(NAME, { lastSequence: 100 })), "log-missing");
      await archive.put(NAME, draft.chunks(), { lastSequence: 100 });
      await draft.expect(archive.read(NAME, { lastSequence: 100 }));
    },
  ),

  archiveCase(
    "a segment that ends before what was recorded of it is reported as damaged",
    async ({ archive }) => {
      await archive.put(NAME, segment(5).chunks(), { lastSequence: 5 });
      const error = await rejectsWith(drain(archive.read(NAME, { lastSequence: 6 })), "corrupt");
      assert.ok(error.message.includes(NAME), `the message names the segment: ${error.message}`);
    },
  ),

  archiveCase(
    "an aborted call rejects with the very reason, and nothing is archived",
    async ({ archive }) => {
      const draft = segment(100);
      const reason = { why: "enough" };
      const signal = AbortSignal.abort(reason);
      await rejectsWithReason(archive.put(NAME, draft.chunks(), { lastSequence: 100, signal }), reason);
      const controller = new AbortController();
      const source = async function* (): AsyncGenerator<FrameChunk> {
        for await (const chunk of draft.chunks()) {
          if (chunk.firstSequence > 50) controller.abort(reason);
          yield chunk;
        }
      };
      await rejectsWithReason(
        archive.put(NAME, source(), { lastSequence: 100, signal: controller.signal }),
        reason,
      );
      await rejectsWith(drain(archive.read(NAME, { lastSequence: 100 })), "log-missing");
      await archive.put(NAME, draft.chunks(), { lastSequence: 100 });
      await rejectsWithReason(drain(archive.read(NAME, { lastSequence: 100, signal })), reason);
    },
  ),
];
