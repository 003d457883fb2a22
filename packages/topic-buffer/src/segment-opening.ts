/** Opening a segment: its log first, durable, then its record in one transaction that proves the right to it. */
import type { Compare, Op } from "@x/coord";
import {
  decodeSegment,
  encodeHeaderFrame,
  encodeLogHeader,
  encodeSegment,
  type FrameChain,
  logName,
  NONCE_BYTES,
  rangeLeaseKey,
  rangeSizeKey,
  type SegmentId,
  type SegmentLogWriter,
  type SegmentName,
  type SegmentRecord,
  segmentKey,
  serverKey,
  TopicError,
} from "@x/topic-gateway/protocol";
import { settleTxn, unlessAborted } from "./settle.js";
import type { Claim, Tenure } from "./tenure.js";

/** A start further ahead of the clock than this is refused: ids would run away from time, and the clock that made them was wrong. */
const MAX_AHEAD_TICKS = 600_000_000n;

export interface SegmentPlan {
  readonly incarnation: bigint;
  readonly layout: bigint;
  readonly predecessors: readonly SegmentName[];
  readonly startTime: bigint;
  /** The highest id time of the lineage before the segment. */
  readonly lineageTime: bigint;
}

/** A log whose header is durable. */
export interface PreparedLog {
  readonly name: string;
  readonly writer: SegmentLogWriter;
  readonly chain: FrameChain;
  /** A record names it, so that it must stay. */
  isRecorded: boolean;
}

/** A segment that takes appends. */
export interface OpenSegment {
  readonly id: SegmentId;
  readonly record: SegmentRecord;
  readonly modRevision: bigint;
  readonly writer: SegmentLogWriter;
  readonly chain: FrameChain;
}

/** `max(now, last + 1)`. @throws TopicError "unavailable" if that is more than a minute ahead of now */
export function nextStartTime(now: bigint, last: bigint): bigint {
  const start = last >= now ? last + 1n : now;
  if (start - now > MAX_AHEAD_TICKS) {
    const seconds = (start - now) / 10_000_000n;
    throw new TopicError(
      "unavailable",
      `the clock here is ${seconds} s behind the ids of the messages before: up to 60 s are allowed`,
    );
  }
  return start;
}

/**
 * Step 5. For a log that is made ahead of time the start and the lineage's time are lower bounds: the record decides, and whoever
 * seals the segment records a last time of at least its start. @throws TopicError "log-failed", the reason of the tenure's signal
 */
export async function prepareLog(tenure: Tenure, claim: Claim, plan: SegmentPlan): Promise<PreparedLog> {
  const { signal } = tenure;
  const { logs, random } = tenure.node;
  const header = { topic: claim.topic, range: claim.range, epoch: claim.epoch, ...plan };
  for (let attempt = 0; ; attempt++) {
    const nonce = random.bytes(NONCE_BYTES);
    const name = logName(logs.id, header, nonce);
    const { frame, chain } = encodeHeaderFrame(nonce, plan.lineageTime, encodeLogHeader(header));
    signal.throwIfAborted();
    const creating = logs.create(name, frame);
    try {
      return { name, writer: await unlessAborted(creating, signal), chain, isRecorded: false };
    } catch (error) {
      if (signal.aborted) {
        // It may still come to be. Nobody else has its name, and no transaction will.
        void creating.then(
          (writer) => discardLog(tenure, { name, writer, chain, isRecorded: false }),
          () => {},
        );
      }
      if (!(error instanceof TopicError) || error.code !== "log-exists" || attempt === 3) throw error;
    }
  }
}

/** For a log that nothing is appended to, and that no transaction can record any more: it is dropped unless one did. */
export async function discardLog(tenure: Tenure, log: PreparedLog): Promise<void> {
  try {
    await log.writer.close();
    if (!log.isRecorded) await tenure.node.logs.drop(log.name);
  } catch {
    // It holds no message; what is left of it is only a file.
  }
}

export type Registration =
  | { readonly type: "registered"; readonly segment: OpenSegment; readonly revision: bigint }
  /**
   * Something that the transaction relies on has changed by `revision`. The log is not recorded and never will be, or an attempt of
   * ours recorded it and somebody has sealed it since: then nothing may be appended to it.
   */
  | { readonly type: "refused"; readonly revision: bigint };

/**
 * Step 6: records the segment and its server, if the lease and the layout are still those it was planned for. `compare` and
 * `ops` come on top (a roll seals the segment before in the same transaction).
 */
export async function registerSegment(
  tenure: Tenure,
  claim: Claim,
  plan: SegmentPlan,
  log: PreparedLog,
  extra: { readonly compare: readonly Compare[]; readonly ops: readonly Op[] } = { compare: [], ops: [] },
): Promise<Registration> {
  const { node, session } = tenure;
  const { topic, range, epoch } = claim;
  const { incarnation, layout, predecessors, startTime } = plan;
  const id: SegmentId = { topic, range, startTime };
  const record: SegmentRecord = { incarnation, layout, epoch, log: log.name, predecessors, state: "open" };
  const key = segmentKey(id);
  const { succeeded, revision, results } = await settleTxn(
    node.coord,
    {
      compare: [
        { key: rangeLeaseKey(topic, range), target: "create", op: "=", value: epoch },
        { key: rangeSizeKey(topic), target: "mod", op: "=", value: layout },
        { key, target: "create", op: "=", value: 0n },
        ...extra.compare,
      ],
      then: [
        ...extra.ops,
        { type: "put", key, value: encodeSegment(id, record) },
        { type: "put", key: serverKey(id), value: node.address, lease: session.leaseId },
      ],
      else: [{ type: "get", key }],
    },
    tenure,
  );
  const opened = (modRevision: bigint): Registration => {
    if (startTime - 1n > log.chain.lastTime) log.chain.lastTime = startTime - 1n;
    return {
      type: "registered",
      segment: { id, record, modRevision, writer: log.writer, chain: log.chain },
      // Of the record itself, so that every view comes to show it.
      revision: modRevision,
    };
  };
  if (succeeded) return opened(revision);
  // The name of the log is used once in the history of the world: a record that has it was made by an attempt of ours.
  const [found] = results;
  const kv = found?.type === "get" ? found.kvs[0] : undefined;
  const recorded = kv && recordIn(kv.value);
  if (kv && recorded?.log === log.name) {
    // Who sealed it holds the range by now: its end stands, and to hand it over from here would be to write another one.
    if (recorded.state === "open") return opened(kv.modRevision);
    log.isRecorded = true;
  }
  return { type: "refused", revision };
}

function recordIn(value: Uint8Array): SegmentRecord | undefined {
  try {
    return decodeSegment(value);
  } catch {
    return undefined;
  }
}
