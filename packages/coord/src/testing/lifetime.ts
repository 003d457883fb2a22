import assert from "node:assert/strict";
import type { Coord } from "../port.js";
import { type ComplianceCase, complianceCase, getOne, put, putAll, rejectsWith, take } from "./fixture.js";

type Call = (coord: Coord, key: string, signal?: AbortSignal) => Promise<unknown>;

const calls: Readonly<Record<string, Call>> = {
  clusterId: (coord, _key, signal) => coord.clusterId(withSignal(signal)),
  get: (coord, key, signal) => coord.get({ key }, withSignal(signal)),
  txn: (coord, key, signal) => coord.txn({ then: [{ type: "get", key }] }, withSignal(signal)),
  grantLease: (coord, _key, signal) => coord.grantLease(60_000, withSignal(signal)),
  keepAlive: (coord, _key, signal) => coord.keepAlive(0x7fff_ffff_0000_0000n, withSignal(signal)),
  revokeLease: (coord, _key, signal) => coord.revokeLease(0x7fff_ffff_0000_0000n, withSignal(signal)),
  watch: (coord, key, signal) => take(coord.watch({ key }, withSignal(signal)), 1),
};

export const lifetimeCases: readonly ComplianceCase[] = [
  complianceCase("a call whose signal is aborted rejects with the very reason", async ({ coord, prefix }) => {
    for (const [name, call] of Object.entries(calls)) {
      const reason = { why: name };
      await rejectsWithReason(call(coord, `${prefix}k`, AbortSignal.abort(reason)), reason);
    }
  }),

  complianceCase(
    "a call that is aborted under way rejects with the very reason",
    async ({ coord, prefix }) => {
      for (const [name, call] of Object.entries(calls)) {
        const reason = { why: name };
        const abort = new AbortController();
        const pending = call(coord, `${prefix}k`, abort.signal);
        abort.abort(reason);
        await rejectsWithReason(pending, reason);
      }
      const revision = await putAll(coord, put(`${prefix}k`, "still works"));
      assert.equal((await getOne(coord, `${prefix}k`))?.modRevision, revision);
    },
  ),

  complianceCase("a watch that waits ends with the very reason", async ({ coord, prefix }) => {
    const abort = new AbortController();
    const reason = { why: "enough" };
    const from = (await coord.get({ prefix })).revision + 1n;
    const watch = take(coord.watch({ prefix }, { fromRevision: from, signal: abort.signal }), 2);
    await putAll(coord, put(`${prefix}k`));
    await take(coord.watch({ prefix }, { fromRevision: from }), 1);
    abort.abort(reason);
    await rejectsWithReason(watch, reason);
  }),

  complianceCase("a watch whose reader is busy ends with the very reason too", async ({ coord, prefix }) => {
    const abort = new AbortController();
    const reason = { why: "enough" };
    const from = (await coord.get({ prefix })).revision + 1n;
    await putAll(coord, put(`${prefix}k`));
    const watch = async (): Promise<void> => {
      for await (const _ of coord.watch({ prefix }, { fromRevision: from, signal: abort.signal }))
        abort.abort(reason);
    };
    await rejectsWithReason(watch(), reason);
  }),

  complianceCase(
    "after close every call rejects as closed, and closing again is fine",
    async ({ coord, prefix }) => {
      const from = (await coord.get({ prefix })).revision + 1n;
      const watching = take(coord.watch({ prefix }, { fromRevision: from }), 2);
      const ended = rejectsWith(watching, "closed");
      await putAll(coord, put(`${prefix}k`));
      await coord.close();
      await ended;
      for (const call of Object.values(calls)) await rejectsWith(call(coord, `${prefix}k`), "closed");
      await coord.close();
      await coord[Symbol.asyncDispose]();
    },
  ),
];

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

async function rejectsWithReason(promise: Promise<unknown>, reason: unknown): Promise<void> {
  await promise.then(
    () => assert.fail("it was fulfilled"),
    (error: unknown) => assert.equal(error, reason),
  );
}
