/** Taking a range over: steps 2 to 6 of the protocol. Step 1 is `claimRange`. */
import {
  formatHashRange,
  rangeOfHash,
  type SegmentId,
  sameRange,
  TopicError,
  ticksOfMs,
} from "@x/topic-gateway/protocol";
import { type KnownSegment, type Lineage, lineageOf, unreadableSegment } from "./lineage.js";
import { adoptSegment, sealSegment } from "./sealing.js";
import {
  discardLog,
  nextStartTime,
  type OpenSegment,
  prepareLog,
  registerSegment,
  type SegmentPlan,
} from "./segment-opening.js";
import { type Claim, catchUp, type Tenure } from "./tenure.js";

export type Takeover =
  | { readonly type: "opened"; readonly segment: OpenSegment; readonly revision: bigint }
  /** The lease is no longer that of the claim. */
  | { readonly type: "lost" }
  /** The layout of the topic has no such range, or there is no such topic. */
  | { readonly type: "unwanted" }
  /** Nothing may be opened here now. The lease is still ours, for the caller to give back. */
  | {
      readonly type: "blocked";
      readonly by: SegmentId | undefined;
      readonly cause: unknown;
      readonly alarm: boolean;
    };

/** Seals at once; more would only wait for the same disk. */
const SEALS_AT_ONCE = 8;

/** Any step may have been done before, by whoever died after it: the state says what is left. @throws CoordError, `signal.reason` */
export async function takeOver(tenure: Tenure, claim: Claim): Promise<Takeover> {
  // Every revision of the state is a snapshot of everything, so one at or behind the claim is the read that step 2 asks for.
  await tenure.cache.reach(claim.epoch, { signal: tenure.signal });
  for (;;) {
    const look = lookAt(tenure, claim);
    if ("type" in look) return look;
    const { lineage } = look;
    if (lineage.unsealed.length > 0) {
      const sealed = await sealAll(tenure, lineage.unsealed);
      if (typeof sealed !== "bigint") return sealed;
      await catchUp(tenure, sealed);
      serveSealed(tenure, claim, lineage.unsealed);
      continue;
    }
    // Not waited for by anybody here, but readers should not have to wait until somebody notices.
    for (const segment of lineage.unserved) {
      if (tenure.node.logs.owns(segment.record.log)) await adoptSegment(tenure, segment);
    }
    const opened = await open(tenure, claim, look.plan, lineage);
    if (typeof opened !== "bigint") return opened;
    await catchUp(tenure, opened);
  }
}

function lookAt(
  tenure: Tenure,
  claim: Claim,
): { readonly lineage: Lineage; readonly plan: Omit<SegmentPlan, "startTime"> } | Takeover {
  const { state } = tenure.cache;
  const topic = state.topic(claim.topic);
  const lease = state.topics.get(claim.topic)?.leases.get(formatHashRange(claim.range));
  if (lease?.epoch !== claim.epoch) return { type: "lost" };
  if (!topic || !sameRange(rangeOfHash(claim.range.from, topic.config.factor), claim.range))
    return { type: "unwanted" };
  const unreadable = unreadableSegment(state, claim.topic, claim.range);
  if (unreadable) {
    const cause = new TopicError("corrupt", unreadable.reason);
    return { type: "blocked", by: unreadable.segment, cause, alarm: true };
  }
  const { incarnation, layout } = topic.config;
  const lineage = lineageOf(topic, claim.range, incarnation);
  const { predecessors, lastTime: lineageTime } = lineage;
  return { lineage, plan: { incarnation, layout, predecessors, lineageTime } };
}

/** Gives a revision that shows all of them sealed. One that can't be sealed blocks the range, never is it taken for empty. */
async function sealAll(tenure: Tenure, segments: readonly KnownSegment[]): Promise<bigint | Takeover> {
  let revision = 0n;
  let blocked: Takeover | undefined;
  const left = [...segments];
  const worker = async (): Promise<void> => {
    for (let segment = left.shift(); segment && !blocked; segment = left.shift()) {
      try {
        const sealed = await sealSegment(tenure, segment);
        if (sealed > revision) revision = sealed;
      } catch (cause) {
        if (!(cause instanceof TopicError)) throw cause;
        const alarm = cause.code !== "unavailable";
        blocked = { type: "blocked", by: segment.id, cause, alarm };
      }
    }
  };
  const workers = Array.from({ length: Math.min(SEALS_AT_ONCE, segments.length) }, worker);
  for (const result of await Promise.allSettled(workers))
    if (result.status === "rejected") throw result.reason;
  return blocked ?? revision;
}

/** Those of which the state now says that they are ours to serve: also what readers here wait for. */
function serveSealed({ cache, served }: Tenure, claim: Claim, segments: readonly KnownSegment[]): void {
  for (const { name } of segments) {
    const view = cache.state.topics.get(claim.topic)?.segments.get(name);
    if (view && served.isOurs(view)) served.adopt(view);
  }
}

/** Gives what came of it, or a revision at which to look again. */
async function open(
  tenure: Tenure,
  claim: Claim,
  before: Omit<SegmentPlan, "startTime">,
  { lastTime, last }: Lineage,
): Promise<Takeover | bigint> {
  const { node } = tenure;
  let plan: SegmentPlan;
  try {
    plan = { ...before, startTime: nextStartTime(ticksOfMs(node.clock.wallMs()), lastTime) };
  } catch (cause) {
    return { type: "blocked", by: last, cause, alarm: true };
  }
  let log: Awaited<ReturnType<typeof prepareLog>>;
  try {
    log = await prepareLog(tenure, claim, plan);
  } catch (cause) {
    if (!(cause instanceof TopicError)) throw cause;
    return { type: "blocked", by: undefined, cause, alarm: true };
  }
  try {
    const registration = await registerSegment(tenure, claim, plan, log);
    if (registration.type === "registered") return { ...registration, type: "opened" };
    await discardLog(tenure, log);
    return registration.revision;
  } catch (error) {
    // The transaction may still be applied, so the log must stay; nobody here writes to it any more.
    await log.writer.close().catch(() => {});
    throw error;
  }
}
