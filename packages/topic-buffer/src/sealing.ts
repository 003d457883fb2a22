import type { Compare, Op } from "@x/coord";
import {
  encodeSegment,
  type SegmentEnd,
  type SegmentId,
  type SegmentRecord,
  segmentKey,
  serverKey,
} from "@x/topic-gateway/protocol";
import { settleTxn, unlessAborted } from "./settle.js";
import type { Tenure } from "./tenure.js";

/** The part of a record that sealing needs, as it was read. */
export interface Sealable {
  readonly id: SegmentId;
  readonly record: SegmentRecord;
  readonly modRevision: bigint;
}

/** What a transaction must hold to record where a segment ends, with this tenure as its server from then on. */
export function sealOps(
  tenure: Tenure,
  segment: Sealable,
  end: SegmentEnd,
): { readonly compare: Compare; readonly ops: readonly Op[]; readonly record: SegmentRecord } {
  const { id, record, modRevision } = segment;
  // A log without messages, or one that was made ahead of time, may know of less than the segment's start.
  let { lastTime } = end;
  if (lastTime < id.startTime) lastTime = id.startTime;
  const sealed: SegmentRecord = {
    ...record,
    state: "sealed",
    sealed: { ...end, lastTime },
  };
  return {
    compare: { key: segmentKey(id), target: "mod", op: "=", value: modRevision },
    ops: [
      { type: "put", key: segmentKey(id), value: encodeSegment(id, sealed) },
      { type: "put", key: serverKey(id), value: tenure.node.address, lease: tenure.session.leaseId },
    ],
    record: sealed,
  };
}

/**
 * Steps 3 and 4: seals the log, then records its end, unless somebody else did, whose end counts then. Gives a revision by which
 * the record is no longer what it was. @throws TopicError as `SegmentLogStore.seal` does
 */
export async function sealSegment(tenure: Tenure, segment: Sealable): Promise<bigint> {
  const { node, signal } = tenure;
  const end = await unlessAborted(node.logs.seal(segment.record.log, { signal }), signal);
  const { compare, ops } = sealOps(tenure, segment, end);
  const { succeeded, revision } = await settleTxn(node.coord, { compare: [compare], then: ops }, tenure);
  if (succeeded) node.emit({ type: "sealed", segment: segment.id, lastSequence: end.lastSequence });
  return revision;
}

/** Becomes the server of a sealed segment that nobody serves. Gives a revision by which somebody does, or its record changed. */
export async function adoptSegment(
  tenure: Tenure,
  { id, modRevision }: Omit<Sealable, "record">,
): Promise<bigint> {
  const { revision } = await settleTxn(
    tenure.node.coord,
    {
      compare: [
        { key: segmentKey(id), target: "mod", op: "=", value: modRevision },
        { key: serverKey(id), target: "create", op: "=", value: 0n },
      ],
      then: [{ type: "put", key: serverKey(id), value: tenure.node.address, lease: tenure.session.leaseId }],
    },
    tenure,
  );
  return revision;
}
