import assert from "node:assert/strict";
import type { SegmentLogStore } from "../protocol/segment-log.js";
import {
  type ComplianceCase,
  createLog,
  drain,
  LogDraft,
  rejectsWith,
  rejectsWithReason,
  START_TIME,
} from "./log-draft.js";

/** A store that one case uses, empty at first. */
export interface SegmentLogFixture {
  readonly store: SegmentLogStore;
  /** The same logs, as another process would open them: nothing that `store` remembers is known to it. */
  reopen(): Promise<SegmentLogStore>;
  close(): Promise<void>;
}

export interface SegmentLogUnderTest {
  open(): Promise<SegmentLogFixture>;
}

export type SegmentLogCase = ComplianceCase<SegmentLogUnderTest>;

function logCase(name: string, body: (fixture: SegmentLogFixture) => Promise<void>): SegmentLogCase {
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

const naming: readonly SegmentLogCase[] = [
  logCase("a name is used once", async ({ store, reopen }) => {
    const { draft, writer } = await createLog(store, 1);
    await writer.append(draft.next(3));
    await rejectsWith(store.create(draft.name, draft.header), "log-exists");
    await rejectsWith((await reopen()).create(draft.name, draft.header), "log-exists");
    await writer.append(draft.next(3));
    await store.seal(draft.name);
    await rejectsWith(store.create(draft.name, draft.header), "log-exists");
    await draft.expect(store.read(draft.name, { lastSequence: 6 }));
  }),

  logCase("a log of another store is never looked for in this one", async ({ store }) => {
    const foreign = new LogDraft(`${store.id.slice(1)}${store.id.startsWith("0") ? "1" : "0"}`, 1);
    assert.equal(store.owns(new LogDraft(store.id, 1).name), true);
    assert.equal(store.owns(foreign.name), false);
    await rejectsWith(store.create(foreign.name, foreign.header), "unavailable");
    await rejectsWith(store.seal(foreign.name), "unavailable");
    await rejectsWith(drain(store.read(foreign.name, { lastSequence: 1 })), "unavailable");
    await rejectsWith(store.drop(foreign.name), "unavailable");
  }),

  logCase("a log that is not there is missing, and never empty", async ({ store }) => {
    const { name } = new LogDraft(store.id, 1);
    await rejectsWith(store.seal(name), "log-missing");
    await rejectsWith(store.seal(name), "log-missing");
    await rejectsWith(drain(store.read(name, { lastSequence: 1 })), "log-missing");
  }),

  logCase("a dropped log is gone, and dropping a missing one is fine", async ({ store, reopen }) => {
    const { draft, writer } = await createLog(store, 1);
    const other = await createLog(store, 2);
    await writer.append(draft.next(3));
    await other.writer.append(other.draft.next(2));
    await writer.close();
    await store.seal(draft.name);
    await store.drop(draft.name);
    await store.drop(draft.name);
    await store.drop(new LogDraft(store.id, 3).name);
    for (const opened of [store, await reopen()]) {
      await rejectsWith(opened.seal(draft.name), "log-missing");
      await rejectsWith(drain(opened.read(draft.name, { lastSequence: 3 })), "log-missing");
      await other.draft.expect(opened.read(other.draft.name, { lastSequence: 2 }));
    }
  }),
];

const reading: readonly SegmentLogCase[] = [
  logCase("what was appended is read as it was, from anywhere to anywhere", async ({ store, reopen }) => {
    const { draft, writer } = await createLog(store, 1);
    for (const count of [1, 3, 1, 5]) await writer.append(draft.next(count));
    for (const opened of [store, await reopen()]) {
      for (let from = 1; from <= 10; from++) {
        for (let to = from - 1; to <= 10; to++) {
          await draft.expect(opened.read(draft.name, { fromSequence: from, lastSequence: to }), { from, to });
        }
      }
    }
  }),

  logCase(
    "messages of every size come in chunks of at most 1 MiB or one frame",
    async ({ store, reopen }) => {
      const { draft, writer } = await createLog(store, 1);
      const sizes = [0, 1, 1024 * 1024, 1024 * 1024, 5, 700_000, 400_000, 65_488, 65_536, 1, 1_000_000];
      await writer.append(draft.next(sizes));
      for (const size of sizes) await writer.append(draft.next([size]));
      for (const opened of [store, await reopen()]) {
        await draft.expect(opened.read(draft.name, { lastSequence: 22 }));
        for (let from = 1; from <= 22; from++) {
          await draft.expect(opened.read(draft.name, { fromSequence: from, lastSequence: 22 }), { from });
        }
      }
    },
  ),

  logCase("thousands of messages in one append are all there", async ({ store, reopen }) => {
    const { draft, writer } = await createLog(store, 1);
    await writer.append(draft.next(5000));
    await writer.append(draft.next(1));
    const opened = await reopen();
    assert.equal((await opened.seal(draft.name)).lastSequence, 5001);
    await draft.expect(opened.read(draft.name, { lastSequence: 5001 }));
    await draft.expect(opened.read(draft.name, { fromSequence: 4900, lastSequence: 4901 }), {
      from: 4900,
      to: 4901,
    });
  }),

  logCase("a read stops at the last sequence while the log grows", async ({ store }) => {
    const { draft, writer } = await createLog(store, 1);
    await writer.append(draft.next(4));
    let sequence = 0;
    for await (const chunk of store.read(draft.name, { lastSequence: 4 })) {
      await writer.append(draft.next(4));
      sequence += chunk.count;
    }
    assert.equal(sequence, 4);
  }),

  logCase("a log that ends before what was recorded of it is reported as damaged", async ({ store }) => {
    const { draft, writer } = await createLog(store, 1);
    await writer.append(draft.next(4));
    const error = await rejectsWith(drain(store.read(draft.name, { lastSequence: 5 })), "corrupt");
    assert.ok(error.message.includes(draft.name), `the message names the log: ${error.message}`);
  }),

  logCase("logs do not mix, and leaving a read early harms nothing", async ({ store }) => {
    const logs = await Promise.all([1, 2, 3].map((number) => createLog(store, number)));
    for (const { draft, writer } of [...logs, ...logs]) await writer.append(draft.next(50));
    for (const { draft } of logs) {
      for await (const _ of store.read(draft.name, { lastSequence: 100 })) break;
      await draft.expect(store.read(draft.name, { lastSequence: 100 }));
      assert.equal((await store.seal(draft.name)).lastSequence, 100);
    }
  }),

  logCase("an aborted call rejects with the very reason", async ({ store }) => {
    const { draft, writer } = await createLog(store, 1);
    await writer.append(draft.next(4));
    const reason = { why: "enough" };
    const signal = AbortSignal.abort(reason);
    await rejectsWithReason(drain(store.read(draft.name, { lastSequence: 4, signal })), reason);
    await rejectsWithReason(store.seal(draft.name, { signal }), reason);
    await writer.append(draft.next(1));
    const controller = new AbortController();
    const big = await createLog(store, 2);
    for (let i = 0; i < 4; i++) await big.writer.append(big.draft.next([1_000_000, 1_000_000]));
    const reading = (async () => {
      for await (const _ of store.read(big.draft.name, { lastSequence: 8, signal: controller.signal }))
        controller.abort(reason);
    })();
    await rejectsWithReason(reading, reason);
    await draft.expect(store.read(draft.name, { lastSequence: 5 }));
  }),
];

const sealing: readonly SegmentLogCase[] = [
  logCase("an empty log is sealed with an end, and a time not before its start", async ({ store }) => {
    const { draft } = await createLog(store, 1);
    const end = await store.seal(draft.name);
    assert.deepEqual(end, { end: draft.header.length, lastSequence: 0, lastTime: START_TIME });
    assert.equal(await drain(store.read(draft.name, { lastSequence: 0 })), 0);
  }),

  logCase("a seal gives the end of what was acknowledged, and the same again", async ({ store, reopen }) => {
    const { draft, writer } = await createLog(store, 1);
    for (let i = 0; i < 20; i++) await writer.append(draft.next(i % 5));
    const expected = { end: draft.bytes(), lastSequence: 40, lastTime: draft.chain.lastTime };
    const other = await reopen();
    assert.deepEqual(await other.seal(draft.name), expected);
    assert.deepEqual(await store.seal(draft.name), expected);
    assert.deepEqual(await other.seal(draft.name), expected);
    assert.deepEqual(await (await reopen()).seal(draft.name), expected);
    const several = await Promise.all(Array.from({ length: 8 }, () => other.seal(draft.name)));
    for (const end of several) assert.deepEqual(end, expected);
  }),

  logCase("after a seal no append succeeds, whoever sealed", async ({ store, reopen }) => {
    for (const [number, sealer] of [store, await reopen()].entries()) {
      const { draft, writer } = await createLog(store, number);
      await writer.append(draft.next(2));
      await sealer.seal(draft.name);
      await rejectsWith(writer.append(draft.next(2)), "log-sealed");
      await rejectsWith(writer.append(draft.next(2)), "log-sealed");
      const end = await sealer.seal(draft.name);
      assert.ok(end.lastSequence >= 2, "what was acknowledged is below every end");
      await draft.expect(sealer.read(draft.name, { lastSequence: 2 }), { to: 2 });
    }
  }),

  logCase("a log that was dropped takes nothing any more, sealed or not", async ({ store, reopen }) => {
    const other = await reopen();
    for (const number of [1, 2]) {
      const { draft, writer } = await createLog(store, number);
      await writer.append(draft.next(2));
      if (number === 1) await other.seal(draft.name);
      await other.drop(draft.name);
      await assert.rejects(writer.append(draft.next(2)));
      await assert.rejects(writer.append(draft.next(2)));
    }
  }),

  logCase("closing a writer ends its appends, but does not seal", async ({ store }) => {
    const { draft, writer } = await createLog(store, 1);
    await writer.append(draft.next(2));
    await writer.close();
    await writer.close();
    await assert.rejects(writer.append(draft.next(1)));
    assert.equal((await store.seal(draft.name)).lastSequence, 2);
  }),

  logCase("everything acknowledged while others seal is below every end", async ({ store, reopen }) => {
    const sealers = [store, await reopen(), await reopen()];
    for (let round = 0; round < 20; round++) {
      const { draft, writer } = await createLog(store, round);
      let acknowledged = 0;
      const appending = (async () => {
        for (;;) {
          await writer.append(draft.next(1 + (round % 4)));
          acknowledged = draft.lastSequence;
        }
      })();
      const refused = rejectsWith(appending, "log-sealed");
      for (let i = 0; i < round % 5; i++) await drain(store.read(draft.name, { lastSequence: 0 }));
      const ends = await Promise.all(sealers.map((sealer) => sealer.seal(draft.name)));
      await refused;
      for (const end of [...ends, await store.seal(draft.name)]) {
        assert.ok(
          acknowledged <= end.lastSequence,
          `${acknowledged} was acknowledged, the end is ${end.lastSequence}`,
        );
        const { lastSequence } = end;
        await draft.expect(sealers[1]!.read(draft.name, { lastSequence }), { to: lastSequence });
        assert.equal(end.end, draft.bytes(lastSequence));
      }
      await writer.close();
    }
  }),
];

/** What every store of segment logs must do. Each case opens a store of its own. */
export const segmentLogCases: readonly SegmentLogCase[] = [...naming, ...reading, ...sealing];
