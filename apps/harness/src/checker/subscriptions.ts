/** Invariants 9 to 12: what subscriptions promise. */
import { rangesOverlap } from "@x/topic-gateway/protocol";
import type { Delivery, History } from "./history.js";
import type { Logged } from "./messages.js";
import {
  type SegmentLife,
  type SubscriptionLife,
  spanAt,
  startOf,
  type Timeline,
  valueAt,
} from "./timeline.js";
import type { Violation } from "./violation.js";

/** How long after the last fault everything must have arrived. */
const LIVENESS_MS = 60_000;

interface LeaseRun {
  readonly first: Delivery;
  readonly deliveries: Delivery[];
}

/** Per (subscription, segment, lease), first deliveries run contiguously from the commit; what was committed is not among them. */
export function* checkRuns(timeline: Timeline, history: History): Generator<Violation> {
  for (const { first, deliveries } of runsOf(history).values()) {
    const { topic, subscription: name, segment: segmentName, lease } = first;
    const subscription = timeline.subscriptions.get(`${topic}/${name}`);
    const segment = timeline.segments.get(`${topic}/${segmentName}`);
    const held = subscription?.leases
      .get(segmentName)
      ?.some(({ createRevision }) => createRevision === lease);
    if (!subscription || !segment || !held) {
      yield {
        invariant: 9,
        message: `${segmentName}:${first.sequence} was delivered to ${name} under ${lease}, which is no lease of it`,
        evidence: first,
      };
      continue;
    }
    const committed = positionAt(subscription, segment, lease);
    let last = committed ?? 0;
    for (const delivery of deliveries) {
      const { sequence } = delivery;
      if (committed === undefined || sequence <= committed) {
        yield {
          invariant: 11,
          message: `${segmentName}:${sequence} was delivered to ${name} under the lease ${lease}, though ${committed === undefined ? "the segment was before its start" : `${committed} was committed before it`}`,
          evidence: delivery,
        };
      } else if (sequence > last + 1) {
        yield {
          invariant: 9,
          message: `${segmentName}:${sequence} was delivered to ${name} under the lease ${lease} right behind ${last}`,
          evidence: delivery,
        };
      }
      last = Math.max(last, sequence);
    }
  }
}

/** A successor's first delivery follows the finish of all its predecessors. */
export function* checkSuccession(timeline: Timeline, history: History): Generator<Violation> {
  for (const { first } of runsOf(history).values()) {
    const subscription = timeline.subscriptions.get(`${first.topic}/${first.subscription}`);
    const segment = timeline.segments.get(`${first.topic}/${first.segment}`);
    if (!subscription || !segment) continue;
    for (const name of segment.first.predecessors) {
      const before = timeline.segments.get(`${first.topic}/${name}`);
      if (!before || isFinishedAt(subscription, before, first.lease)) continue;
      yield {
        invariant: 10,
        message: `${segment.name}:${first.sequence} was delivered to ${first.subscription} under the lease ${first.lease}, when its predecessor ${name} was not finished`,
        evidence: { delivery: first, bookmark: valueAt(subscription.bookmarks.get(name), first.lease) },
      };
    }
  }
  yield* checkPredecessors(timeline);
}

/** A segment that is not recorded as a predecessor, nor as one of a predecessor, would not be waited for. */
function* checkPredecessors(timeline: Timeline): Generator<Violation> {
  const ancestors = new Map<SegmentLife, Set<SegmentLife>>();
  const all = [...timeline.segments.values()];
  for (const [index, segment] of all.entries()) {
    const known = new Set<SegmentLife>();
    ancestors.set(segment, known);
    for (const name of segment.first.predecessors) {
      const before = timeline.segments.get(`${segment.topic}/${name}`);
      if (!before) continue;
      known.add(before);
      for (const older of ancestors.get(before) ?? []) known.add(older);
    }
    for (const before of all.slice(0, index)) {
      if (before.topic !== segment.topic || before.first.incarnation !== segment.first.incarnation) continue;
      if (!rangesOverlap(before.id.range, segment.id.range) || known.has(before)) continue;
      const state = valueAt(before.versions, segment.createRevision)?.state;
      if (state === undefined || state === "deleted") continue;
      yield {
        invariant: 10,
        message: `${segment.name} does not follow ${before.name}, which it overlaps`,
        evidence: { segment: segment.first, before: before.first },
      };
    }
  }
}

/** Bookmarks only move forward within a generation, under the current lease, and an answered commit is one. */
export function* checkBookmarks(timeline: Timeline, history: History): Generator<Violation> {
  for (const subscription of timeline.subscriptions.values()) {
    for (const [name, versions] of subscription.bookmarks) {
      const segment = timeline.segments.get(`${subscription.topic}/${name}`);
      let before = versions[0]?.value;
      for (const { revision, value } of versions) {
        if (!value) {
          before = undefined;
          continue;
        }
        const wrong = (why: string): Violation => ({
          invariant: 11,
          message: `the bookmark of ${subscription.name} in ${name} ${why} at revision ${revision}`,
          evidence: { before, after: value },
        });
        const isOlder =
          before !== undefined &&
          (value.generation < before.generation ||
            (value.generation === before.generation &&
              (value.sequence < before.sequence || (before.finished && !value.finished))));
        if (isOlder) yield wrong("went back");
        if (!spanAt(subscription.leases.get(name), revision)) yield wrong("moved without a lease");
        const generation = valueAt(subscription.versions, revision)?.generation;
        if (generation !== value.generation) yield wrong(`moved in another generation than ${generation}`);
        const sealed = valueAt(segment?.versions, revision)?.sealed;
        if (value.finished && (!sealed || value.sequence < sealed.lastSequence))
          yield wrong(
            `was finished before the segment's end (${sealed ? sealed.lastSequence : "it was open"})`,
          );
        if (segment?.seal && value.sequence > segment.seal.end.lastSequence)
          yield wrong(`is behind the segment's end (${segment.seal.end.lastSequence})`);
        before = value;
      }
    }
  }
  for (const commit of history.commits) {
    if (commit.outcome !== "ok") continue;
    const subscription = timeline.subscriptions.get(`${commit.topic}/${commit.subscription}`);
    const isThere = subscription?.bookmarks
      .get(commit.segment)
      ?.some(({ value }) => value !== undefined && value.sequence >= commit.sequence);
    if (isThere) continue;
    yield {
      invariant: 11,
      message: `the commit of ${commit.segment}:${commit.sequence} was confirmed to ${commit.session} but never recorded`,
      evidence: commit,
    };
  }
}

/** When faults end, every acknowledged message reaches each subscription within 60 s, and is committed in the end. */
export function* checkArrival(timeline: Timeline, logged: Logged, history: History): Generator<Violation> {
  const { faultsEndedMs } = history;
  if (faultsEndedMs === undefined) return;
  const arrivals = new Map<string, number>();
  for (const { topic, subscription, segment, sequence, timeMs } of history.deliveries) {
    const place = `${topic}/${subscription}/${segment}:${sequence}`;
    if (!arrivals.has(place)) arrivals.set(place, timeMs);
  }
  for (const subscription of timeline.subscriptions.values()) {
    const record = subscription.versions.at(-1)?.value;
    if (!record) continue;
    for (const op of history.publishes) {
      if (op.outcome !== "acked" || op.id === undefined || op.topic !== subscription.topic) continue;
      const found = logged.byId.get(`${op.topic}/${op.id}`)?.[0];
      // A lost one is told by invariant 1.
      if (!found || found.segment.isDeleted) continue;
      const { segment, message } = found;
      const start = startOf(record, segment);
      if (start === undefined || message.sequence <= start) continue;
      const arrivedMs = arrivals.get(`${op.topic}/${subscription.name}/${segment.name}:${message.sequence}`);
      const untilMs = Math.max(faultsEndedMs, op.answeredMs ?? 0, subscription.createdMs) + LIVENESS_MS;
      const bookmark = subscription.bookmarks.get(segment.name)?.at(-1)?.value;
      const late =
        arrivedMs === undefined
          ? "never arrived"
          : arrivedMs > untilMs
            ? `arrived at ${arrivedMs}, later than ${untilMs}`
            : bookmark === undefined || bookmark.sequence < message.sequence
              ? "was never committed"
              : undefined;
      if (late === undefined) continue;
      yield {
        invariant: 12,
        message: `${segment.name}:${message.sequence} (${op.producer}:${op.number}) ${late} in ${subscription.name}`,
        evidence: { op, bookmark },
      };
    }
  }
}

function runsOf(history: History): Map<string, LeaseRun> {
  const runs = new Map<string, LeaseRun>();
  for (const delivery of history.deliveries) {
    const { topic, subscription, segment, lease } = delivery;
    const id = `${topic}/${subscription}/${segment}/${lease}`;
    const run = runs.get(id);
    if (run) run.deliveries.push(delivery);
    else runs.set(id, { first: delivery, deliveries: [delivery] });
  }
  return runs;
}

/** What is passed when a lease begins; undefined: the whole segment is. */
function positionAt(
  subscription: SubscriptionLife,
  segment: SegmentLife,
  revision: bigint,
): number | undefined {
  const record = valueAt(subscription.versions, revision);
  const start = record && startOf(record, segment);
  if (start === undefined) return undefined;
  const bookmark = valueAt(subscription.bookmarks.get(segment.name), revision);
  return bookmark?.generation === record?.generation ? Math.max(start, bookmark?.sequence ?? 0) : start;
}

function isFinishedAt(subscription: SubscriptionLife, segment: SegmentLife, revision: bigint): boolean {
  const state = valueAt(segment.versions, revision)?.state;
  if (state === undefined || state === "deleted") return true;
  const record = valueAt(subscription.versions, revision);
  if (!record || startOf(record, segment) === undefined) return true;
  const bookmark = valueAt(subscription.bookmarks.get(segment.name), revision);
  return bookmark?.generation === record.generation && bookmark.finished;
}
